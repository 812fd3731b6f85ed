"""Has a teacher score the passages of examples, each pair once, and writes the scores down as they come."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from ..errors import InputError, TeacherError
from .ensembles import is_constant, scores_of
from .journal import Journal, key_of
from .records import Example
from .teachers import Pair, Teacher

_logger = logging.getLogger(__name__)


def teach(
    examples: Sequence[Example],
    teacher: Teacher,
    *,
    file: str | Path,
    batch_size: int = 256,
    show_progress_bar: bool | None = None,
) -> list[Example]:
    """Fills in the teacher's scores, as it gives them.

    Each pair of a query and a passage is scored once, however often it comes. ``file`` has every score
    as soon as its batch is done, so that a run that was stopped goes on from there, to the same result.

    Args:
        examples: What to score; scores that they have are replaced.
        teacher: Who scores.
        file: Keeps the scores.
        batch_size: Pairs scored, and written down, at once.
        show_progress_bar: None shows one after a second, on a terminal.

    Raises:
        TeacherError: If a score is missing or no finite number, or if no query has two passages of
            different scores. What has been scored stays in ``file``.
        InputError: If there are no examples, ``batch_size`` is below 1, or ``file`` is of other work.
    """
    if not examples:
        raise InputError("there are no examples to score.")
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}, but it must be at least 1.")
    pairs = {key_of(e.query, passage): (e.query, passage) for e in examples for passage in e.passages}
    with (
        Journal[float](file, {"task": "scores", "teacher": teacher.fingerprint}) as journal,
        tqdm(
            total=len(pairs),
            initial=sum(key in journal.done for key in pairs),
            desc=f"Scores of {teacher.name}",
            disable=None if show_progress_bar is None else not show_progress_bar,
            delay=1.0 if show_progress_bar is None else 0.0,
        ) as bar,
    ):
        fresh = [key for key in pairs if key not in journal.done]
        for start in range(0, len(fresh), batch_size):
            batch = fresh[start : start + batch_size]
            _score_batch(batch, [pairs[key] for key in batch], teacher, journal)
            bar.update(len(batch))
        taught = [
            replace(e, scores=tuple(journal.done[key_of(e.query, passage)] for passage in e.passages)) for e in examples
        ]
    _check_taught(taught, teacher.name)
    return taught


def _score_batch(keys: list[str], pairs: list[Pair], teacher: Teacher, journal: Journal[float]) -> None:
    scores = [float(score) for score in teacher.score(pairs)]
    if len(scores) != len(pairs):
        raise TeacherError(f"{teacher.name} gave {len(scores)} scores for {len(pairs)} pairs.")
    journal.add((key, score) for key, score in zip(keys, scores, strict=True) if math.isfinite(score))
    bad = [(pair, score) for pair, score in zip(pairs, scores, strict=True) if not math.isfinite(score)]
    if bad:
        (query, passage), score = bad[0]
        raise TeacherError(
            f"{teacher.name} gave {len(bad)} of {len(pairs)} pairs scores that are no finite numbers, first {score} "
            f"for the query {query!r:.60} and the passage {passage!r:.60}. The {len(journal.done)} good scores so far "
            f"are kept in {journal.file}."
        )


def _check_taught(taught: list[Example], name: str) -> None:
    constant = sum(map(is_constant, taught))
    if constant == len(taught):
        scores = [score for example in taught for score in scores_of(example)]
        raise TeacherError(
            f"{name} teaches nothing: for each of the {constant} queries all of its scores are equal "
            f"(from {min(scores)} to {max(scores)}, for at most {max(e.ways for e in taught)} passages). "
            "Give another teacher, or queries with at least two passages. The scores are kept."
        )
    if constant:
        _logger.warning("%s scores all passages alike for %d of %d queries", name, constant, len(taught))
