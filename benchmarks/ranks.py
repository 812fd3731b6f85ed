"""Measures of what is kept of a ranking: the rank of each question's one right passage."""

from __future__ import annotations

from collections.abc import Sequence

from jacolbert_integrations.evaluation.measures import Measured, measure
from jacolbert_integrations.evaluation.rankings import Run

_DEPTH = 100


def rank_in(ids: Sequence[str], right: str) -> int:
    """The rank of an id, from 1; 0 if it is not there."""
    return ids.index(right) + 1 if right in ids else 0


def measured_ranks(ranks: Sequence[int], measures: Sequence[str]) -> Measured:
    """Measures of ranks, from 1; 0 is not found."""
    others = [f"other {place}" for place in range(_DEPTH)]
    rankings = {}
    for place, rank in enumerate(ranks):
        ids = [*others[: rank - 1], "right"] if rank else others
        rankings[f"{place:09d}"] = tuple((each, -float(at)) for at, each in enumerate(ids))
    return measure(Run("ranks", rankings), {query: {"right": 1} for query in rankings}, measures)
