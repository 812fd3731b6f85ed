from __future__ import annotations

import math

import pytest

from jacolbert_integrations.errors import InputError
from jacolbert_integrations.evaluation.rankings import Run
from jacolbert_integrations.evaluation.thresholds import Cut, thresholds

RUN = Run(
    "ours",
    {
        "q1": (("a", 0.9), ("b", 0.7), ("c", 0.2)),
        "q2": (("x", 0.8), ("y", 0.75)),
        "unjudged": (("x", 0.99),),
    },
)
QRELS = {"q1": {"a": 1, "c": 2, "b": 0}, "q2": {"y": 1}, "q3": {"z": 1}, "none": {"a": 0}}


def test_by_hand() -> None:
    low, middle, high, none = thresholds(RUN, QRELS, [0.1, 0.75, 0.85, 1.0])
    assert low == Cut(0.1, 2 / 3, 0.5, 0.75, 5 / 3)
    assert middle == Cut(0.75, 2 / 3, 0.5, 0.5, 1.0)
    assert high == Cut(0.85, 1 / 3, 1.0, 0.25, 1 / 3)
    assert none == Cut(1.0, 0.0, 0.0, 0.0, 0.0)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="a threshold is nan"):
        thresholds(RUN, QRELS, [0.5, math.nan])
    with pytest.raises(InputError, match="none of 1 queries"):
        thresholds(RUN, {"q": {"a": 0}}, [0.5])
