"""A few measures in one record, of rankings in which each query has one right passage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import InputError
from ..types import Scores
from .measures import measure
from .rankings import Run


@dataclass(frozen=True, slots=True)
class RetrievalMetrics:
    """How often, and how high, the right passage was found.

    Attributes:
        questions: How many queries were asked.
        recall: k to the share of queries whose passage is among the first k.
        mrr_at_10: Mean of 1 / rank, 0 below rank 10.
    """

    questions: int
    recall: dict[int, float]
    mrr_at_10: float


def metrics_of_scores(scores: Scores, right: Sequence[int], ks: Sequence[int] = (1, 5, 10)) -> RetrievalMetrics:
    """Measures the ranking of all passages by their scores; equal ones rank in the order of the columns.

    Args:
        scores: (queries, passages).
        right: For each query the column of its right passage.
        ks: Depths at which to take recall.

    Raises:
        InputError: If there are no queries, or not one right passage for each.
        MissingExtraError: If the ``evaluation`` extra is not installed.
    """
    queries, passages = (_names(count) for count in scores.shape)
    if len(right) != len(queries) or not queries:
        raise InputError(
            f"{len(queries)} queries have {len(right)} right passages, but each has one, and some are asked."
        )
    run = Run.of_scores("scores", scores, queries, passages, depth=max(*ks, 10))
    return _metrics(run, {query: passages[column] for query, column in zip(queries, right, strict=True)}, ks)


def metrics_of_ids(
    found: Sequence[Sequence[str]], right: Sequence[str], ks: Sequence[int] = (1, 5, 10)
) -> RetrievalMetrics:
    """Measures rankings.

    Args:
        found: For each query the ids of passages, best first.
        right: For each query the id of its right passage.
        ks: Depths at which to take recall.

    Raises:
        InputError: If there are no queries, or not one right passage for each.
        MissingExtraError: If the ``evaluation`` extra is not installed.
    """
    if len(right) != len(found) or not right:
        raise InputError(
            f"{len(found)} queries have {len(right)} right passages, but each has one, and some are asked."
        )
    queries = _names(len(found))
    # one run is not empty even where nothing was found for any query
    rankings = {
        q: tuple((p, -float(rank)) for rank, p in enumerate([*ids, ""])) for q, ids in zip(queries, found, strict=True)
    }
    return _metrics(Run("ids", rankings), dict(zip(queries, right, strict=True)), ks)


def _metrics(run: Run, right: Mapping[str, str], ks: Sequence[int]) -> RetrievalMetrics:
    measured = measure(
        run, {query: {passage: 1} for query, passage in right.items()}, [*(f"R@{k}" for k in ks), "MRR@10"]
    )
    return RetrievalMetrics(len(right), {k: measured.mean(f"R@{k}") for k in ks}, measured.mean("MRR@10"))


def _names(count: int) -> list[str]:
    """Returns names whose order is that of the places."""
    return [f"{place:09d}" for place in range(count)]
