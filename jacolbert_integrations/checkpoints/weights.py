"""The weights of a checkpoint as tensors, and the fingerprint that tells models apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Transformer
from torch import Tensor

from ..errors import CorruptCheckpointError
from .files import int8_weights, weight_shapes
from .int8 import read_int8
from .layouts import Checkpoint


def stored_weights(path: Path, only: str | None = None) -> Iterator[tuple[str, Tensor]]:
    """Reads the tensors of a directory's weight files, by name.

    Args:
        path: The directory.
        only: The name of a tensor that is enough: 8-bit weights of other names are not computed. None reads all.

    Raises:
        CorruptCheckpointError: If a file cannot be read, or would run code when unpickled.
    """
    if (int8 := int8_weights(path)) is not None:
        yield from read_int8(int8, only).items()
        return
    shards = [path / "model.safetensors"]
    index = path / "model.safetensors.index.json"
    if weight_shapes(path) is not None:
        if not shards[0].is_file():
            shards = [path / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
        for shard in shards:
            yield from load_file(shard).items()
        return
    for file in sorted(path.glob("pytorch_model*.bin")):
        try:
            yield from torch.load(file, map_location="cpu", weights_only=True).items()
        except Exception as error:  # torch raises a different type for each way in which a file is broken
            raise unsafe_weights(file, error) from error


def unsafe_weights(file: Path, error: Exception) -> CorruptCheckpointError:
    """Returns the error for a file that cannot be unpickled with weights only."""
    return CorruptCheckpointError(
        f"{file} cannot be read with weights only: it is truncated, or it would run code. Download it again, or "
        f"convert it to safetensors where you trust it. ({str(error).splitlines()[0]})"
    )


def checkpoint_fingerprint(checkpoint: Checkpoint) -> str:
    """Computes the :func:`fingerprint` of a checkpoint's stored weights, whatever its layout."""
    tensors = dict(stored_weights(checkpoint.path))
    for position, folder in enumerate(checkpoint.projections):
        for name, tensor in stored_weights(checkpoint.path / folder):
            tensors[_projection_name(position, name)] = tensor
    return fingerprint(tensors)


def model_fingerprint(model: MultiVectorEncoder) -> str:
    """Computes the :func:`fingerprint` of a loaded model's weights."""
    return fingerprint(_named_weights(model))


def _named_weights(model: MultiVectorEncoder) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    projections = 0
    for module in model.children():
        if isinstance(module, Transformer):
            tensors |= module.auto_model.state_dict()
        elif isinstance(module, Dense):
            tensors |= {_projection_name(projections, name): t for name, t in module.state_dict().items()}
            projections += 1
    return tensors


def _projection_name(position: int, name: str) -> str:
    return name if position == 0 else f"{position}.{name}"


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Computes the SHA-256 of names, shapes and float32 values, the same for every layout of the same weights.

    The pooler, which token vectors never pass through, is left out.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted((_canonical(name), tensor) for name, tensor in tensors.items()):
        if name.startswith("pooler.") or name.endswith("position_ids"):
            continue
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _canonical(name: str) -> str:
    for prefix in ("bert.", "roberta.", "model.", "auto_model."):
        name = name.removeprefix(prefix)
    if name.endswith(("LayerNorm.gamma", "LayerNorm.beta")):  # how old TensorFlow code called them
        name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
    return name
