from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacolbert_integrations.errors import InputError
from jacolbert_integrations.query_length import QUERY_LENGTHS, check_query_length, padded_query_length


def test_agrees_with_the_reference(reference: dict[str, Any]) -> None:
    for query in reference["queries"]:
        assert padded_query_length(query["length"], "released") == query["released_length"]
        assert padded_query_length(query["length"], "paper") == query["paper_length"]
        assert padded_query_length(query["length"], "fixed") == 32


@pytest.mark.parametrize(
    ("length", "released", "paper"),
    [(3, 11, 32), (8, 16, 32), (9, 32, 32), (24, 32, 32), (25, 32, 33), (31, 32, 39), (32, 40, 40), (33, 41, 64),
     (40, 48, 64), (41, 64, 64), (57, 64, 65), (63, 64, 71), (64, 72, 72)],
)  # fmt: skip
def test_values_computed_by_hand(length: int, released: int, paper: int) -> None:
    assert padded_query_length(length, "released") == released
    assert padded_query_length(length, "paper") == paper


@given(st.integers(3, 5000))
def test_dynamic_rules_never_cut_and_differ_only_where_known(length: int) -> None:
    released, paper = padded_query_length(length, "released"), padded_query_length(length, "paper")
    assert released >= length
    assert paper >= length + 8
    rest = length % 32
    assert (released != paper) == (1 <= rest <= 8 or rest >= 25)


@given(st.integers(3, 5000), st.integers(4, 128))
def test_fixed_is_what_the_checkpoint_says(length: int, query_maxlen: int) -> None:
    assert padded_query_length(length, "fixed", query_maxlen) == query_maxlen


def test_an_unknown_rule_names_the_known_ones() -> None:
    assert [check_query_length(rule) for rule in QUERY_LENGTHS] == list(QUERY_LENGTHS)
    with pytest.raises(InputError, match="'dynamic', but the rules are 'fixed', 'released', 'paper', 'unpadded'"):
        check_query_length("dynamic")
