"""``jacolbert export``: a checkpoint in the layout of another library, and on the hub; or a collection in a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .location import add_location, opened
from .terminal import say
from .usage import UsageError


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "export",
        help="write a checkpoint for colbert-ai, PyLate or sentence-transformers, and publish it; or a collection",
        description="Writes a checkpoint in another layout, with its model card, and can upload it to the Hugging Face "
        "hub. The hub's token is that of 'hf auth login' or of the variable HF_TOKEN. With --collection, writes the "
        "points of a collection into one file, for 'jacolbert import'.",
    )
    parser.add_argument("model", nargs="?", help="a directory or hub id (default: the bundled jacolbert-small)")
    parser.add_argument(
        "--layout",
        choices=("stanford", "pylate", "sentence-transformers"),
        default="stanford",
        help="stanford is for colbert-ai and this package (default: %(default)s)",
    )
    parser.add_argument("--output", required=True, type=Path, help="the directory to write, or a collection's file")
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16"),
        default="float32",
        help="how weights, or a collection's vectors, are stored (default: float32)",
    )
    parser.add_argument("--card", type=Path, help="a model card in Markdown (default: the checkpoint's README.md)")
    parser.add_argument("--overwrite", action="store_true", help="replace the checkpoint that is there")
    parser.add_argument("--push-to", metavar="REPO", help="upload it to this repository of the hub")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--create-pr", action="store_true", help="open a pull request instead of committing")
    parser.add_argument("--collection", metavar="NAME", help="write this collection, and no checkpoint")
    add_location(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    if arguments.collection is not None:
        _export_collection(arguments)
    else:
        _export_checkpoint(arguments)


def _export_collection(arguments: argparse.Namespace) -> None:
    from ..errors import InputError
    from ..qdrant import QdrantStore
    from ..stores.archive import export_points

    if arguments.model is not None or arguments.push_to is not None:
        raise UsageError("--collection exports the points of a collection: leave out the model and --push-to.")
    if arguments.output.exists() and not arguments.overwrite:
        raise InputError(f"{arguments.output} is there already. Write --overwrite to replace it.")
    with opened(arguments, must_exist=True) as client:
        manifest = export_points(QdrantStore(client, arguments.collection), arguments.output, dtype=arguments.dtype)
    size = arguments.output.stat().st_size / 2**20
    say(
        f"{manifest.points:,} points with {manifest.tokens:,} vectors are in {arguments.output} ({manifest.dtype}, "
        f"{size:,.1f} MiB), made by {manifest.model.name}"
    )


def _export_checkpoint(arguments: argparse.Namespace) -> None:
    from ..encoding.encoder import JaColBERT
    from ..exporting.hub import push_to_hub
    from ..exporting.layouts import export

    model = JaColBERT.from_pretrained(arguments.model)
    path = export(
        model,
        arguments.output,
        arguments.layout,
        dtype=arguments.dtype,
        card=_card(arguments.model, arguments.card),
        overwrite=arguments.overwrite,
    )
    say(f"{model.name} is in {path} ({arguments.layout} layout, {arguments.dtype})")
    if not (path / "README.md").is_file():
        say("It has no card (README.md): data, licence, recipe, metrics and how to reproduce it.")
    if model.query_length not in (None, "fixed") and arguments.layout != "stanford":
        say(
            f"Its query-length rule here is {model.query_length!r}; that library pads and cuts queries at one length, "
            "as the rule 'fixed' does."
        )
    if arguments.push_to is not None:
        address = push_to_hub(path, arguments.push_to, private=arguments.private or None, create_pr=arguments.create_pr)
        say(f"Uploaded: {address}")


def _card(model: str | None, card: Path | None) -> str | None:
    """Copies a checkpoint's licence and origin into the card of its export."""
    from ..checkpoints.hub import BUNDLED, default_name
    from ..errors import InputError

    file = card
    if file is None:
        name = default_name() if model is None else model
        folder = BUNDLED.get(name, Path(name).expanduser())
        file = folder / "README.md"
        if not file.is_file():
            return None
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the card {file} cannot be read: {error}") from None
