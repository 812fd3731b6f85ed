"""Two rankings as one: MaxSim and words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

_RRF_K = 60  # as in the paper of Cormack, Clarke and Buettcher (SIGIR 2009)


def weighted(dense: Mapping[str, float], words: Mapping[str, float], alpha: float) -> dict[str, float]:
    """``alpha * MaxSim + (1 - alpha) * BM25`` of each document, both brought to 0 to 1 over these documents.

    A document that one side does not know has that side's least, 0: it shares no word with the query, or the first
    stage did not find it.

    Args:
        dense: MaxSim by id.
        words: BM25 by id.
        alpha: 1 is MaxSim alone, 0 is BM25 alone.
    """
    scaled_dense, scaled_words = _scaled(dense, least=min(dense.values(), default=0.0)), _scaled(words, least=0.0)
    return {
        document: alpha * scaled_dense.get(document, 0.0) + (1 - alpha) * scaled_words.get(document, 0.0)
        for document in [*dense, *(document for document in words if document not in dense)]
    }


def reciprocal_ranks(*rankings: Sequence[str]) -> dict[str, float]:
    """Reciprocal rank fusion: the sum of ``1 / (60 + rank)`` over the rankings that hold a document."""
    scores: dict[str, float] = defaultdict(float)
    for ranking in rankings:
        for rank, document in enumerate(ranking, start=1):
            scores[document] += 1 / (_RRF_K + rank)
    return dict(scores)


def _scaled(scores: Mapping[str, float], least: float) -> dict[str, float]:
    most = max(scores.values(), default=least)
    return {document: (score - least) / (most - least) if most > least else 1.0 for document, score in scores.items()}
