"""The one check of a device's name, before anything is loaded onto it."""

from __future__ import annotations

import torch

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
