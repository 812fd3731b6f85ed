"""Measures of rankings by the library ir-measures: nDCG, MRR, recall, MAP, success, at any depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MissingExtraError
from .benchmark import Qrels
from .rankings import DEPTH, Run

DEFAULT_MEASURES = ("nDCG@10", "MRR@10", "R@1", "R@5", "R@10")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run is worth.

    Attributes:
        run: The run's name.
        queries: The queries that are judged, in order.
        values: Names of measures to their value for each query: (queries,) each.
    """

    run: str
    queries: tuple[str, ...]
    values: Mapping[str, NDArray[np.float64]]

    def mean(self, measure: str) -> float:
        """Returns a measure of the whole run: the mean over the queries."""
        return float(self.values[measure].mean())


def measure(run: Run, qrels: Qrels, measures: Sequence[str] = DEFAULT_MEASURES) -> Measured:
    """Measures a run. A query for which nothing was found counts 0.

    Args:
        run: What was found.
        qrels: What is relevant; queries without any relevant passage are left out, as they have no value.
        measures: As ir-measures names them: ``"nDCG@10"``, ``"MRR@10"`` (or ``"RR@10"``), ``"R@100"``, ``"MAP"`` (or
            ``"AP"``), ``"Success@1"``, ``"P@5"``, ``"Judged@10"``, ...

    Raises:
        InputError: If there is no such measure, or nothing is judged.
        MissingExtraError: If the ``evaluation`` extra is not installed.
    """
    parsed = parse_measures(measures)
    judged = {query: dict(own) for query, own in qrels.items() if max(own.values(), default=0) > 0}
    if not judged:
        raise InputError(f"nothing can be measured: none of {len(qrels):,} queries has a relevant passage.")
    # Each library breaks ties in its own way; ranks have none.
    ranks = {
        query: {passage: -float(rank) for rank, (passage, _) in enumerate(run.rankings.get(query, ()))}
        for query in judged
    }
    row = {query: place for place, query in enumerate(judged)}
    values = {name: np.zeros(len(judged)) for name in parsed}
    names: dict[Any, list[str]] = {}
    for name, each in parsed.items():
        names.setdefault(each, []).append(name)
    for found in _library().iter_calc(list(names), judged, ranks):
        for name in names[found.measure]:
            values[name][row[found.query_id]] = found.value
    return Measured(run.name, tuple(judged), values)


def parse_measures(names: Sequence[str]) -> dict[str, Any]:
    """Returns ir-measures' measures of their names.

    Raises:
        InputError: If there is no such measure.
        MissingExtraError: If the ``evaluation`` extra is not installed.
    """
    library = _library()
    parsed = {}
    for name in names:
        try:
            parsed[name] = library.parse_measure(name)
            list(library.iter_calc([parsed[name]], {"q": {"d": 1}}, {"q": {"d": 1.0}}))  # some fail only when used
        except Exception:  # ir-measures raises NameError, ValueError, AssertionError and more
            raise InputError(
                f"{name!r} is no measure. Some are nDCG@10, MRR@10, R@100, MAP, Success@1 and P@5; ir-measures' "
                "documentation lists all."
            ) from None
    return parsed


def depth_of(names: Sequence[str]) -> int:
    """Returns how many passages of a ranking measures look at: all that a run keeps, if one has no depth.

    Raises:
        InputError: If there is no such measure.
        MissingExtraError: If the ``evaluation`` extra is not installed.
    """
    return max((int(each.params.get("cutoff", DEPTH)) for each in parse_measures(names).values()), default=DEPTH)


def _library() -> Any:
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtraError("ir-measures", "evaluation") from error
    return ir_measures
