from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacolbert_integrations.evaluation.report.axes import WIDTH, number, x_scale, y_scale

VALUES = st.lists(st.floats(1e-3, 1e7), min_size=1, max_size=6)


@given(VALUES, st.booleans())
def test_all_values_lie_inside_and_in_order(values: list[float], log: bool) -> None:
    for scale in (x_scale(values, log=log), y_scale(values)):
        places = [scale(value) for value in sorted(values)]
        low, high = sorted((scale.begin, scale.end))
        assert all(low <= place <= high for place in places)
        assert places == sorted(places, reverse=scale.begin > scale.end)
        assert all(low - 0.1 <= scale(tick) <= high + 0.1 for tick in scale.ticks())
        assert len(scale.ticks()) <= 13


def test_ticks_are_round() -> None:
    assert x_scale([0, 10]).ticks() == [0, 2, 4, 6, 8, 10]
    assert x_scale([3, 700], log=True).ticks() == [5, 10, 20, 50, 100, 200, 500]
    assert y_scale([0.5, 1.0], top=1.0).high == 1.0
    assert x_scale([1, 100], log=True)(10) == pytest.approx((62 + WIDTH - 16) / 2)


@pytest.mark.parametrize(
    ("value", "expected"), [(0, "0"), (0.95, "0.95"), (12.5, "12.5"), (1_500, "1.5k"), (56_547, "56.5k"), (2e6, "2M")]
)
def test_numbers_are_short(value: float, expected: str) -> None:
    assert number(value) == expected
