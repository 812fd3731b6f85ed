"""Maximal marginal relevance over token vectors: near the query, and far from what was chosen before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...scoring.maxsim import maxsim
from ...types import TokenVectors

Floats: TypeAlias = NDArray[np.float32]

_PRODUCTS = 1 << 22  # 16 MiB


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
        if chosen:
            scores = threshold * relevance - (1 - threshold) * redundancy
            best = int(np.where(left, scores, -np.inf).argmax())
        else:
            scores, best = threshold * relevance, int(relevance.argmax())
        chosen.append((best, float(scores[best])))
        left[best] = False
        if len(chosen) < count and left.any():
            redundancy = np.maximum(redundancy, _similarity(documents, lengths, best))
    return chosen


def _similarity(documents: Sequence[TokenVectors], lengths: Floats, one: int) -> Floats:
    """Returns the similarity of one document with each: one product of all tokens has both directions."""
    found = []
    for first, last in _blocks(lengths, _PRODUCTS // len(documents[one])):
        products = documents[one] @ np.concatenate(documents[first:last]).T
        starts = np.concatenate([[0], np.cumsum(lengths[first : last - 1], dtype=np.intp)])
        there = np.maximum.reduceat(products, starts, axis=1).sum(axis=0, dtype=np.float64) / lengths[one]
        back = np.add.reduceat(products.max(axis=0), starts, dtype=np.float64) / lengths[first:last]
        found.append((there + back) / 2)
    return np.concatenate(found).astype(np.float32)


def _blocks(lengths: Floats, most: int) -> Iterator[tuple[int, int]]:
    """Yields runs of documents of so many tokens together, or of one that is longer by itself."""
    first, tokens = 0, 0
    for place, length in enumerate(lengths.astype(int).tolist()):
        if place > first and tokens + length > most:
            yield first, place
            first, tokens = place, 0
        tokens += length
    yield first, len(lengths)
