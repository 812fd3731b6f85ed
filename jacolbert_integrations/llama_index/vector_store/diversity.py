"""Maximal marginal relevance over token vectors: near the query, and far from what was chosen before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...scoring.maxsim import maxsim
from ...types import ComparesById, TokenVectors

Floats: TypeAlias = NDArray[np.float32]

_PRODUCTS = 1 << 22  # 16 MiB
_ROUNDING = 0.25


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
    return _chosen(relevance, lambda one, _: _similarity(documents, lengths, one), count, threshold)


def diverse_there(
    store: ComparesById, ids: Sequence[str], relevance: Floats, count: int, threshold: float
) -> list[tuple[int, float]] | None:
    """Does the same as :func:`diverse` by scores of the store that has the documents; no vector is read.

    How many tokens a document has is what its MaxSim with itself is, because its vectors have the length 1; but for
    rounding, of the model's numbers and of those that the store keeps.

    Args:
        store: Compares them.
        ids: Of the documents.
        relevance: (documents,) MaxSim with the query over the query's number of tokens.
        count: As :func:`diverse`.
        threshold: As :func:`diverse`.

    Returns:
        As :func:`diverse`; None if the store does not say all that is needed.
    """
    lengths = np.zeros(len(ids), np.float32)

    def similarity(one: int, left: NDArray[np.bool_]) -> Floats:
        others = np.flatnonzero(left).tolist()
        unknown = [] if lengths.any() else [(i, [i]) for i in ids]
        back = [(ids[other], [ids[one]]) for other in others]
        answers = store.similarities([(ids[one], [ids[other] for other in others]), *back, *unknown])
        if answers is None:
            raise _NotSaidError
        if unknown:
            lengths[:] = _lengths([answer.get(i) for i, answer in zip(ids, answers[1 + len(others) :], strict=True)])
        found = np.zeros(len(ids), np.float32)
        for other, answer in zip(others, answers[1:], strict=False):
            if ids[one] not in answer or ids[other] not in answers[0]:
                raise _NotSaidError
            there, returned = answers[0][ids[other]], answer[ids[one]]
            found[other] = (there / lengths[one] + returned / lengths[other]) / 2
        return found

    try:
        return _chosen(relevance, similarity, count, threshold)
    except _NotSaidError:
        return None


class _NotSaidError(Exception):
    """The store left something out."""


def _lengths(own: Sequence[float | None]) -> Floats:
    """Returns numbers of tokens, by documents' MaxSim with themselves."""
    scores = np.array([np.nan if score is None else score for score in own], np.float32)
    lengths: Floats = np.round(scores)
    if not (np.abs(scores - lengths) <= _ROUNDING).all() or lengths.min() < 1:
        raise _NotSaidError
    return lengths


def _chosen(
    relevance: Floats, similarity: Callable[[int, NDArray[np.bool_]], Floats], count: int, threshold: float
) -> list[tuple[int, float]]:
    """Chooses by relevance, and by the similarity of each that was chosen with all that are left."""
    redundancy = np.full(len(relevance), -np.inf, np.float32)
    chosen: list[tuple[int, float]] = []
    left = np.ones(len(relevance), bool)
    while left.any() and len(chosen) < count:
        scores = threshold * relevance
        if chosen:
            scores = scores - (1 - threshold) * redundancy
            best = int(np.where(left, scores, -np.inf).argmax())
        else:
            best = int(relevance.argmax())
        chosen.append((best, float(scores[best])))
        left[best] = False
        if len(chosen) < count and left.any():
            redundancy = np.maximum(redundancy, similarity(best, left))
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
