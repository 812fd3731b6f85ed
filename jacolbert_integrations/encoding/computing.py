"""A batch of token ids to token vectors: one pass through a model, in a process where torch can compute."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from sentence_transformers import MultiVectorEncoder

from ..errors import WorkerError
from ..types import TokenVectors
from .batching import Batch
from .packed_attention import take_rows, to_device
from .packing import pack
from .pooling import is_pooling
from .transformer import ColBERTTransformer, Encoded, Task

Waiting = Callable[[], list[TokenVectors]]
"""Waits for the token vectors of a batch that a device may still be computing."""

_computed_in: int | None = None
"""The process that has computed on several threads, which a fork of it does not have."""


def start(model: MultiVectorEncoder, batch: Batch, task: Task) -> Waiting:
    """Has the device compute the token vectors of a batch; without padding, it does not wait for a GPU.

    Args:
        model: The pipeline, which begins with a :class:`~.transformer.ColBERTTransformer`.
        batch: The texts; if they are not padded, :func:`~.packing.can_be_packed` says whether the model takes them.
        task: What they are.

    Returns:
        A function that waits, and returns (tokens, dimension) float32 for each text, without those that have no vector.

    Raises:
        WorkerError: If this process was forked off one that has computed on several threads.
        torch.OutOfMemoryError: If the device has too little memory, here or where it is waited for.
    """
    _check_not_forked()
    return (_start_padded if batch.padded else _start_packed)(model, batch.texts, task)


def _start_padded(model: MultiVectorEncoder, texts: Sequence[Encoded], task: Task) -> Waiting:
    features = cast("ColBERTTransformer", model[0]).collate(texts, task)
    features = {name: v.to(model.device) if isinstance(v, torch.Tensor) else v for name, v in features.items()}
    outputs = model(features, task=task)
    embeddings = outputs["token_embeddings"].float()
    # half precision is not quite of length 1, nor is what some poolings of a checkpoint's own make
    if outputs["token_embeddings"].dtype is not torch.float32 or is_pooling(model[-1]):
        embeddings = torch.nn.functional.normalize(embeddings, dim=-1)
    matrices, masks = embeddings.cpu().numpy(), outputs["attention_mask"].bool().cpu().numpy()
    vectors = [matrix[mask] for matrix, mask in zip(matrices, masks, strict=True)]
    return lambda: vectors


def _start_packed(model: MultiVectorEncoder, texts: Sequence[Encoded], task: Task) -> Waiting:
    take_rows(cast("ColBERTTransformer", model[0]).auto_model)
    row, places, counts = pack(model, texts, task)
    outputs = model({"row": row.to(model.device)}, task=task)
    vectors = outputs["token_embeddings"][0].index_select(0, to_device(places, model.device)).float()
    if outputs["token_embeddings"].dtype is not torch.float32:
        vectors = torch.nn.functional.normalize(vectors, dim=-1)
    copied = vectors.to("cpu", non_blocking=True)
    event = torch.cuda.current_stream(vectors.device).record_event() if vectors.is_cuda else None

    def wait() -> list[TokenVectors]:
        if event is not None:
            event.synchronize()
        # copies, so that one text that is kept does not keep the memory of all
        return [each.copy() for each in np.split(copied.numpy(), np.cumsum(counts)[:-1])]

    return wait


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
