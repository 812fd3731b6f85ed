"""Token vectors as a smaller index keeps them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.base.modules import Dense
from sentence_transformers.util.quantization import quantize_embeddings

from ..encoding.encoder import JaColBERT
from ..errors import InputError
from ..types import TokenVectors
from .settings import DataType


def directions(model: JaColBERT, dimension: int) -> NDArray[np.float32]:
    """Returns what cuts a model's vectors to fewer dimensions, without training.

    It is the best approximation of the inner products of its projection that the rank allows: that from which training
    for a smaller dimension begins.

    Args:
        model: The model; it has one projection.
        dimension: Less than its own.

    Returns:
        (the model's dimension, ``dimension``); vectors are multiplied with it, and normalised.

    Raises:
        InputError: If the model has no such projection, or no more dimensions.
    """
    projections = [module for module in model.model.children() if isinstance(module, Dense)]
    if not 0 < dimension < model.dimension:
        raise InputError(
            f"vectors of {model.name} cannot be cut to {dimension} dimensions: they have {model.dimension}."
        )
    if len(projections) != 1:
        raise InputError(f"vectors of {model.name} cannot be cut: it has {len(projections)} projections, not one.")
    left, _, _ = torch.linalg.svd(projections[0].linear.weight.detach().double(), full_matrices=False)
    kept: NDArray[np.float32] = left[:, :dimension].float().cpu().numpy()
    return kept


def cut(vectors: Sequence[TokenVectors], kept: NDArray[np.float32]) -> list[TokenVectors]:
    """Cuts vectors to fewer dimensions, and normalises them.

    Args:
        vectors: (tokens, dimension) each.
        kept: From :func:`directions`.
    """
    smaller = [each @ kept for each in vectors]
    return [each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in smaller]


def as_kept(documents: Sequence[TokenVectors], datatype: DataType) -> list[TokenVectors]:
    """Returns what is left of vectors that are kept as another data type, as float32 again.

    Args:
        documents: (tokens, dimension) each.
        datatype: ``"int8"`` has 255 steps of each dimension's range over all documents; ``"binary"`` has signs.
    """
    if datatype == "float32":
        return list(documents)
    if datatype == "float16":
        return [each.astype(np.float16).astype(np.float32) for each in documents]
    if datatype == "binary":
        length = np.float32(documents[0].shape[1] ** -0.5)
        return [np.where(each > 0, length, -length) for each in documents]
    whole = np.concatenate(documents)
    least, most = whole.min(axis=0), whole.max(axis=0)
    steps = (most - least) / 255
    found = quantize_embeddings(list(documents), precision="int8", ranges=np.stack([least, most]))
    return [(each.astype(np.float32) + 128.5) * steps + least for each in found]
