"""The files of a saved memory store: every byte of them under a checksum, and replaced in one step."""

from __future__ import annotations

import hashlib
import json
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ..errors import StoreFileError
from ..types import ModelIdentity, Point
from .model_identity import identity_from_dict

_FORMAT = "jacolbert-memory-store"
_VERSION = 1
_INDEX = "store.json"
_LOCK = ".store.lock"
_UNFINISHED = ".unfinished-"
_PATIENCE = 600  # seconds that somebody else may take to save as much as fits in memory


def write_memory(folder: Path, identity: ModelIdentity, points: Sequence[Point]) -> None:
    """Writes points to a folder.

    Raises:
        StoreFileError: If it cannot be written; what was there before stays.
    """
    vectors_file = f"vectors-{uuid.uuid4().hex[:12]}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            for old in folder.glob(f"{_UNFINISHED}*"):  # of work that was killed: nobody else is at it
                old.unlink(missing_ok=True)
            try:
                empty = np.empty((0, identity.dimension), np.float32)
                matrix = np.concatenate([empty, *(p.vectors for p in points)])
                save_file({"vectors": matrix}, folder / vectors_file)
                record = {
                    "format": _FORMAT,
                    "version": _VERSION,
                    "model": identity.to_dict(),
                    "vectors": vectors_file,
                    "vectors_sha256": _sha256(folder / vectors_file),
                    "points": [{"id": p.id, "tokens": len(p.vectors), "payload": dict(p.payload)} for p in points],
                }
                with tempfile.NamedTemporaryFile(
                    "w", encoding="utf-8", dir=folder, prefix=_UNFINISHED, delete=False
                ) as unfinished:
                    json.dump({**record, "sha256": _checksum(record)}, unfinished, ensure_ascii=False, allow_nan=False)
                Path(unfinished.name).replace(folder / _INDEX)
            except BaseException:
                for left in [folder / vectors_file, *folder.glob(f"{_UNFINISHED}*")]:
                    left.unlink(missing_ok=True)
                raise
            for old in folder.glob("vectors-*.safetensors"):
                if old.name != vectors_file:
                    old.unlink(missing_ok=True)
    except (OSError, ValueError, SafetensorError) as error:
        raise StoreFileError(f"{folder} could not be written ({error}); what was saved before is as it was.") from error


def read_memory(folder: Path) -> tuple[ModelIdentity, list[Point]]:
    """Reads what :func:`write_memory` wrote; files of earlier versions, which have no checksums, too.

    Raises:
        StoreFileError: If something is missing, damaged or does not fit together.
    """
    with _locked(folder):
        record = _read_index(folder)
        identity = identity_from_dict(record["model"], str(folder))
        file = folder / record["vectors"]
        try:
            if record.get("vectors_sha256") not in (None, _sha256(file)):
                raise StoreFileError(f"{file} is damaged: its checksum is not the one that was saved.")
            vectors = load_file(file)["vectors"]
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise StoreFileError(f"{file} cannot be read: {error}.") from None
    ends = np.cumsum([0, *(point["tokens"] for point in record["points"])])
    if vectors.shape != (ends[-1], identity.dimension) or vectors.dtype != np.float32:
        raise StoreFileError(
            f"{folder}: {_INDEX} describes {ends[-1]} vectors of {identity.dimension} dimensions, but "
            f"{record['vectors']} holds {vectors.shape}. The two are not of the same save."
        )
    return identity, [
        Point(point["id"], vectors[start:end], point["payload"])
        for point, start, end in zip(record["points"], ends[:-1], ends[1:], strict=True)
    ]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keeps others from saving. Where no file can be made, such as on a read-only disk, nobody saves anyway."""
    lock = FileLock(folder / _LOCK, timeout=_PATIENCE)
    try:
        if not folder.is_dir():
            raise FileNotFoundError(folder)
        lock.acquire()
    except Timeout:
        raise StoreFileError(f"another process has kept {folder} locked for {_PATIENCE} s. Try again.") from None
    except OSError:
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _read_index(folder: Path) -> dict[str, Any]:
    file = folder / _INDEX
    if not file.is_file():
        raise StoreFileError(f"{folder} holds no saved store: there is no {_INDEX}.")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreFileError(f"{file} is no valid JSON ({error}).") from None
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise StoreFileError(f"{file} is none of a {_FORMAT}.")
    if record.get("version") != _VERSION:
        raise StoreFileError(f"{file} has the version {record.get('version')!r}; this release reads {_VERSION}.")
    if missing := {"model", "vectors", "points"} - record.keys():
        raise StoreFileError(f"{file} lacks {', '.join(sorted(missing))}.")
    checksum = record.pop("sha256", None)
    if checksum not in (None, _checksum(record)) or not _is_well_formed(record):
        raise StoreFileError(f"{file} is damaged: its contents are not those that were saved.")
    return record


def _is_well_formed(record: dict[str, Any]) -> bool:
    name, points = record["vectors"], record["points"]
    return (
        isinstance(record["model"], dict)
        and isinstance(name, str)
        and name == Path(name).name
        and isinstance(points, list)
        and all(
            isinstance(point, dict)
            and isinstance(point.get("id"), str)
            and type(point.get("tokens")) is int
            and point["tokens"] > 0
            and isinstance(point.get("payload"), dict)
            for point in points
        )
    )


def _checksum(record: dict[str, Any]) -> str:
    canonical = json.dumps(record, sort_keys=True, allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
