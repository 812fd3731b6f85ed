from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacolbert_integrations.errors import InputError
from jacolbert_integrations.evaluation.measures import DEFAULT_MEASURES, measure, parse_measures
from jacolbert_integrations.evaluation.rankings import Run, ranked


def test_graded_judgments_by_hand() -> None:
    run = Run("ours", {"q1": (("b", 9.0), ("a", 8.0), ("x", 7.0)), "q2": (("x", 1.0),)})
    qrels = {"q1": {"a": 2, "b": 1, "x": 0}, "q2": {"c": 1}}
    measured = measure(run, qrels, ("nDCG@10", "MRR@10", "RR", "R@1", "MAP", "Success@1", "P@2"))
    assert measured.queries == ("q1", "q2")
    # trec_eval's gain is the grade itself
    best = 2 / math.log2(2) + 1 / math.log2(3)
    assert measured.values["nDCG@10"].tolist() == pytest.approx([(1 / math.log2(2) + 2 / math.log2(3)) / best, 0])
    assert measured.values["MRR@10"].tolist() == measured.values["RR"].tolist() == [1, 0]
    assert measured.values["R@1"].tolist() == [0.5, 0]
    assert measured.mean("R@1") == 0.25
    assert measured.values["MAP"].tolist() == measured.values["Success@1"].tolist() == [1, 0]
    assert measured.values["P@2"].tolist() == [1, 0]


def test_ties_are_broken_alike_for_every_measure() -> None:
    """trec_eval would take the greatest id first, and MS MARCO's evaluator what came first."""
    run = Run("ours", {"q": ranked([("c", 1.0), ("a", 1.0), ("b", 1.0)])})
    measured = measure(run, {"q": {"c": 1}}, ("MRR@10", "RR", "nDCG@10", "AP", "Success@2", "R@3"))
    assert {name: values[0] for name, values in measured.values.items()} == pytest.approx(
        {"MRR@10": 1 / 3, "RR": 1 / 3, "nDCG@10": 0.5, "AP": 1 / 3, "Success@2": 0, "R@3": 1}
    )


def test_what_was_not_found_counts_nothing() -> None:
    run = Run("ours", {"q1": (("a", 1.0),)})
    measured = measure(run, {"q1": {"a": 1}, "q2": {"a": 1}, "unanswered": {"a": 0}})
    assert measured.queries == ("q1", "q2")
    assert measured.mean("R@1") == 0.5


@given(st.lists(st.integers(0, 30), min_size=1, max_size=20))
def test_of_one_right_passage_as_ranks_say(ranks: list[int]) -> None:
    passages = [f"p{place:02}" for place in range(31)]
    rankings = {
        f"q{place}": tuple((passage, -float(i)) for i, passage in enumerate(passages)) for place in range(len(ranks))
    }
    qrels = {f"q{place}": {passages[rank - 1] if rank else "none": 1} for place, rank in enumerate(ranks)}
    measured = measure(Run("ours", rankings), qrels)
    found = np.array([rank if rank else np.inf for rank in ranks])
    np.testing.assert_allclose(measured.values["MRR@10"], np.where(found <= 10, 1 / found, 0))
    for depth in (1, 5, 10):
        np.testing.assert_array_equal(measured.values[f"R@{depth}"], found <= depth)
    np.testing.assert_allclose(measured.values["nDCG@10"], np.where(found <= 10, 1 / np.log2(1 + found), 0))


@pytest.mark.parametrize("name", ["nonsense", "nDCG@x", "R", "nDCG(", "", "MRR@10; import os"])
def test_a_measure_that_does_not_exist(name: str) -> None:
    with pytest.raises(InputError, match=r"is no measure\. Some are nDCG@10"):
        parse_measures(["nDCG@10", name])


def test_nothing_judged() -> None:
    with pytest.raises(InputError, match="none of 1 queries has a relevant passage"):
        measure(Run("ours", {"q": (("a", 1.0),)}), {"q": {"a": 0}}, DEFAULT_MEASURES)
