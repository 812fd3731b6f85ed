"""Several runs of one benchmark beside each other: how good each is, how sure that is, and which differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from .benchmark import Qrels
from .measures import DEFAULT_MEASURES, Measured, measure
from .rankings import Run
from .significance import confidence_interval, randomization_test


@dataclass(frozen=True, slots=True)
class Compared:
    """A run beside the first one.

    Attributes:
        measured: What it is worth.
        intervals: Of each measure that was asked for, the 95 % bootstrap interval of its mean.
        p_values: Of each such measure, how likely so great a difference from the first run is by chance (paired
            randomisation, two-sided); empty for the first run itself. Of many runs beside one, some differ by chance:
            with n of them, take p below .05 / n for a difference.
    """

    measured: Measured
    intervals: dict[str, tuple[float, float]]
    p_values: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON can hold it, but for the values of single queries."""
        return {
            name: {
                "mean": self.measured.mean(name),
                "interval": self.intervals.get(name),
                "p": self.p_values.get(name),
            }
            for name in self.measured.values
        }


def compare(
    runs: Sequence[Run],
    qrels: Qrels,
    measures: Sequence[str] = DEFAULT_MEASURES,
    *,
    tested: Sequence[str] | None = None,
) -> list[Compared]:
    """Measures runs of the same queries, each beside the first.

    Args:
        runs: The first is what the others are compared with.
        qrels: What is relevant.
        measures: As :func:`~.measures.measure` takes them.
        tested: Of which measures to compute intervals and p values; None takes all.

    Raises:
        InputError: If two runs have one name, there is no such measure, or one is tested that is not measured.
        MissingExtraError: If the ``evaluation`` extra is not installed.
    """
    twice = [name for name, count in Counter(run.name for run in runs).items() if count > 1]
    if twice:
        raise InputError(f"{len(twice)} names are of more than one run: {', '.join(map(repr, twice))}. Rename them.")
    tested = measures if tested is None else tested
    if unknown := [name for name in tested if name not in measures]:
        raise InputError(f"{unknown[0]!r} is tested, but only {', '.join(measures)} are measured.")
    found = [measure(run, qrels, measures) for run in runs]
    return [_beside(each, None if place == 0 else found[0], tested) for place, each in enumerate(found)]


def _beside(measured: Measured, first: Measured | None, tested: Sequence[str]) -> Compared:
    values = {name: measured.values[name] for name in tested}
    intervals = {name: confidence_interval(own) for name, own in values.items()}
    p_values = (
        {} if first is None else {name: randomization_test(own, first.values[name]) for name, own in values.items()}
    )
    return Compared(measured, intervals, p_values)
