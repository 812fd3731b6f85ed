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
    ranks: list[int] = []
    shares: list[float] = []
    for row, query in zip(scores, benchmark.queries, strict=True):
        relevant = [column[passage] for passage, grade in benchmark.qrels[query].items() if grade > 0]
        for place in relevant:  # of equal scores, the earlier passage ranks higher
            ranks.append(int((row > row[place]).sum() + (row[:place] == row[place]).sum()))
            shares.append(1 / len(relevant) / len(benchmark.queries))
    found, share = np.array(ranks), np.array(shares)
    depths = [depth for depth in _DEPTHS if depth < scores.shape[1]] + [min(scores.shape[1], _DEPTHS[-1])]
    return [(depth, float(share[found < depth].sum())) for depth in dict.fromkeys(depths)]
