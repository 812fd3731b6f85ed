"""``jacolbert import``: a collection from a file that ``jacolbert export`` wrote."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .place import add_collection, add_new_collection, add_place, opened, store_in
from .terminal import say


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "import",
        help="read a file of points into a Qdrant collection",
        description="Checks a file that 'jacolbert export --collection' wrote, all of it, and writes its points into a "
        "collection, which is made if need be. No model is loaded. Killed and run again, it ends right.",
    )
    parser.add_argument("file", type=Path)
    add_place(parser)
    add_collection(parser)
    add_new_collection(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    from ..stores.archive import import_points

    with opened(arguments) as client:
        store = store_in(client, arguments.collection, arguments)
        result = import_points(arguments.file, store)
        say(f"{arguments.collection} in {arguments.at}: {result}, made by {result.manifest.model.name}")
