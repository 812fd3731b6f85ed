"""``jacolbert index``: documents from files into a Qdrant collection."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import StoreError, WriteError
from .location import (
    add_collection,
    add_location,
    add_new_collection,
    check_reachable,
    nothing_left_after_failure,
    opened,
    store_in,
)
from .model import add_model, load
from .terminal import say
from .usage import positive
from .watching import Seen, changes, seen

if TYPE_CHECKING:
    from ..encoding.encoder import JaColBERT
    from ..encoding.parallel import EncoderPool


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "index",
        help="write documents from files into a Qdrant collection",
        description="Encodes documents and writes them into a collection, which is made if need be. Run again, it "
        "encodes only what is new or has changed; killed and run again, it goes on. Files: .jsonl with a text, an id "
        "and a payload a line, .csv and .tsv with a header, .tsv with an id and a text, .txt and .md with a document "
        "each, and folders of these.",
    )
    parser.add_argument("files", nargs="+", type=Path, help="files and folders")
    add_location(parser)
    add_collection(parser)
    add_new_collection(parser)
    add_model(parser)
    parser.add_argument("--pooling", help="fewer vectors a document, such as hierarchical-2 for half of them")
    parser.add_argument(
        "--too-long",
        choices=("split", "refuse", "cut"),
        default="split",
        help="what becomes of a document of more tokens than the model reads (default: %(default)s into windows)",
    )
    parser.add_argument(
        "--batch", type=positive, default=256, help="documents that are written at a time (%(default)s)"
    )
    parser.add_argument(
        "--batch-tokens",
        type=positive,
        metavar="N",
        help="tokens that are encoded at once: fewer need less memory (default: 1,024, or 32,768 on a GPU)",
    )
    parser.add_argument("--processes", type=int, default=0, metavar="N", help="encode in N processes")
    parser.add_argument(
        "--root",
        type=Path,
        metavar="FOLDER",
        help="what paths in ids are relative to (default: what the collection was indexed with, or this folder)",
    )
    parser.add_argument(
        "--encoding", help="of the files (default: found out for each: UTF-8, UTF-16 with a mark, EUC-JP, Shift_JIS)"
    )
    parser.add_argument("--text-key", default="text", metavar="KEY", help="key or column of the text (%(default)s)")
    parser.add_argument("--id-key", default="id", metavar="KEY", help="key or column of the id (%(default)s)")
    parser.add_argument(
        "--skip-bad-rows", action="store_true", help="rows and files that cannot be read are named, but no error"
    )
    parser.add_argument("--prune", action="store_true", help="remove documents whose file or row is gone")
    parser.add_argument("--watch", action="store_true", help="stay, and index again whenever a file has changed")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    from contextlib import nullcontext

    from ..qdrant import FailedDocument
    from ..text.files import FileReader
    from .report import failures

    problems: list[FailedDocument] = []
    reader = FileReader(
        encoding=arguments.encoding,
        text_key=arguments.text_key,
        id_key=arguments.id_key,
        bad=lambda where, reason: problems.append(FailedDocument(where, reason)),
    )
    # A model takes seconds to load, for nothing; but what is gone from its file may be to be removed.
    if not arguments.prune and next(reader.read(arguments.files), None) is None and problems and not arguments.watch:
        failures((), problems, skip=arguments.skip_bad_rows)
        return
    check_reachable(arguments)

    from ..encoding.parallel import EncoderPool

    model = load(arguments, pooling=arguments.pooling)
    if arguments.batch_tokens is not None:
        model.batch_tokens = arguments.batch_tokens
    devices = ["cpu"] * arguments.processes if model.model.device.type == "cpu" else None
    pool = EncoderPool(model, devices) if arguments.processes else nullcontext()
    with pool as encoders:
        before = seen(arguments.files)
        try:
            with nothing_left_after_failure(arguments):
                _index(arguments, model, encoders)
        except WriteError as error:
            if not arguments.watch:
                raise
            say(error, file=sys.stderr)
        if arguments.watch:
            _watch(arguments, model, encoders, before)


def _watch(arguments: argparse.Namespace, model: JaColBERT, encoders: EncoderPool | None, before: Seen) -> None:
    """Indexes again whenever something has changed, until it is interrupted."""
    say("Watching for changes. Ctrl-C ends it.")
    for _ in changes(arguments.files, before):
        try:
            _index(arguments, model, encoders)
        except StoreError as error:  # a file that is half-written, a server that is away for a moment
            say(error, file=sys.stderr)


def _index(arguments: argparse.Namespace, model: JaColBERT, encoders: EncoderPool | None) -> None:
    """Reads the files once, and writes what is new or has changed."""
    from ..qdrant import QdrantWriter
    from ..text.files import FileReader
    from .report import failures
    from .sources import Sources

    with opened(arguments) as client:
        store = store_in(client, arguments.collection, arguments)
        writer = QdrantWriter(store, model, batch=arguments.batch, too_long=arguments.too_long, pool=encoders)
        sources = Sources(store)
        reader = FileReader(
            root=sources.root if arguments.root is None else arguments.root,
            encoding=arguments.encoding,
            text_key=arguments.text_key,
            id_key=arguments.id_key,
            bad=sources.bad,
        )
        documents = sources.checked(reader.read(arguments.files))
        result = writer.write(documents, characters=_characters(arguments) if sys.stderr.isatty() else None)
        say(f"{arguments.collection} in {arguments.location}: {result}")
        if sources.repeated:
            say(f"{sources.repeated:,} rows were the same as one before them, and are one document with it.")
        gone = sources.gone(reader, arguments.files)
        if gone and arguments.prune:
            sources.remove(gone)
            say(f"{len(gone):,} documents were removed: their files or rows are gone.")
        elif gone:
            say(f"{len(gone):,} documents are still there whose files or rows are gone. --prune removes them.")
        say(f"It holds {store.count():,} points now.")
    failures(result.failed, sources.problems, skip=arguments.skip_bad_rows)


def _characters(arguments: argparse.Namespace) -> int:
    """Counts the characters of all texts: files are read twice, which takes little beside encoding them once."""
    from ..text.files import FileReader

    reader = FileReader(
        encoding=arguments.encoding,
        text_key=arguments.text_key,
        id_key=arguments.id_key,
        bad=lambda *_: None,  # is told of where they are written
    )
    return sum(len(document.text) for document in reader.read(arguments.files))
