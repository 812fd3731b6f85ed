"""Maximal marginal relevance over token vectors: near the query, and far from what was chosen before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...scoring.maxsim import maxsim
from ...types import TokenVectors


def diverse(
    query: TokenVectors, documents: Sequence[TokenVectors], count: int, threshold: float
) -> list[tuple[int, float]]:
    """Chooses documents one after the other, each for ``threshold * relevance - (1 - threshold) * redundancy``.

    Both are mean similarities, from -1 to 1: relevance is MaxSim with the query over the query's number of tokens.
    Redundancy is the greatest similarity with a document that was chosen before: the mean of both directions' MaxSim,
    each over its number of tokens, because MaxSim of two documents is not symmetric.

    Args:
        query: (tokens, dimension).
        documents: (tokens, dimension) each.
        count: How many to choose at most.
        threshold: 1 is relevance alone, 0 is redundancy alone after the first.

    Returns:
        The places of the chosen documents, and the scores that they were chosen for.
    """
    relevance = maxsim([query], documents)[0] / len(query)
    lengths = np.array([len(document) for document in documents], np.float32)
    redundancy = np.full(len(documents), -np.inf, np.float32)
    chosen: list[tuple[int, float]] = []
    left = np.ones(len(documents), bool)
    while left.any() and len(chosen) < count:
        scores = threshold * relevance
        if chosen:
            scores = scores - (1 - threshold) * redundancy
            best = int(np.where(left, scores, -np.inf).argmax())
        else:
            best = int(relevance.argmax())
        chosen.append((best, float(scores[best])))
        left[best] = False
        redundancy = np.maximum(redundancy, _similarity(documents, lengths, best))
    return chosen


def _similarity(documents: Sequence[TokenVectors], lengths: NDArray[np.float32], one: int) -> NDArray[np.float32]:
    there = maxsim([documents[one]], documents)[0] / lengths[one]
    back = maxsim(documents, [documents[one]])[:, 0] / lengths
    mean: NDArray[np.float32] = (there + back) / 2
    return mean
