"""Maximal marginal relevance by what a store says of its documents' likeness: few questions, and no vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...types import ComparesById
from .diversity import Floats

_ROUNDING = 0.25
_SPARE = 2
"""How many more are compared than are yet to be chosen. To choose five of 20 then takes 2.4 requests in the mean, on
JSQuAD (``benchmarks/server_scoring.py``), and some more among documents that are nearly the same."""


def diverse_there(
    store: ComparesById, ids: Sequence[str], relevance: Floats, count: int, threshold: float
) -> list[tuple[int, float]] | None:
    """Does the same as :func:`~.diversity.diverse` by scores of the store that has the documents; no vector is read.

    All are compared with the first that is chosen. After that, a document's score can only fall, with each one more
    that it is compared with. So those that score best so far are compared, with all that were chosen and with each
    other, because most of them are chosen next; and again, when one comes to the top that was not among them.

    How many tokens a document has is what its MaxSim with itself is, because its vectors have the length 1; but for
    rounding, of the model's numbers and of those that the store keeps.

    Args:
        store: Compares them.
        ids: Of the documents.
        relevance: (documents,) MaxSim with the query over the query's number of tokens.
        count: As :func:`~.diversity.diverse`.
        threshold: As :func:`~.diversity.diverse`.

    Returns:
        As :func:`~.diversity.diverse`; None if the store does not say all that is needed.
    """
    if not ids or count < 1:
        return []
    comparisons = _Comparisons(store, ids)
    best = int(relevance.argmax())
    chosen, scores = [best], [float(threshold * relevance[best])]
    try:
        while len(chosen) < min(count, len(ids)):
            at_most = _at_most(relevance, comparisons.known[chosen], threshold)
            at_most[chosen] = -np.inf
            best = int(at_most.argmax())
            if np.isnan(comparisons.known[chosen, best]).any():
                left = np.argsort(-at_most, kind="stable")[: len(ids) - len(chosen)].tolist()
                comparisons.ask(chosen, left, count - len(chosen) + _SPARE)
            else:
                chosen.append(best)
                scores.append(float(at_most[best]))
    except _NotSaidError:
        return None
    return list(zip(chosen, scores, strict=True))


def _at_most(relevance: Floats, known: Floats, threshold: float) -> Floats:
    """Returns the scores, by what is known of the similarities with those that were chosen (these, documents)."""
    redundancy = np.where(np.isnan(known), -np.inf, known).max(axis=0)
    redundancy[np.isneginf(redundancy)] = -1  # the least that there is
    scores: Floats = threshold * relevance - (1 - threshold) * redundancy
    return scores


class _Comparisons:
    """What a store has said so far.

    Attributes:
        known: (documents, documents) similarities, symmetric; NaN where nothing is known.
    """

    def __init__(self, store: ComparesById, ids: Sequence[str]) -> None:
        self._store = store
        self._ids = ids
        self._lengths: Floats | None = None
        self.known: Floats = np.full((len(ids), len(ids)), np.nan, np.float32)

    def ask(self, chosen: Sequence[int], left: Sequence[int], most: int) -> None:
        """Compares the best of those that are left with the chosen and each other; at first, all with the chosen one.

        Args:
            chosen: The places of those that were chosen.
            left: The places of the others, best first.
            most: How many of these are compared with each other.

        Raises:
            _NotSaidError: If the store leaves something out.
        """
        if self._lengths is None and len(left) > most:
            pairs = [(chosen[0], other) for other in left]
        else:
            best = left[:most]
            pairs = [(one, other) for one in chosen for other in best]
            pairs += [(one, other) for place, one in enumerate(best) for other in best[place + 1 :]]
        asked: dict[int, list[int]] = {}
        if self._lengths is None:
            asked = {place: [place] for place in (*chosen, *left)}
        for one, other in pairs:
            if np.isnan(self.known[one, other]):
                asked.setdefault(one, []).append(other)
                asked.setdefault(other, []).append(one)
        ids = self._ids
        named = [(ids[one], [ids[other] for other in others]) for one, others in asked.items()]
        answers = self._store.similarities(named)
        if answers is None:
            raise _NotSaidError
        said = np.full_like(self.known, np.nan)  # MaxSim of the row as the query
        for (one, others), answer in zip(asked.items(), answers, strict=True):
            if any(ids[other] not in answer for other in others):
                raise _NotSaidError
            said[one, others] = [answer[ids[other]] for other in others]
        if self._lengths is None:
            self._lengths = _lengths(said.diagonal())
        mean = said / self._lengths[:, None]
        self.known = np.where(np.isnan(mean), self.known, (mean + mean.T) / 2)


class _NotSaidError(Exception):
    """The store left something out."""


def _lengths(own: Floats) -> Floats:
    """Returns numbers of tokens, by documents' MaxSim with themselves."""
    lengths: Floats = np.round(own)
    if not (np.abs(own - lengths) <= _ROUNDING).all() or lengths.min() < 1:
        raise _NotSaidError
    return lengths
