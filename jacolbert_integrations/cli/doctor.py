"""``jacolbert doctor``: what is installed, where collections are, and what the server there can do."""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .location import add_location, answers, server_options
from .terminal import say

if TYPE_CHECKING:
    from ..qdrant.clients import Client

_PACKAGES = (
    "jacolbert-integrations",
    "torch",
    "transformers",
    "sentence-transformers",
    "llama-index-core",
    "qdrant-client",
)
_EXTRAS = {
    "edge": ("qdrant_edge",),
    "training": ("accelerate", "datasets", "schedulefree", "tensorboard"),
    "evaluation": ("bm25s",),
    "ray": ("ray",),
    "completion": ("shtab",),
}


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "doctor",
        help="show what is installed, and what the server can do",
        description="Shows versions, which extras are installed, whether the location answers, over REST and over "
        "gRPC, what the server there can do, and a collection's strict mode and indexes. No model is loaded. The exit "
        "status is 1 if something that is needed is missing.",
    )
    add_location(parser)
    parser.add_argument("--collection", metavar="NAME", help="also show this collection")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command.

    Raises:
        StoreError: If something that is needed is missing, after all has been shown.
    """
    from ..errors import StoreError
    from ..stores.addresses import check_location, is_address

    _show_packages()
    location = check_location(arguments.location)
    problems = (
        _show_server(location, arguments) if is_address(location) else _show_folder(location, arguments.collection)
    )
    if problems:
        raise StoreError("; ".join(problems))


def _show_packages() -> None:
    for name in _PACKAGES:
        try:
            _line(name, version(name))
        except PackageNotFoundError:
            _line(name, "not installed")
    for extra, modules in _EXTRAS.items():
        missing = [module for module in modules if find_spec(module) is None]
        install = f'no: pip install "jacolbert-integrations[{extra}]"'
        _line(f"extra {extra}", install if missing else "installed")


def _show_folder(location: str, collection: str | None) -> list[str]:
    folder = Path(location).expanduser()
    if find_spec("qdrant_edge") is None:
        return ["Qdrant Edge is not installed, which a folder needs"]
    if not folder.is_dir():
        _line("location", f"the folder {location}, which does not exist yet")
        return [] if collection is None else [f"there is no folder {location}"]
    from ..qdrant.edge.client import EdgeClient

    with EdgeClient(folder) as client:
        names = [found.name for found in client.get_collections().collections]
        _line("location", f"the folder {location}: {len(names)} collections")
        return [] if collection is None else _show_collection(client, collection)


def _show_server(location: str, arguments: argparse.Namespace) -> list[str]:
    from ..qdrant.answers import address_of, ask
    from ..qdrant.clients import connect
    from ..qdrant.versions import FEATURES, NEEDED, parse_version, server_version
    from ..stores.server_options import ServerOptions, key_of_server

    options = replace(ServerOptions.given(server_options(arguments)), check_compatibility=False)
    problems: list[str] = []
    said = None
    for grpc in (False, True):
        way = "gRPC" if grpc else "REST"
        found = answers(location, options, grpc=grpc)
        problem = None if found is None else str(found)
        _line(f"over {way}", problem or "answers")
        if problem and grpc is bool(arguments.grpc):
            problems.append(problem)
        if problem is None and said is None:
            client = connect(location, grpc=grpc, server=options)
            try:
                said = server_version(client)  # type: ignore[arg-type]  # it is a server's
                names = [found.name for found in ask(client, client.get_collections).collections]
                _line("location", f"{address_of(client)}: {len(names)} collections")
                if arguments.collection is not None:
                    problems += _show_collection(client, arguments.collection)
            finally:
                client.close()
    _line("key", "none is given" if key_of_server(options) is None else "given")
    number = parse_version(said)
    if number is not None:
        _line("server", f"Qdrant {said}")
        for feature in FEATURES:
            _line(f"  {feature.name}", "yes" if number >= feature.since else f"no, since {feature.release}")
        if number < NEEDED.since:
            problems.append(f"the server is {said}, but {NEEDED.release} is the oldest that has what is needed")
    return problems


def _show_collection(client: Client, collection: str) -> list[str]:
    from ..errors import JaColBERTError
    from ..qdrant.schema import read_record

    try:
        record = read_record(client, collection)
    except JaColBERTError as error:
        return [str(error)]
    if record is None:
        return [f"there is no collection {collection!r}"]
    _line(f"collection {collection}", f"made by {record.identity.name}")
    indexes = [f"{key} ({info.data_type.value})" for key, info in sorted(record.indexes.items())]
    _line("  payload indexes", ", ".join(indexes) or "none")
    strict = record.strict
    allowed = {
        "filters by indexed keys only": strict.indexed_reads or strict.indexed_updates,
        "no exact requests": not strict.exact,
        f"{strict.limit} points a request": strict.limit,
        f"{strict.upserts} points a write": strict.upserts,
        f"{strict.searches} searches a request": strict.searches,
        f"{strict.conditions} conditions a filter": strict.conditions,
        f"{strict.condition_size} values a condition": strict.condition_size,
    }
    _line("  strict mode", ", ".join(text for text, applies in allowed.items() if applies) or "off")
    return []


def _line(name: str, value: str) -> None:
    say(f"{name:<24} {value}")
