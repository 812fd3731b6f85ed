"""``jacolbert reindex``: a collection anew for another model, or token vectors for somebody's own collection."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from .location import add_location, add_new_collection, opened, store_in
from .model import add_model, load
from .terminal import say
from .usage import UsageError

if TYPE_CHECKING:
    from ..encoding.encoder import JaColBERT
    from ..qdrant.clients import Client


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "reindex",
        help="index a collection anew, for another model or other settings, while the old one answers",
        description="Reads the texts of any collection, and writes them into a new one, or, with "
        "--beside, adds token vectors to the collection itself. Killed and run again, it goes on.",
    )
    parser.add_argument("collection", help="the collection to read, or an alias")
    parser.add_argument("target", nargs="?", help="the new collection")
    parser.add_argument("--beside", action="store_true", help="add token vectors to the collection itself")
    parser.add_argument("--alias", help="point this alias at the new collection when all is in it")
    add_location(parser)
    add_new_collection(parser)
    add_model(parser)
    parser.add_argument("--pooling", help="fewer vectors a document, such as hierarchical-2 for half of them")
    parser.add_argument("--text-key", help="the payload's key of the text (default: where it is usually kept)")
    parser.add_argument("--too-long", choices=("split", "refuse", "cut"), default="split")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    from .report import failures

    if (arguments.target is None) != arguments.beside:
        raise UsageError("name a new collection to write, or add to the old one with --beside, and not both.")
    if arguments.beside and arguments.alias is not None:
        raise UsageError("--alias is for a new collection; --beside makes none.")
    model = load(arguments, pooling=arguments.pooling)
    with opened(arguments, must_exist=True) as client:
        result = _add(client, model, arguments) if arguments.beside else _anew(client, model, arguments)
        say(result)
    failures(result.failed)


def _add(client: Client, model: JaColBERT, arguments: argparse.Namespace) -> Any:
    from qdrant_client import QdrantClient

    from ..errors import InputError
    from ..qdrant import add_late_interaction

    if not isinstance(client, QdrantClient):
        raise InputError("--beside is for a collection on a server. Name a new collection instead.")
    new = store_in(client, arguments.collection, arguments)
    return add_late_interaction(
        client,
        arguments.collection,
        model,
        text=arguments.text_key,
        first_stage=new.first_stage,
        vector_options=new.vector_options,
    )


def _anew(client: Client, model: JaColBERT, arguments: argparse.Namespace) -> Any:
    from ..qdrant import reindex

    target = store_in(client, arguments.target, arguments)
    return reindex(
        client,
        arguments.collection,
        target,
        model,
        alias=arguments.alias,
        text=arguments.text_key,
        too_long=arguments.too_long,
    )
