"""Long work written down as it is done, so that a kill loses nothing and nothing is done twice."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from ..errors import InputError

V = TypeVar("V")

_REMEDY = "Give another file, or delete this one to start again."


class Journal(Generic[V]):
    """An append-only file of JSON lines: a header that says what work this is, then a batch of keys and values a line.

    Opened again, it knows what has been done. A batch is there as a whole or not at all: a last line that a
    kill cut short is dropped. So the batches of a run that goes on are those of a run that never stopped, which
    matters where the last digits of a model's answers depend on what else is in a batch.

    Args:
        file: The file; made with its folders when there is none.
        work: What decides the values: model, settings, data. A file made by other work is refused.

    Attributes:
        done: Key to value of all that has been done.

    Raises:
        InputError: If the file was made by other work, or is no journal; it is left as it was.
        OSError: If it cannot be read or written.
    """

    def __init__(self, file: str | Path, work: Mapping[str, Any]) -> None:
        self.file = Path(file)
        self.done: dict[str, V] = {}
        header = json.loads(json.dumps({"journal": 1, "work": work}))
        self.file.parent.mkdir(parents=True, exist_ok=True)
        whole = 0
        if self.file.exists():
            whole = self._read(header)
            os.truncate(self.file, whole)
        # Appending: two processes on one file by mistake may write a line twice, but never over each other.
        self._stream = self.file.open("ab")
        if not whole:
            self._write(header)

    def add(self, entries: Iterable[tuple[str, V]]) -> None:
        """Writes a batch of entries down, on the disk when it returns."""
        if batch := dict(entries):
            self._write(batch)
            self.done.update(batch)

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()

    def __enter__(self) -> Journal[V]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, header: Any) -> int:
        """Takes in what is there; returns how many bytes of it are whole lines."""
        whole = 0
        with self.file.open("rb") as stream:
            for number, line in enumerate(stream):
                if not line.endswith(b"\n"):
                    # Half a header is ours to write anew; anything else without a header is somebody's file.
                    if not number and not _line(header).startswith(line):
                        raise InputError(f"{self.file} is no journal. {_REMEDY}")
                    break
                try:
                    entry = json.loads(line)
                    if number:
                        self.done.update(entry.items())
                except (ValueError, AttributeError):
                    raise InputError(f"line {number + 1} of {self.file} is no entry of a journal. {_REMEDY}") from None
                if not number and entry != header:
                    raise InputError(f"{self.file} was made by other work: {_difference(entry, header)}. {_REMEDY}")
                whole += len(line)
        return whole

    def _write(self, entry: Any) -> None:
        self._stream.write(_line(entry))
        self._stream.flush()
        os.fsync(self._stream.fileno())


def key_of(*parts: Any) -> str:
    """Computes a journal key for any JSON value: the same for equal values, in any process."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _line(entry: Any) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode() + b"\n"


def _difference(there: Any, here: Any) -> str:
    """Describes where the two headers disagree, by the name of the setting."""
    try:
        old, new = there["work"], here["work"]
        names = [name for name in [*old, *(n for n in new if n not in old)] if old.get(name) != new.get(name)]
        pairs = [f"{name} is {old.get(name)!r} there and {new.get(name)!r} here" for name in names]
    except (TypeError, KeyError, AttributeError):
        pairs = []
    text = "; ".join(pairs) or f"it begins with {there!r}"
    return text if len(text) <= 600 else f"{text[:600]}…"
