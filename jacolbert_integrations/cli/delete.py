"""``jacolbert delete``: points of a collection, by id, by document or by a filter."""

from __future__ import annotations

import argparse
from typing import Any

from .filters import add_filter, filter_of
from .location import add_collection, add_location, opened
from .terminal import say
from .usage import UsageError


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "delete",
        help="remove documents from a Qdrant collection",
        description="Removes documents, with all of their windows, or what passes a filter. No model is loaded. What "
        "jacolbert index finds again in its files, it writes again.",
    )
    parser.add_argument("documents", nargs="*", metavar="id", help="of documents, as jacolbert search shows them")
    add_filter(parser)
    add_location(parser)
    add_collection(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    from ..errors import InputError
    from ..qdrant import QdrantStore, of_documents
    from ..qdrant.schema import read_record

    condition = filter_of(arguments.filter)
    if bool(arguments.documents) == (condition is not None):
        raise UsageError("say which documents by their ids, or by --filter.")
    with opened(arguments, must_exist=True) as client:
        record = read_record(client, arguments.collection)
        if record is None:
            raise InputError(f"there is no collection {arguments.collection!r}. 'jacolbert stats' shows what there is.")
        store = QdrantStore(client, arguments.collection)
        store.bind(record.identity)
        before = store.count()
        store.delete(filter=of_documents(arguments.documents) if condition is None else condition)
        after = store.count()
    say(f"{before - after:,} points were removed from {arguments.collection}; it holds {after:,} points now.")
