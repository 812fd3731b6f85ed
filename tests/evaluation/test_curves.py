from __future__ import annotations

import numpy as np
import pytest

from jacolbert_integrations.evaluation.benchmark import Benchmark
from jacolbert_integrations.evaluation.curves import recall_curve


def test_by_hand() -> None:
    benchmark = Benchmark(
        name="ours",
        passages={name: name for name in "abcd"},
        queries={"q": "q", "r": "r"},
        qrels={"q": {"a": 1, "d": 2, "b": 0}, "r": {"c": 1}},
    )
    scores = np.array([[4, 3, 2, 1], [5, 5, 5, 5]], np.float32)
    found = recall_curve(scores, benchmark)
    # the first query finds one of two at once, and the other last; the second has all alike, its own the third
    assert [depth for depth, _ in found] == [1, 2, 3, 4]
    assert [share for _, share in found] == pytest.approx([0.25, 0.25, 0.75, 1])
