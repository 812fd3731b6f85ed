"""Points into an archive, which is whole or not there."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from ...errors import InputError, StoreFileError, VectorError
from ...scoring.vectors import as_token_vectors, check_values
from ...types import ModelIdentity, Point, TokenVectors
from .manifest import DTYPES, MANIFEST, MOST_BYTES, Manifest, Part, StoredDtype, part_name, sha256
from .reading import Archive

PART_SIZE = 16_000_000
"""Bytes of vectors, as float32, or of JSON lines, after which a part is full."""

_EPOCH = (1980, 1, 1, 0, 0, 0)  # no clock: the same points make the same file


class ArchiveWriter:
    """Puts points into an archive that :func:`new_archive` has begun."""

    def __init__(self, file: zipfile.ZipFile, model: ModelIdentity, dtype: StoredDtype, part_size: int) -> None:
        self._file = file
        self._model = model
        self._dtype = dtype
        self._part_size = part_size
        self._parts: list[Part] = []
        self._vectors: list[TokenVectors] = []
        self._lines: list[bytes] = []
        self._size = {"vectors": 0, "lines": 0}

    @property
    def manifest(self) -> Manifest:
        """What has been written."""
        return Manifest(self._model, self._dtype, tuple(self._parts))

    def add(self, point: Point) -> None:
        """Adds a point; an id must come only once.

        Raises:
            InputError: If the id is no non-empty string, the payload is not JSON-serialisable, or the point is too
                large for one part.
            VectorError: If the vectors are none that a store would take, or too large for ``dtype``.
            OSError: If the file cannot be written.
        """
        vectors, line = self._checked(point), _line(point)
        sizes = {"vectors": vectors.size * 4, "lines": len(line)}
        if max(sizes.values()) > MOST_BYTES // 2:
            raise InputError(
                f"point {point.id!r} takes {max(sizes.values()):,} bytes, and a part of an archive has at most "
                f"{MOST_BYTES // 2:,}. Split the document."
            )
        if self._lines and any(self._size[kind] + sizes[kind] > self._part_size for kind in sizes):
            self._write_part()
        self._vectors.append(vectors)
        self._lines.append(line)
        for kind, size in sizes.items():
            self._size[kind] += size

    def finish(self) -> None:
        """Writes what is left, and the manifest."""
        if self._lines:
            self._write_part()
        self._write(MANIFEST, json.dumps(self.manifest.to_dict(), ensure_ascii=False, indent=1).encode())

    def _checked(self, point: Point) -> TokenVectors:
        if not isinstance(point.id, str) or not point.id:
            raise InputError(f"a point has the id {point.id!r}, but an id is a non-empty string.")
        what = f"point {point.id!r}"
        vectors = as_token_vectors(point.vectors, what, self._model.dimension)
        check_values(vectors, what)
        if self._dtype == "float32":
            return vectors
        with np.errstate(over="ignore"):
            stored = vectors.astype(self._dtype)
        try:
            check_values(stored, what)
        except VectorError as error:
            raise VectorError(f"{error} That is so as float16: write float32.") from None
        return stored

    def _write_part(self) -> None:
        name, vectors = part_name(len(self._parts)), np.concatenate(self._vectors)
        matrix, lines = save({"vectors": vectors}), b"".join(self._lines)
        self._parts.append(Part(len(self._lines), len(vectors), sha256(matrix), sha256(lines)))
        self._vectors, self._lines, self._size = [], [], {"vectors": 0, "lines": 0}
        self._write(f"{name}.safetensors", matrix)
        self._write(f"{name}.jsonl", lines)

    def _write(self, name: str, content: bytes) -> None:
        self._file.writestr(zipfile.ZipInfo(name, _EPOCH), content)


@contextmanager
def new_archive(
    path: str | Path, model: ModelIdentity, *, dtype: StoredDtype = "float32", part_size: int = PART_SIZE
) -> Iterator[ArchiveWriter]:
    """Creates an archive that takes its name only once it is whole, on the disk, and has been read back.

    Until then it is ``<path>.part``. Whatever goes wrong, that file is removed, and one that was at ``path`` stays as
    it was. After a kill it is left behind, for the next try to write over.

    Args:
        path: The file; a file that is there is replaced.
        model: What made the vectors.
        dtype: ``"float16"`` halves the file, and keeps about 3 digits of a number.
        part_size: Bytes of vectors, as float32, or of JSON lines, after which a part is full.

    Raises:
        InputError: If there is no such ``dtype``, or ``part_size`` is below 1.
        StoreFileError: If the file cannot be written: a full disk, a directory that is read-only.
    """
    path = Path(path)
    if dtype not in DTYPES:
        raise InputError(f"dtype is {dtype!r}, but vectors are kept as {' or '.join(map(repr, DTYPES))}.")
    if not isinstance(part_size, int) or isinstance(part_size, bool) or part_size < 1:
        raise InputError(f"part_size is {part_size!r}, but it must be an integer of at least 1.")
    unfinished = path.parent / f"{path.name}.part"
    try:
        if path.is_dir():
            raise StoreFileError(f"{path} is a directory, so no archive can be written there. Give the name of a file.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            with zipfile.ZipFile(file, "w") as zipped:
                writer = ArchiveWriter(zipped, model, dtype, part_size)
                yield writer
                writer.finish()
            file.flush()
            os.fsync(file.fileno())
        with Archive(unfinished) as archive:
            archive.verify()
        unfinished.replace(path)
        _sync_directory(path.parent)
    except BaseException as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise StoreFileError(
                f"{path} could not be written: {error.strerror or error}. Nothing unfinished was left, and a file that "
                "was there is as it was. Make room or give another path, and export again."
            ) from error
        raise


def _line(point: Point) -> bytes:
    record: dict[str, Any] = {"id": point.id, "tokens": len(point.vectors), "payload": dict(point.payload)}
    if point.text:
        record["text"] = point.text
    try:
        line = json.dumps(record, ensure_ascii=False, allow_nan=False)
        try:
            return line.encode() + b"\n"
        except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can hold
            return json.dumps(record, allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"point {point.id!r} has a payload that is not JSON-serialisable: {error}.") from None


def _sync_directory(path: Path) -> None:
    """Puts a new name on the disk too, where the system lets a directory be opened."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
