"""Scores of several teachers as one: the mean of what each thinks, from 0 to 1 for each query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, TeacherError
from .records import Example


def is_constant(example: Example) -> bool:
    """Returns whether a teacher's scores distinguish no passage from another, so that they teach nothing.

    Raises:
        TeacherError: If there are no scores.
    """
    return len(set(scores_of(example))) == 1


def min_max(scores: Iterable[float]) -> tuple[float, ...]:
    """Scales one query's scores: the lowest becomes 0, the highest (nearly) 1.

    ``(s - min) / (max - min + 1e-8)``, in float64, as JaColBERTv2.5's training code has it. Equal scores
    all become 0.

    Raises:
        InputError: If there are no scores, or one is no finite number.
    """
    values = _finite(scores)
    normalized: list[float] = ((values - values.min()) / (values.max() - values.min() + 1e-8)).tolist()
    return tuple(normalized)


def ensemble_scores(*teachers: Iterable[float]) -> tuple[float, ...]:
    """Computes the mean of several teachers' :func:`min_max` scores for the passages of one query.

    Raises:
        InputError: If there is no teacher, they have different numbers of scores, or a score is no finite number.
    """
    normalized = [min_max(scores) for scores in teachers]
    counts = [len(scores) for scores in normalized]
    if len(set(counts)) != 1:
        raise InputError(f"teachers of an ensemble score the same passages, but these gave {counts} scores.")
    mean = np.asarray(normalized, np.float64).mean(axis=0)
    return tuple(mean.tolist())


def ensemble(*taught: Sequence[Example]) -> list[Example]:
    """Joins several teachers: the mean of their scores, min-max normalised per query.

    Args:
        *taught: The same examples with the scores of one teacher each. One teacher alone is normalised.

    Raises:
        InputError: If there is none, or they are not the same queries with the same passages in the same order.
        TeacherError: If an example has no scores.
    """
    if not taught or len({len(examples) for examples in taught}) != 1:
        raise InputError(f"an ensemble joins equally many examples, but got {[len(t) for t in taught]}.")
    joined = []
    for index, same in enumerate(zip(*taught, strict=True)):
        if any((e.query, e.passages) != (same[0].query, same[0].passages) for e in same):
            raise InputError(
                f"example {index} is not the same for all teachers: the first has the query {same[0].query!r:.60} "
                f"with {same[0].ways} passages. Give them the same examples, in the same order."
            )
        joined.append(replace(same[0], scores=ensemble_scores(*map(scores_of, same))))
    return joined


def scores_of(example: Example) -> tuple[float, ...]:
    """Returns an example's scores.

    Raises:
        TeacherError: If it has none.
    """
    if example.scores is None:
        raise TeacherError(f"the query {example.query!r:.60} has no scores. Ask a teacher first.")
    return example.scores


def _finite(scores: Iterable[float]) -> NDArray[np.float64]:
    values = np.fromiter(scores, np.float64)
    if not values.size or not np.isfinite(values).all():
        raise InputError(f"expected at least one score, each a finite number, but got {values.tolist()[:5]}.")
    return values
