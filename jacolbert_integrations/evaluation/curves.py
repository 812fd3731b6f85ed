"""How many of the relevant passages are among the first so many."""

from __future__ import annotations

import numpy as np

from ..types import Scores
from .benchmark import Benchmark

_DEPTHS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1_000)


def recall_curve(scores: Scores, benchmark: Benchmark) -> list[tuple[int, float]]:
    """Computes the mean recall of the best passages at growing depths.

    Args:
        scores: (queries, passages).
        benchmark: What they are of.

    Returns:
        Depths, and the share of a query's relevant passages that are found there, the mean over queries.
    """
    column = {passage: place for place, passage in enumerate(benchmark.passages)}
    ranks = np.empty(scores.shape, np.int64)
    order = np.argsort(-scores, axis=1, kind="stable")
    np.put_along_axis(ranks, order, np.arange(scores.shape[1])[None, :], axis=1)
    relevant = [
        ranks[row, [column[passage] for passage, grade in benchmark.qrels[query].items() if grade > 0]]
        for row, query in enumerate(benchmark.queries)
    ]
    depths = [depth for depth in _DEPTHS if depth < scores.shape[1]] + [min(scores.shape[1], _DEPTHS[-1])]
    return [(depth, float(np.mean([np.mean(own < depth) for own in relevant]))) for depth in dict.fromkeys(depths)]
