"""``jacolbert import``: a collection from a file that ``jacolbert export`` wrote."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .location import add_collection, add_location, add_new_collection, opened, store_in
from .model import add_loading, load
from .terminal import say

if TYPE_CHECKING:
    from ..encoding.encoder import JaColBERT
    from ..scoring.centroids import Centroids
    from ..types import TokenVectors


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "import",
        help="read a file of points into a Qdrant collection",
        description="Checks a file that 'jacolbert export --collection' wrote, all of it, and writes its points into a "
        "collection, which is made if need be. Killed and run again, it ends right. A model is loaded only if a first "
        "stage needs it.",
    )
    parser.add_argument("file", type=Path)
    add_location(parser)
    add_collection(parser)
    add_new_collection(parser)
    add_loading(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    from ..stores.archive import import_points, read_manifest

    with opened(arguments) as client:
        store = store_in(client, arguments.collection, arguments)
        store.model = _WhenNeeded(read_manifest(arguments.file).model.name, arguments)
        result = import_points(arguments.file, store)
        say(f"{arguments.collection} in {arguments.location}: {result}, made by {result.manifest.model.name}")


class _WhenNeeded:
    """The model of a name, loaded once a first stage asks for something of it."""

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        self._name = name
        self._arguments = arguments

    @property
    def centroids(self) -> Centroids | None:
        """The centroids that come with the model."""
        return self._model.centroids

    def encode_query(self, texts: Sequence[str], /) -> list[TokenVectors]:
        """Encodes queries."""
        return self._model.encode_query(texts)

    @cached_property
    def _model(self) -> JaColBERT:
        return load(self._arguments, self._name)
