"""``jacolbert models`` and ``jacolbert download``: which models are here, how large others are, and fetching ahead."""

from __future__ import annotations

import argparse
from typing import Any

from .terminal import say

_MB = 10**6


def add_command(commands: Any) -> None:
    """Registers both commands."""
    models = commands.add_parser(
        "models",
        help="show the models that are here, and how large others are",
        description="Shows the bundled models, the late-interaction models in the local cache of the Hugging Face hub, "
        "and the JaColBERT models that could be downloaded. Of models that are named, the hub is asked how large they "
        "are.",
    )
    models.add_argument("names", nargs="*", metavar="model", help="hub ids to look up")
    models.add_argument("--revision", help="branch, tag or commit of them")
    models.set_defaults(run=run)
    download = commands.add_parser(
        "download",
        help="fetch a model ahead, for work without a network",
        description="Downloads what is read of a model into the local cache, and checks it. It is then found without a "
        "network.",
    )
    download.add_argument("names", nargs="+", metavar="model", help="hub ids, such as answerdotai/JaColBERTv2.5")
    download.add_argument("--revision", help="branch, tag or commit of them")
    download.set_defaults(run=run_download)


def run(arguments: argparse.Namespace) -> None:
    """Runs ``jacolbert models``."""
    from ..checkpoints.hub import BUNDLED, default_name
    from ..checkpoints.inventory import PUBLISHED, cached_models, download_of, size_of

    if arguments.names:
        for name in arguments.names:
            found = download_of(name, arguments.revision)
            here = "all of it is here" if not found.missing else f"{_size(found.missing_bytes)} to download"
            _line(name, f"{len(found.files)} files", found.bytes, here)
        return
    for name, folder in BUNDLED.items():
        _line(name, "bundled", size_of(folder), "the default" if name == default_name() else "")
    cached = cached_models()
    for name, size in cached.items():
        _line(name, "cached", size)
    for name in PUBLISHED:
        if name not in cached:
            _line(name, "on the hub", None, f"jacolbert download {name}")


def run_download(arguments: argparse.Namespace) -> None:
    """Runs ``jacolbert download``."""
    from ..checkpoints.hub import BUNDLED, resolve_checkpoint
    from ..checkpoints.inventory import size_of
    from ..checkpoints.layouts import inspect_checkpoint

    for name in arguments.names:
        folder, called = resolve_checkpoint(name, revision=arguments.revision)
        layout = inspect_checkpoint(folder).layout.value
        where = "bundled" if name in BUNDLED else "here"
        _line(called, where, size_of(folder), f"{layout}, in {folder}")


def _line(name: str, state: str, size: int | None, note: str = "") -> None:
    shown = "" if size is None else _size(size)
    say(f"{name:<28} {state:<11} {shown:>9}  {note}".rstrip())


def _size(count: int) -> str:
    return f"{count / _MB:,.1f} MB"
