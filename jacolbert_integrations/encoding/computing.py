"""A batch of token ids to token vectors: one pass through a model, in a process where torch can compute."""

from __future__ import annotations

import os
from typing import Any

import torch
from sentence_transformers import MultiVectorEncoder

from ..errors import WorkerError
from ..types import TokenVectors
from .pooling import is_pooling
from .transformer import Task

_computed_in: int | None = None
"""The process that has computed on several threads, which a fork of it does not have."""


def compute(model: MultiVectorEncoder, features: dict[str, Any], task: Task) -> list[TokenVectors]:
    """Computes the token vectors of a batch.

    Args:
        model: The pipeline.
        features: What it reads, such as ``input_ids``: (texts, tokens) each.
        task: What the texts are.

    Returns:
        (tokens, dimension) float32 for each text, without padding and tokens that have no vector.

    Raises:
        WorkerError: If this process was forked off one that has computed on several threads.
        torch.OutOfMemoryError: If the device has too little memory.
    """
    _check_not_forked()
    device = model.device
    features = {name: v.to(device) if isinstance(v, torch.Tensor) else v for name, v in features.items()}
    outputs = model(features, task=task)
    embeddings = outputs["token_embeddings"].float()
    # half precision is not quite of length 1, nor is what some poolings of a checkpoint's own make
    if outputs["token_embeddings"].dtype is not torch.float32 or is_pooling(model[-1]):
        embeddings = torch.nn.functional.normalize(embeddings, dim=-1)
    matrices, masks = embeddings.cpu().numpy(), outputs["attention_mask"].bool().cpu().numpy()
    return [matrix[mask] for matrix, mask in zip(matrices, masks, strict=True)]


def _check_not_forked() -> None:
    """Refuses to compute where torch would hang."""
    global _computed_in
    if torch.get_num_threads() == 1:
        return
    if _computed_in not in (None, os.getpid()):
        raise WorkerError(
            "this process was forked off one in which a model had already computed on several threads, and torch would "
            "wait for ever for threads that did not come along. Load and use models after the fork (for gunicorn, "
            "without --preload), or call torch.set_num_threads(1) in this process first."
        )
    _computed_in = os.getpid()
