"""Reading a checkpoint's JSON, and the names and shapes of its weights, with nothing but the standard library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import CorruptCheckpointError, IncompleteCheckpointError

INT8_FILE = "model.int8.safetensors"
"""Weights of one byte each (see :mod:`.int8`), in a file of its own name: other libraries would take the integers for
the weights, and so say that there is no ``model.safetensors``, which is true."""

INT8_SCALE = ".scale"
"""What follows the name of a matrix in the name of its scales."""


def weight_shapes(path: Path) -> dict[str, tuple[int, ...]] | None:
    """Reads the names and shapes of the safetensors weights in a directory, from their headers alone.

    Returns:
        Name to shape; None where the directory has no safetensors file (a ``.bin`` file has to be
        unpickled to be known).

    Raises:
        CorruptCheckpointError: If a file is truncated or its header cannot be read.
        IncompleteCheckpointError: If a shard is missing.
    """
    index = path / "model.safetensors.index.json"
    if (path / "model.safetensors").is_file():
        return _safetensors_shapes(path / "model.safetensors")
    if (int8 := int8_weights(path)) is not None:
        stored = _safetensors_shapes(int8)
        scales = {f"{name}{INT8_SCALE}" for name in stored}
        return {name: shape for name, shape in stored.items() if name not in scales}
    if not index.is_file():
        return None
    shapes: dict[str, tuple[int, ...]] = {}
    named = read_object(index).get("weight_map", {})
    if not isinstance(named, dict) or not all(isinstance(shard, str) for shard in named.values()):
        raise CorruptCheckpointError(f"{index} has no weight_map from names of weights to their files.")
    for shard in sorted(set(named.values())):
        if shard != Path(shard).name:
            raise CorruptCheckpointError(f"{index} names the shard {shard!r:.100}, which is not beside it.")
        if not (path / shard).is_file():
            raise IncompleteCheckpointError(f"{index} names the shard {shard}, which is missing.")
        shapes |= _safetensors_shapes(path / shard)
    return shapes


def int8_weights(path: Path) -> Path | None:
    """Returns the file of one-byte weights in a directory; None where there is none, or whole weights beside it."""
    file = path / INT8_FILE
    return file if file.is_file() and not (path / "model.safetensors").is_file() else None


def _safetensors_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= size - 8:
            raise CorruptCheckpointError(
                f"{file} has {size} bytes and announces a header of {length}: it is truncated, or no safetensors "
                "file (a Git LFS pointer, perhaps). Download it again."
            )
        try:
            header = json.loads(stream.read(length))
            tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
            end = 8 + length + max((int(entry["data_offsets"][1]) for entry in tensors.values()), default=0)
            shapes = {name: tuple(map(int, entry["shape"])) for name, entry in tensors.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptCheckpointError(f"{file} has an unreadable safetensors header ({error}).") from None
    if end > size:
        raise CorruptCheckpointError(f"{file} has {size} bytes of {end}: it is truncated. Download it again.")
    return shapes


def read_object(file: Path) -> dict[str, Any]:
    """Reads a JSON file that must hold an object.

    Raises:
        CorruptCheckpointError: If it does not.
    """
    value = read_json(file)
    if not isinstance(value, dict):
        raise CorruptCheckpointError(f"{file} holds a {type(value).__name__}, but a JSON object is expected.")
    return value


def read_json(file: Path) -> Any:
    """Reads a JSON file.

    Raises:
        CorruptCheckpointError: If it is no valid JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CorruptCheckpointError(f"{file} is no valid JSON ({error}). It may be truncated.") from None


def listing(path: Path) -> str:
    """Lists the files of a directory for an error message."""
    names = sorted(entry.name for entry in path.iterdir())
    return f"{', '.join(names[:12])}{' ...' if len(names) > 12 else ''}" if names else "no files"
