"""``jacolbert centroids``: the centroids of a model's token vectors, for first stages that need no shared word."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .model import add_model, load
from .terminal import say
from .usage import UsageError


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "centroids",
        help="learn centroids of a model's token vectors, which find candidates without shared words",
        description="Learns the centroids of a model's token vectors from much and varied text, best of the kind that "
        "will be searched; some 4,000 passages are enough. In the model's own folder, as centroids.safetensors, they "
        "are found by themselves. jacolbert-small and jacolbert-mini bring theirs.",
    )
    parser.add_argument(
        "files", nargs="+", type=Path, help="files and folders, as of jacolbert index, and SQuAD-style .json"
    )
    add_model(parser)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="where to write them (default: centroids.safetensors in the model's own folder)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace centroids that are there already")
    parser.add_argument("--count", type=int, metavar="N", help="how many centroids (default: 16,384)")
    parser.add_argument(
        "--nprobe", type=int, metavar="N", help="how many of them each token vector of a query looks at (default: 16)"
    )
    parser.add_argument("--seed", type=int, default=42, help="(default: %(default)s)")
    parser.add_argument("--text-key", default="text", metavar="KEY", help="key or column of the text (%(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    from ..errors import InputError
    from ..scoring.centroids import FILE

    own = None if arguments.model is None else Path(arguments.model)
    if arguments.output is None and (own is None or not own.is_dir()):
        raise UsageError("say where to write the centroids with --output: the model is in no folder of yours.")
    output = arguments.output if own is None or arguments.output is not None else own / FILE
    if not output.parent.is_dir():
        raise UsageError(f"--output is {output}, but there is no folder {output.parent}.")
    if output.exists() and not arguments.overwrite:  # collections that were made with them need them
        raise InputError(f"{output} is there already. Write --overwrite to replace it, or choose another --output.")
    texts = list(_texts(arguments.files, arguments.text_key))

    from ..training.centroids import COUNT, NPROBE, learn_centroids

    model = load(arguments)
    count = COUNT if arguments.count is None else arguments.count
    nprobe = NPROBE if arguments.nprobe is None else arguments.nprobe
    found = learn_centroids(model, texts, count=count, nprobe=nprobe, seed=arguments.seed)
    found.save(output)
    say(f"{len(found):,} centroids of {model.name}, learned from {len(texts):,} texts, are in {output}")


def _texts(paths: list[Path], text_key: str) -> Iterator[str]:
    from ..text.files import FileReader
    from ..text.squad import read_squad

    squad = [path for path in paths if path.suffix == ".json"]
    if squad:
        yield from (passage.text for passage in read_squad(squad).passages)
    others = [path for path in paths if path.suffix != ".json"]
    if others:
        reader = FileReader(text_key=text_key)
        yield from (document.text for document in reader.read(others))
