from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacolbert_integrations.errors import InputError
from jacolbert_integrations.evaluation.rankings import Run, ranked


def test_by_hand() -> None:
    scores = np.array([[1.0, 3.0, 2.0], [0.0, 0.0, 5.0]], np.float32)
    run = Run.of_scores("ours", scores, ["q1", "q2"], ["b", "a", "c"])
    assert run.rankings["q1"] == (("a", 3.0), ("c", 2.0), ("b", 1.0))
    assert run.rankings["q2"] == (("c", 5.0), ("a", 0.0), ("b", 0.0))
    assert run.rank_of("q1", "c") == 2
    assert run.rank_of("q1", "z") == run.rank_of("q9", "a") == 0


def test_depth_and_what_was_not_found() -> None:
    scores = np.array([[1.0, -np.inf, 2.0, 3.0]], np.float32)
    run = Run.of_scores("ours", scores, ["q"], ["a", "b", "c", "d"], depth=2)
    assert run.rankings["q"] == (("d", 3.0), ("c", 2.0))
    run = Run.of_scores("ours", scores, ["q"], ["a", "b", "c", "d"])
    assert run.rank_of("q", "b") == 0


@given(st.dictionaries(st.text(min_size=1, max_size=2), st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=8))
def test_ties_rank_alike_however_they_came(scores: dict[str, float]) -> None:
    passages = list(scores)
    row = np.array([[scores[passage] for passage in passages]], np.float32)
    run = Run.of_scores("ours", row, ["q"], passages)
    back = Run.of_scores("ours", row[:, ::-1], ["q"], passages[::-1])
    assert run.rankings == back.rankings == {"q": ranked(scores.items())}


def test_bad_input() -> None:
    with pytest.raises(InputError, match=r"shape \(1, 2\) are not those of 1 queries and 3 passages"):
        Run.of_scores("ours", np.zeros((1, 2), np.float32), ["q"], ["a", "b", "c"])
    with pytest.raises(InputError, match="the run 'ours' is empty"):
        Run("ours", {"q": ()})
    with pytest.raises(InputError, match="the run 'ours' is empty"):
        Run("ours", {})
