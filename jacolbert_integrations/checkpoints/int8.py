"""Weights of one byte each: matrices as 8-bit integers, with a scale for each row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import CorruptCheckpointError, InputError
from .files import INT8_SCALE

_LARGEST = 127


def write_int8(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes weights as safetensors: matrices as int8 with a float32 scale for each row, all else in float32.

    A weight comes back within half a 127th of the largest of its row.

    Args:
        file: The file.
        tensors: Name to tensor, on any device.

    Raises:
        InputError: If a matrix has a weight that is no finite number.
    """
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        whole = tensor.detach().cpu()
        if not whole.is_floating_point() or whole.ndim != 2:
            stored[name] = (whole.float() if whole.is_floating_point() else whole).contiguous().clone()
            continue
        whole = whole.float()
        scale = whole.abs().amax(dim=1, keepdim=True) / _LARGEST
        if not bool(torch.isfinite(scale).all()):
            raise InputError(f"weights of {name!r} are not finite, and have no place among 8-bit integers.")
        scale[scale == 0] = 1.0  # a row of zeros, such as that of [PAD]
        stored[name] = (whole / scale).round().clamp(-_LARGEST, _LARGEST).to(torch.int8)
        stored[name + INT8_SCALE] = scale
    save_file(stored, file, metadata={"format": "pt"})
    file.chmod(0o644)  # safetensors makes files that nobody else can read


def read_int8(file: Path, only: str | None = None) -> dict[str, Tensor]:
    """Reads what :func:`write_int8` wrote, back in float32.

    Args:
        file: The file.
        only: The name of the one tensor to return; None returns all.

    Raises:
        CorruptCheckpointError: If a matrix has no scale, or one that does not fit it.
        SafetensorError: If the file cannot be read.
    """
    stored = load_file(file)
    tensors: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        if name.endswith(INT8_SCALE) and name.removesuffix(INT8_SCALE) in stored:
            continue
        if only is not None and name != only:
            continue
        if tensor.dtype != torch.int8:
            tensors[name] = tensor
            continue
        scale = stored.get(name + INT8_SCALE)
        if scale is None or scale.shape != (len(tensor), 1):
            found = "none" if scale is None else f"the shape {tuple(scale.shape)}"
            raise CorruptCheckpointError(
                f"{file}: {name!r} has 8-bit weights of shape {tuple(tensor.shape)}, whose scale needs the shape "
                f"({len(tensor)}, 1), but it has {found}. Download it again."
            )
        tensors[name] = tensor.float() * scale
    return tensors
