"""``jacolbert index``: documents from files into a Qdrant collection."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .place import add_collection, add_new_collection, add_place, opened, store_in
from .terminal import say


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "index",
        help="write documents from files into a Qdrant collection",
        description="Encodes documents and writes them into a collection, which is made if need be. Run again, it "
        "encodes only what is new or has changed; killed and run again, it goes on. Files: .jsonl with a text, an id "
        "and a payload a line, .tsv with an id and a text, .txt and .md with a document each, and folders of these.",
    )
    parser.add_argument("files", nargs="+", type=Path, help="files and folders")
    add_place(parser)
    add_collection(parser)
    add_new_collection(parser)
    parser.add_argument("--model", help="a checkpoint's directory or hub id (default: the bundled mini model)")
    parser.add_argument("--pooling", help="fewer vectors a document, such as hierarchical-2 for half of them")
    parser.add_argument(
        "--too-long",
        choices=("split", "refuse", "cut"),
        default="split",
        help="what becomes of a document of more tokens than the model reads (default: %(default)s into windows)",
    )
    parser.add_argument("--batch", type=int, default=256, help="documents that are encoded at a time (%(default)s)")
    parser.add_argument("--processes", type=int, default=0, metavar="N", help="encode in N processes")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    from contextlib import nullcontext

    from ..encoding.encoder import JaColBERT
    from ..encoding.parallel import EncoderPool
    from ..qdrant import QdrantWriter
    from ..text.files import read_documents
    from .report import failures

    model = JaColBERT.from_pretrained(arguments.model, pooling=arguments.pooling)
    devices = ["cpu"] * arguments.processes if model.model.device.type == "cpu" else None
    pool = EncoderPool(model, devices) if arguments.processes else nullcontext()
    with opened(arguments.at, grpc=arguments.grpc) as client, pool as encoders:
        store = store_in(client, arguments.collection, arguments)
        writer = QdrantWriter(store, model, batch=arguments.batch, too_long=arguments.too_long, pool=encoders)
        result = writer.write(read_documents(arguments.files))
        say(f"{arguments.collection} in {arguments.at}: {result}")
        say(f"It holds {store.count():,} points now.")
    failures(result.failed)
