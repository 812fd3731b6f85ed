"""Two scores of the same nodes as one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

_RRF_K = 60  # as in the paper of Cormack, Clarke and Buettcher (SIGIR 2009)


def min_max(scores: Sequence[float], least: float | None = None) -> list[float]:
    """Scales scores to 0 to 1: the least of them becomes 0, the greatest 1. Where all are equal, each becomes 1.

    Args:
        scores: Finite numbers.
        least: What is 0 instead of the least of them, such as the BM25 of no word.
    """
    if not scores:
        return []
    bottom, top = min(scores) if least is None else least, max(scores)
    return [(score - bottom) / (top - bottom) if top > bottom else 1.0 for score in scores]


def interpolated(own: Sequence[float], other: Sequence[float], weight: float) -> list[float]:
    """Computes ``(1 - weight) * own + weight * other`` of each document, both scaled to 0 to 1 over these documents."""
    return [(1 - weight) * a + weight * b for a, b in zip(min_max(own), min_max(other), strict=True)]


def weighted(dense: Mapping[str, float], words: Mapping[str, float], alpha: float) -> dict[str, float]:
    """Computes ``alpha * MaxSim + (1 - alpha) * BM25`` of each document, both scaled to 0 to 1 over these documents.

    A document that one side does not know has that side's least, 0: it shares no word with the query, or the first
    stage did not find it.

    Args:
        dense: MaxSim by id.
        words: BM25 by id.
        alpha: 1 is MaxSim alone, 0 is BM25 alone.
    """
    by_maxsim = dict(zip(dense, min_max(list(dense.values())), strict=True))
    by_words = dict(zip(words, min_max(list(words.values()), least=0.0), strict=True))
    return {
        document: alpha * by_maxsim.get(document, 0.0) + (1 - alpha) * by_words.get(document, 0.0)
        for document in [*dense, *(document for document in words if document not in dense)]
    }


def reciprocal_ranks(*rankings: Sequence[str]) -> dict[str, float]:
    """Computes reciprocal rank fusion: the sum of ``1 / (60 + rank)`` over the rankings that hold a document."""
    scores: dict[str, float] = defaultdict(float)
    for ranking in rankings:
        for rank, document in enumerate(ranking, start=1):
            scores[document] += 1 / (_RRF_K + rank)
    return dict(scores)
