"""How long one query takes."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

_WARM = 2


def milliseconds(ask: Callable[[int], Any], count: int) -> float:
    """Measures the median time of a call, after two that warm up.

    Args:
        ask: Answers the query of a place, from 0.
        count: How many queries are asked, one after the other.
    """
    for place in range(min(_WARM, count)):
        ask(place)
    taken = []
    for place in range(count):
        begun = perf_counter()
        ask(place)
        taken.append(perf_counter() - begun)
    return 1000 * median(taken)
