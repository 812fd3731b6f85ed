"""Models: the options that commands share which load one, and loading it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..query_length import QUERY_LENGTHS

if TYPE_CHECKING:
    from ..encoding.encoder import JaColBERT
    from ..qdrant.clients import Client

BUNDLED_DEFAULT = "the bundled jacolbert-small"


def add_model(parser: argparse._ActionsContainer, *, default: str = BUNDLED_DEFAULT) -> None:
    """Adds the options of which model is loaded, and how.

    Args:
        parser: Of the command.
        default: In words, what is loaded without ``--model``.
    """
    parser.add_argument("--model", help=f"a checkpoint's directory or hub id (default: {default})")
    add_loading(parser)


def add_loading(parser: argparse._ActionsContainer) -> None:
    """Adds the options of how a model is loaded that is named elsewhere."""
    parser.add_argument("--device", help="where it computes, such as cpu, cuda:1 or mps (default: a GPU, if there is)")
    parser.add_argument("--precision", choices=["int8"], help="8-bit integers, which a processor multiplies faster")
    parser.add_argument(
        "--query-length", choices=QUERY_LENGTHS, help="how queries are padded, if not by the model's own rule"
    )


def load(arguments: argparse.Namespace, name: str | None = None, **options: Any) -> JaColBERT:
    """Loads the model that the command line names, or another, as it says.

    Args:
        arguments: Of a command with :func:`add_model` or :func:`add_loading`.
        name: Which, if it is not ``--model``.
        **options: For :meth:`.JaColBERT.from_pretrained`, over those of the command line that are not given.

    Raises:
        CheckpointError: If it cannot be loaded.
        InputError: If there is no such device.
    """
    from ..encoding.encoder import JaColBERT  # which takes seconds

    given = {"device": arguments.device, "precision": arguments.precision, "query_length": arguments.query_length}
    said = {key: value for key, value in given.items() if value is not None}
    return JaColBERT.from_pretrained(name if name is not None else getattr(arguments, "model", None), **options | said)


def model_of(client: Client, collection: str, arguments: argparse.Namespace) -> JaColBERT:
    """Loads the model to search a collection with: the one that is named, or the one that made the collection.

    Args:
        client: Where the collection is.
        collection: Its name.
        arguments: Of a command with :func:`add_model`.

    Raises:
        InputError: If there is no such collection.
        CheckpointError: If the model cannot be loaded.
    """
    from ..errors import CheckpointNotFoundError, InputError
    from ..qdrant.schema import read_record

    record = read_record(client, collection)
    if record is None:
        raise InputError(f"there is no collection {collection!r}. 'jacolbert stats' shows what there is.")

    from ..encoding.pooling import NO_POOLING

    made = record.identity
    options: Any = {"query_length": made.query_length, "pooling": None if made.pooling == NO_POOLING else made.pooling}
    try:
        return load(arguments, made.name if arguments.model is None else None, **options)
    except CheckpointNotFoundError as error:
        raise InputError(f"{error} The collection was made by {made.name!r}: say where it is with --model.") from None
