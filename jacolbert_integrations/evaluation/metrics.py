"""Measures of a ranking in which each query has one right passage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..types import Scores


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


def retrieval_metrics(ranks: Sequence[int], ks: Sequence[int] = (1, 5, 10)) -> RetrievalMetrics:
    """Summarises ranks.

    Args:
        ranks: For each query the rank of its right passage, from 1; 0 where it was not found.
        ks: Depths at which to take recall.

    Raises:
        InputError: If there are no ranks, or negative ones.
    """
    array = _checked(ranks)
    found = array > 0
    recall = {k: float((found & (array <= k)).mean()) for k in ks}
    reciprocal = np.where(found & (array <= 10), 1.0 / np.maximum(array, 1), 0.0)
    return RetrievalMetrics(int(array.size), recall, float(reciprocal.mean()))


def ndcg(ranks: Sequence[int], k: int = 10) -> NDArray[np.float64]:
    """Computes nDCG@k of each query: 1 / log2(1 + rank) of its only relevant passage, 0 if that ranks below k.

    Args:
        ranks: For each query the rank of its right passage, from 1; 0 where it was not found.
        k: How many of the ranking count.

    Returns:
        (queries,); their mean is the nDCG@k of the ranking as a whole.

    Raises:
        InputError: If there are no ranks, or negative ones.
    """
    array = _checked(ranks)
    return np.where((array > 0) & (array <= k), 1.0 / np.log2(1.0 + np.maximum(array, 1)), 0.0)


def ranks_of(scores: Scores, right: Sequence[int]) -> list[int]:
    """Computes the rank of each query's relevant passage among all.

    A passage of the same score counts as ranked higher, so that no tie can flatter a model.

    Args:
        scores: (queries, passages).
        right: For each query the column of its right passage.
    """
    own = np.take_along_axis(scores, np.asarray(right)[:, None], axis=1)
    ranks: list[int] = (scores >= own).sum(axis=1).tolist()
    return ranks


def rank_in(ids: Sequence[str], right: str) -> int:
    """Returns the rank of ``right`` among ranked ids, from 1; 0 if it is not among them."""
    return ids.index(right) + 1 if right in ids else 0


def _checked(ranks: Sequence[int]) -> NDArray[np.int64]:
    array = np.asarray(ranks, np.int64)
    if array.size == 0 or array.min() < 0:
        raise InputError(f"expected at least one rank, each at least 0, but got {list(ranks)[:5]}.")
    return array
