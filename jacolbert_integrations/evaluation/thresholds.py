"""What a least score would do: how many queries are still answered, and how rightly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InputError
from .benchmark import Qrels
from .rankings import Run


@dataclass(frozen=True, slots=True)
class Cut:
    """What is left of a run's rankings where no score may be lower.

    Attributes:
        threshold: The least score.
        answered: The share of queries for which something is left.
        right: Of those, the share whose first passage is relevant; 0 where there are none.
        kept: The share of relevant passages that are left.
        passages: How many passages a query keeps, on average.
    """

    threshold: float
    answered: float
    right: float
    kept: float
    passages: float


def thresholds(run: Run, qrels: Qrels, values: Sequence[float]) -> list[Cut]:
    """Computes what each of several thresholds would do.

    Args:
        run: What was found. Its scores should be comparable from query to query, as normalised ones are, and MaxSim is
            not.
        qrels: What is relevant; queries without any relevant passage are left out.
        values: The thresholds.

    Raises:
        InputError: If a threshold is no finite number, or nothing is judged.
    """
    if bad := [value for value in values if not math.isfinite(value)]:
        raise InputError(f"a threshold is {bad[0]}, but it must be a finite number.")
    relevant = {query: {passage for passage, grade in own.items() if grade > 0} for query, own in qrels.items()}
    relevant = {query: own for query, own in relevant.items() if own}
    if not relevant:
        raise InputError(f"nothing can be measured: none of {len(qrels):,} queries has a relevant passage.")
    return [_cut(run, relevant, value) for value in values]


def _cut(run: Run, relevant: dict[str, set[str]], threshold: float) -> Cut:
    left = {
        query: [passage for passage, score in run.rankings.get(query, ()) if score >= threshold] for query in relevant
    }
    answered = [query for query, passages in left.items() if passages]
    right = sum(left[query][0] in relevant[query] for query in answered)
    kept = sum(len(relevant[query].intersection(passages)) for query, passages in left.items())
    return Cut(
        threshold,
        len(answered) / len(relevant),
        right / len(answered) if answered else 0.0,
        kept / sum(map(len, relevant.values())),
        sum(map(len, left.values())) / len(relevant),
    )
