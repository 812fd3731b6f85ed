from __future__ import annotations

import json

import pytest

from jacolbert_integrations.errors import InputError
from jacolbert_integrations.evaluation.benchmark import Benchmark
from jacolbert_integrations.evaluation.comparison import compare
from jacolbert_integrations.evaluation.rankings import Run
from jacolbert_integrations.evaluation.significance import confidence_interval, randomization_test

BENCHMARK = Benchmark(
    name="ours",
    passages={"p1": "東京は日本の首都である。", "p2": "富士山は高い山である。", "p3": "猫は動物である。"},
    queries={"q1": "日本の首都は？", "q2": "高い山は？"},
    qrels={"q1": {"p1": 1}, "q2": {"p2": 1}},
)


def runs(*firsts: int, names: str = "abc") -> list[Run]:
    """Runs over 40 queries, of which so many have the right passage first, and the others have it second."""
    return [
        Run(name, {f"q{i}": (("r", 2.0), ("x", 1.0)) if i < first else (("x", 2.0), ("r", 1.0)) for i in range(40)})
        for name, first in zip(names, firsts, strict=False)
    ]


def test_by_hand() -> None:
    qrels = {f"q{i}": {"r": 1} for i in range(40)}
    first, second, third = compare(runs(30, 10, 30), qrels, ["R@1", "MRR@10"])
    assert [each.measured.mean("R@1") for each in (first, second, third)] == [0.75, 0.25, 0.75]
    assert first.measured.mean("MRR@10") == pytest.approx(0.875)
    assert first.p_values == {}
    assert second.p_values["R@1"] == randomization_test(second.measured.values["R@1"], first.measured.values["R@1"])
    assert second.p_values["R@1"] < 0.001
    assert third.p_values == {"R@1": 1, "MRR@10": 1}
    assert second.intervals["R@1"] == confidence_interval(second.measured.values["R@1"])
    told = json.loads(json.dumps(second.as_dict()))
    assert told["R@1"] == {
        "mean": 0.25,
        "interval": list(second.intervals["R@1"]),
        "p": second.p_values["R@1"],
    }
    assert json.loads(json.dumps(first.as_dict()))["R@1"]["p"] is None


def test_equal_names() -> None:
    with pytest.raises(InputError, match="1 names are of more than one run: 'a'"):
        compare(runs(1, 2, names="aa"), {"q0": {"r": 1}}, ["R@1"])


def test_some_measures_are_tested() -> None:
    qrels = {f"q{i}": {"r": 1} for i in range(40)}
    first, second = compare(runs(30, 10), qrels, ["R@1", "MRR@10"], tested=["MRR@10"])
    assert set(first.intervals) == set(second.intervals) == set(second.p_values) == {"MRR@10"}
    assert second.as_dict()["R@1"] == {"mean": 0.25, "interval": None, "p": None}
    with pytest.raises(InputError, match=r"'R@2' is tested, but only R@1 are measured"):
        compare(runs(30, 10), qrels, ["R@1"], tested=["R@2"])
