from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from jacolbert_integrations.errors import InputError
from jacolbert_integrations.evaluation.significance import confidence_interval, randomization_test


def test_every_way_is_counted_where_queries_are_few() -> None:
    ours, theirs = np.array([1.0, 0.8, 0.6, 0.9, 0.5]), np.array([0.5, 0.7, 0.7, 0.2, 0.1])
    differences = ours - theirs
    means = [abs(np.mean(differences * signs)) for signs in product((1, -1), repeat=5)]
    expected = np.mean([mean >= abs(differences.mean()) - 1e-12 for mean in means])
    assert randomization_test(ours, theirs) == pytest.approx(float(expected))
    assert randomization_test(theirs, ours) == pytest.approx(float(expected))


def test_equal_systems_do_not_differ() -> None:
    assert randomization_test(np.array([1.0, 0.0]), np.array([1.0, 0.0])) == 1


def test_queries_that_do_not_differ_change_nothing() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.random(7), rng.random(7)
    alone = randomization_test(ours, theirs)
    assert randomization_test(np.append(ours, np.ones(50)), np.append(theirs, np.ones(50))) == alone
    assert randomization_test(np.array([1.0, 0.5]), np.array([1.0, 0.0])) == 1  # of one query, either sign is as great


def test_a_clear_difference_and_none() -> None:
    rng = np.random.default_rng(0)
    theirs = rng.random(400)
    assert randomization_test(np.minimum(theirs + 0.1, 1), theirs) < 0.001
    assert randomization_test(rng.permutation(theirs), theirs) > 0.05
    assert randomization_test(theirs + 0.1, theirs, seed=1) == randomization_test(theirs + 0.1, theirs, seed=1)


def test_an_interval_holds_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        low, high = confidence_interval((rng.random(80) < 0.7).astype(float), level=0.9, resamples=500)
        held += low <= 0.7 <= high
    assert 80 <= held <= 98


def test_an_interval_of_what_does_not_vary() -> None:
    assert confidence_interval(np.array([0.5])) == confidence_interval(np.array([0.5, 0.5])) == (0.5, 0.5)
    low, high = confidence_interval(np.array([0.0, 1.0] * 50))
    assert 0.35 < low < 0.5 < high < 0.65


def test_bad_input() -> None:
    with pytest.raises(InputError, match="of the same queries"):
        randomization_test(np.zeros(2), np.zeros(3))
    with pytest.raises(InputError, match=r"got 0 and 0\.95"):
        confidence_interval(np.zeros(0))
    with pytest.raises(InputError, match="got 2 and 95"):
        confidence_interval(np.zeros(2), level=95)
