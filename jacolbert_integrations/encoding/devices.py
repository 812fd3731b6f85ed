"""Devices: the one check of a name, before anything is loaded onto it, and what a device computes with by default."""

from __future__ import annotations

import torch
from sentence_transformers.util import get_device_name

from ..errors import InputError


def check_device(name: object) -> str:
    """Refuses what is no device of torch's, or is not there.

    Raises:
        InputError: If it is not.
    """
    try:
        device = torch.device(name) if isinstance(name, str) else None
    except RuntimeError as error:
        raise InputError(f"{name!r:.80} is no device of torch: {str(error).splitlines()[0]}") from None
    if device is None:
        raise InputError(f"{name!r:.80} is no device of torch: it must be a string such as 'cpu' or 'cuda:0'.")
    gpus = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise InputError(f"there is no device {name!r} here: torch sees {gpus} GPUs. Use 'cpu', or None to choose.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"there is no device {name!r} here. Use 'cpu', or None to choose.")
    return str(name)


def default_dtype(name: str | None) -> torch.dtype:
    """Returns what a model computes with on a device if nobody says: bfloat16 on a GPU made for it, else float32.

    torch can imitate bfloat16 on a GPU that lacks it, and calls that supported; here it counts as lacking.

    Args:
        name: The device; None is the one that sentence-transformers chooses.
    """
    device = torch.device(get_device_name() if name is None else name)
    if device.type != "cuda":
        return torch.float32
    with torch.cuda.device(device):
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
