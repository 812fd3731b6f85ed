"""Points out of an archive, each after its checksum."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from ...errors import StoreFileError
from ...types import Point, TokenVectors
from ..model_identity import identity_from_dict
from .manifest import DTYPES, FORMAT, MANIFEST, MOST_BYTES, VERSION, Manifest, Part, part_name, sha256

# What zipfile, json, numpy and safetensors raise for bytes that mean nothing.
_UNREADABLE = (
    zipfile.BadZipFile, SafetensorError, OSError, ValueError, TypeError, RuntimeError, EOFError, KeyError, IndexError,
    OverflowError, struct.error,
)  # fmt: skip


def read_manifest(path: str | Path) -> Manifest:
    """Reads the manifest of an archive, and none of its points.

    Raises:
        StoreFileError: If there is no archive, or it is of another version or cut off.
    """
    with Archive(path) as archive:
        return archive.manifest


class Archive:
    """An archive, open for reading. Close it, or use it in a ``with``.

    Nothing in the file is believed before its checksum has been compared, and no name in it is ever a path on the
    disk.

    Args:
        path: The file.

    Raises:
        StoreFileError: If there is no archive, it is of another version or cut off, or a part is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._readable("its directory"):
            if not self.path.is_file():
                raise StoreFileError(f"there is no file {self.path}.")
            self._file = zipfile.ZipFile(self.path)
        try:
            self._check_members()
            self.manifest = self._read_manifest()
            self._check_names()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def parts(self) -> Iterator[list[Point]]:
        """Yields the points, one part of the archive at a time, after checking its checksums, counts and shapes.

        Raises:
            StoreFileError: At the first part that is not what was written; after the last, if an id comes twice.
        """
        digests = bytearray()
        for number, part in enumerate(self.manifest.parts):
            points = self._points(part_name(number), part)
            for point in points:
                digests += hashlib.blake2b(point.id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            yield points
        self._check_unique(digests)

    def verify(self) -> Manifest:
        """Reads everything, and returns the manifest.

        Raises:
            StoreFileError: As :meth:`parts`.
        """
        for _ in self.parts():
            pass
        return self.manifest

    def _points(self, name: str, part: Part) -> list[Point]:
        lines = self._checked(f"{name}.jsonl", part.points_sha256).split(b"\n")
        vectors = self._matrix(f"{name}.safetensors", part)
        if lines.pop() or len(lines) != part.points:
            self._broken(f"{name}.jsonl", f"it has not the {part.points} lines that the manifest says")
        points, start = [], 0
        for place, line in enumerate(lines, 1):
            where = f"{name}.jsonl, line {place}"
            record = {"text": "", **self._json(where, line)}
            with self._readable(where):
                point_id, tokens, payload, text = (record[key] for key in ("id", "tokens", "payload", "text"))
                if not (isinstance(point_id, str) and point_id and _is_count(tokens) and tokens > 0):
                    raise ValueError("its id is no string, or its tokens no number")
                if not (isinstance(payload, dict) and isinstance(text, str)):
                    raise ValueError("its payload is no object, or its text no string")
            points.append(Point(point_id, vectors[start : start + tokens], payload, text))
            start += tokens
        if start != len(vectors):
            self._broken(f"{name}.jsonl", f"its points have {start} token vectors, and there are {len(vectors)}")
        return points

    def _matrix(self, member: str, part: Part) -> TokenVectors:
        content = self._checked(member, part.vectors_sha256)
        with self._readable(member):
            tensors = load(content)
        vectors = tensors.get("vectors")
        expected = (part.tokens, self.manifest.model.dimension)
        if vectors is None or vectors.shape != expected or vectors.dtype != np.dtype(self.manifest.dtype):
            found = {name: (str(tensor.dtype), tensor.shape) for name, tensor in tensors.items()}
            self._broken(member, f"it holds {found}, not a {self.manifest.dtype} matrix 'vectors' of {expected}")
        return vectors.astype(np.float32, copy=False)

    def _check_members(self) -> None:
        """Sizes come from the file: none is believed that its length cannot bear out."""
        length = self.path.stat().st_size
        names = set()
        for info in self._file.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 0x1 or info.filename in names:
                self._broken(info.filename, "it is compressed, encrypted or there twice, as no export writes it")
            if info.compress_size != info.file_size or info.file_size > min(length, MOST_BYTES):
                self._broken(info.filename, f"it says that it has {info.file_size:,} bytes, in a file of {length:,}")
            names.add(info.filename)

    def _check_names(self) -> None:
        names = [part_name(number) for number in range(len(self.manifest.parts))]
        expected = {MANIFEST, *(f"{name}.{kind}" for name in names for kind in ("safetensors", "jsonl"))}
        found = set(self._file.namelist())
        if missing := sorted(expected - found):
            self._broken(missing[0], "it is missing")
        if unknown := sorted(found - expected):
            self._broken(unknown[0], "no export writes such a file")

    def _read_manifest(self) -> Manifest:
        if MANIFEST not in self._file.namelist():
            raise StoreFileError(f"{self.path} is no export of points: there is no {MANIFEST} in it.")
        record = self._json(MANIFEST, self._read(MANIFEST))
        if record.get("format") != FORMAT:
            raise StoreFileError(f"{self.path} is no export of points: its format is {record.get('format')!r}.")
        if record.get("version") != VERSION:
            raise StoreFileError(
                f"{self.path} has the version {record.get('version')!r}; this release reads {VERSION}. Read it with "
                "the release that wrote it."
            )
        with self._readable(MANIFEST):
            manifest = Manifest(
                identity_from_dict(record["model"], f"{self.path}, {MANIFEST},"),
                record["dtype"],
                tuple(
                    Part(part["points"], part["tokens"], part["sha256"]["safetensors"], part["sha256"]["jsonl"])
                    for part in record["parts"]
                ),
            )
            counts = [n for part in manifest.parts for n in (part.points, part.tokens)]
            if not _is_count(manifest.model.dimension) or not all(map(_is_count, counts)):
                raise ValueError("a dimension or a count is no number")
            if manifest.dtype not in DTYPES or manifest.to_dict()["parts"] != record["parts"]:
                raise ValueError("a dtype or a part has another form")
            if (manifest.points, manifest.tokens) != (record["points"], record["tokens"]):
                raise ValueError("its parts do not add up to its totals")
        return manifest

    def _check_unique(self, digests: bytearray) -> None:
        halves = np.frombuffer(bytes(digests), np.uint64).reshape(-1, 2)
        order = np.lexsort((halves[:, 1], halves[:, 0]))
        same = (halves[order[1:]] == halves[order[:-1]]).all(axis=1)
        if same.any():
            place = int(np.argmax(same))
            pair = sorted(int(i) for i in order[place : place + 2])
            self._broken("its points", f"the points {pair[0]} and {pair[1]}, counted from 0, have the same id")

    def _checked(self, member: str, checksum: str) -> bytes:
        content = self._read(member)
        if sha256(content) != checksum:
            self._broken(member, "its checksum is not the one in the manifest")
        return content

    def _read(self, member: str) -> bytes:
        with self._readable(member):
            return self._file.read(member)

    def _json(self, where: str, content: bytes) -> dict[str, Any]:
        with self._readable(where):
            record = json.loads(content)
            if not isinstance(record, dict):
                raise ValueError("it is no JSON object")
        return record

    @contextmanager
    def _readable(self, member: str) -> Iterator[None]:
        try:
            yield
        except _UNREADABLE as error:
            self._broken(member, " ".join(str(error).split()) or type(error).__name__)

    def _broken(self, member: str, reason: str) -> NoReturn:
        raise StoreFileError(
            f"{self.path} cannot be used, because of {member}: {reason}. The file is damaged, or no export; copy it "
            "again, or export again."
        ) from None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
