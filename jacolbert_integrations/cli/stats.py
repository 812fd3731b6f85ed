"""``jacolbert stats``: what collections there are, and what they are made of."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .location import add_location, opened
from .terminal import say, say_json

if TYPE_CHECKING:
    from ..qdrant.clients import Client

_SAMPLE = 200


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "stats",
        help="show collections: model, points, vectors, bytes, aliases",
        description="Shows the collections that this package made: their model, first stages and points, and how many "
        f"token vectors these have, from up to {_SAMPLE} points of each.",
    )
    parser.add_argument("collections", nargs="*", help="(default: all)")
    add_location(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    from ..errors import CollectionLayoutError
    from ..qdrant.answers import ask

    with opened(arguments, must_exist=True) as client:
        names = arguments.collections or [c.name for c in ask(client, client.get_collections).collections]
        aliases: dict[str, list[str]] = {}
        for alias in ask(client, client.get_aliases).aliases:
            aliases.setdefault(alias.collection_name, []).append(alias.alias_name)
        rows: dict[str, dict[str, Any]] = {}
        for name in names:
            try:
                rows[name] = describe(client, name, aliases.get(name, []))
            except CollectionLayoutError:
                if arguments.collections:
                    raise
                rows[name] = {"points": ask(client, client.count, name, exact=True).count, "model": None}
            folder = Path(arguments.location).expanduser() / name
            if folder.is_dir():
                from ..qdrant.edge.collection import bytes_on_disk

                rows[name]["bytes_on_disk"] = bytes_on_disk(folder)
    if arguments.json:
        say_json(rows, indent=2)
        return
    if not rows:
        say(f"There are no collections in {arguments.location}.")
    for name, row in rows.items():
        show(name, row)


def describe(client: Client, collection: str, aliases: list[str]) -> dict[str, Any]:
    """Describes what a collection consists of.

    Raises:
        InputError: If there is no such collection.
        CollectionLayoutError: If it was not created by this package.
    """
    from ..errors import InputError
    from ..qdrant import QdrantStore
    from ..qdrant.answers import ask
    from ..qdrant.points import VECTOR_NAME
    from ..qdrant.schema import read_record
    from ..qdrant.stages import stage_to_dict

    record = read_record(client, collection)
    if record is None:
        raise InputError(f"there is no collection {collection!r}.")
    store = QdrantStore(client, collection)
    store.bind(record.identity)
    lengths = [len(point.vectors) for point in islice(store.points(batch=_SAMPLE), _SAMPLE)]
    vectors = ask(client, client.get_collection, collection).config.params.vectors
    params = vectors[VECTOR_NAME] if isinstance(vectors, Mapping) else None
    made = record.identity
    return {
        "points": store.count(),
        "model": made.name,
        "fingerprint": made.fingerprint,
        "dimension": made.dimension,
        "pooling": made.pooling,
        "document_maxlen": made.document_maxlen,
        "query_length": made.query_length,
        "first_stage": [stage_to_dict(stage) for stage in record.stages],
        "datatype": None if params is None or params.datatype is None else params.datatype.value,
        "vectors_a_point": sum(lengths) / len(lengths) if lengths else None,
        "aliases": aliases,
    }


def show(name: str, row: Mapping[str, Any]) -> None:
    """Prints a collection for people."""
    size = f", {row['bytes_on_disk'] / 2**20:,.1f} MiB on disk" if "bytes_on_disk" in row else ""
    say(f"{name}: {row['points']:,} points{size}")
    if row["model"] is None:
        say("  not made by this package\n")
        return
    mean = "" if row["vectors_a_point"] is None else f", {row['vectors_a_point']:.0f} vectors a point"
    stages = ", ".join(stage["kind"] for stage in row["first_stage"]) or "none, every search is exact"
    datatype = row["datatype"] or "float32"
    say(f"  model        {row['model']} ({row['fingerprint'][:12]}), query length rule {row['query_length']}")
    say(f"  vectors      {row['dimension']} dimensions as {datatype}{mean}, pooling {row['pooling']}")
    say(f"  first stage  {stages}")
    if row["aliases"]:
        say(f"  aliases      {', '.join(row['aliases'])}")
    say()
