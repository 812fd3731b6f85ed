"""From weights of fewer bits back to those that are stored: for training and saving, which rounding would harm."""

from __future__ import annotations

import torch
from sentence_transformers import MultiVectorEncoder

from ..checkpoints.layouts import Checkpoint
from .int8 import use_float32, uses_int8
from .loading import LoadOptions, load_model


def is_whole(model: MultiVectorEncoder) -> bool:
    """Returns whether the weights are float32."""
    whole = all(weight.dtype is torch.float32 for weight in model.parameters() if weight.is_floating_point())
    return whole and not uses_int8(model)


def make_whole(model: MultiVectorEncoder, checkpoint: Checkpoint | None) -> None:
    """Makes the weights float32, in place.

    Each is what the checkpoint has stored if it still is that, rounded; one that has changed since stays what it is.

    Args:
        model: The pipeline.
        checkpoint: Where it was loaded from, if it was.

    Raises:
        CheckpointError: If the checkpoint can no longer be read.
    """
    if is_whole(model):
        return
    stored: dict[str, torch.Tensor] = {}
    if checkpoint is not None and checkpoint.path.is_dir():
        trusted = type(getattr(model[0], "auto_model", None)).__module__.startswith("transformers_modules")
        options = LoadOptions(
            device="cpu", dtype=torch.float32, trust_remote_code=trusted, local_files_only=True, query_length=None
        )
        stored = load_model(checkpoint, options).state_dict()
    use_float32(model, stored)
    rounded = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.float()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            whole, now = stored.get(name), rounded[name]
            if whole is not None and whole.shape == now.shape and now.is_floating_point():
                whole = whole.to(now.device)
                tensor.copy_(torch.where(whole.to(now.dtype) == now, whole, tensor))
