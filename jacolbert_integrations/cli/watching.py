"""Files that are watched: which of them have changed since they were looked at."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import sleep

_SECONDS = 1.0

Seen = dict[str, tuple[int, int]]
"""The time of the last change, in nanoseconds, and the size in bytes of each file, by its path."""


def seen(paths: Iterable[Path]) -> Seen:
    """Looks at files, and at all files in folders; what is not there, or cannot be read, is left out."""
    found: Seen = {}
    for path in paths:
        for file in _files(os.fspath(path)):
            try:
                status = os.stat(file)  # noqa: PTH116 - of any name
            except OSError:
                continue
            found[file] = (status.st_mtime_ns, status.st_size)
    return found


def changes(paths: Iterable[Path], before: Seen, *, seconds: float = _SECONDS) -> Iterator[Seen]:
    """Waits for changes, and yields what is there then, each time that it differs and has stayed so for a while.

    Files are looked at again and again, which works on every file system, also across a network, and where an editor
    puts a new file in the place of one that is named: a watcher of the system's own loses track of that.

    Args:
        paths: Files and folders.
        before: What is known already.
        seconds: Between two looks.
    """
    known = last = before
    while True:
        sleep(seconds)
        now = seen(paths)
        if now == last and now != known:  # nobody is writing just now
            known = now
            yield now
        last = now


def _files(path: str) -> Iterator[str]:
    if not os.path.isdir(path):  # noqa: PTH112 - of any name
        yield path
        return
    for folder, _, names in os.walk(path):
        yield from (os.path.join(folder, name) for name in names)  # noqa: PTH118 - of any name
