"""Two rankings as one: by scores, or by ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..types import Scores

MODEL_WEIGHT = 0.75
"""Of a model's scores beside BM25's. Chosen on JaQuAD dev: the best for jacolbert-mini (MRR@10 .919), and .003 below
the best for jacolbert-small, .937 at 0.95 (``benchmarks/fusion_weights.py``)."""


def with_bm25(model: Scores, bm25: Scores) -> Scores:
    """Fuses a model's scores with BM25's into one ranking by :func:`fuse_scores`, the model's weighing more.

    Args:
        model: (queries, passages).
        bm25: The same passages.

    Raises:
        InputError: If the shapes differ.
    """
    return fuse_scores(model, bm25, weights=(MODEL_WEIGHT, 1 - MODEL_WEIGHT))


def fuse_scores(*scores: Scores, weights: Sequence[float] | None = None) -> Scores:
    """Computes the weighted mean of scores that are first scaled to 0 to 1 for each query.

    Args:
        *scores: (queries, passages) each, of the same passages.
        weights: How much each counts; None counts them alike.

    Returns:
        (queries, passages) float32.

    Raises:
        InputError: If shapes differ, or there is not one weight for each, none below 0 and one above it.
    """
    shares = _checked(scores, weights)
    fused = np.zeros(scores[0].shape, np.float32)
    for share, each in zip(shares, scores, strict=True):
        least = each.min(axis=1, keepdims=True)
        fused += np.float32(share) * (each - least) / (each.max(axis=1, keepdims=True) - least + np.float32(1e-8))
    return fused


def reciprocal_rank(*scores: Scores, k: int = 60) -> Scores:
    """Computes reciprocal rank fusion: the sum of 1 / (k + rank) (Cormack et al., SIGIR 2009).

    Args:
        *scores: (queries, passages) each, of the same passages. Equal scores rank in the passages' order.
        k: The higher, the less the first ranks stand out; 60 is the paper's.

    Returns:
        (queries, passages) float32.

    Raises:
        InputError: If shapes differ, or ``k`` is below 0.
    """
    _checked(scores, None)
    if k < 0:
        raise InputError(f"k is {k}, but it must be 0 or more.")
    fused = np.zeros(scores[0].shape, np.float32)
    for each in scores:
        order = np.argsort(-each, axis=1, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(1, order.shape[1] + 1)[None, :], axis=1)
        fused += (1 / (k + ranks)).astype(np.float32)
    return fused


def _checked(scores: Sequence[Scores], weights: Sequence[float] | None) -> list[float]:
    if not scores or len({each.shape for each in scores}) != 1:
        raise InputError(f"fusion takes scores of one shape, but got {[each.shape for each in scores]}.")
    if weights is None:
        return [1 / len(scores)] * len(scores)
    if len(weights) != len(scores) or min(weights) < 0 or not sum(weights) > 0:
        raise InputError(
            f"{len(scores)} scores need as many weights, none below 0 and one above it; got {list(weights)}."
        )
    return [weight / sum(weights) for weight in weights]
