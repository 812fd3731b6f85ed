"""Times functions in turn (A B A B ...), so that a machine whose speed drifts is fair to all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter


def timed(functions: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Returns the seconds of each round of each function, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for round_ in range(rounds + 1):
        for name, function in functions.items():
            start = perf_counter()
            function()
            if round_:
                seconds[name].append(perf_counter() - start)
    return seconds


def compare(functions: Mapping[str, Callable[[], object]], *, rounds: int, unit: str = "") -> dict[str, float]:
    """Prints each function's median time, and how it relates to the first one's.

    Args:
        functions: What to time; the first is what the others are compared with.
        rounds: How often to run each, after one run that does not count.
        unit: What the ratio's column is called.

    Returns:
        Median seconds of each.
    """
    seconds = timed(functions, rounds=rounds)
    medians = {name: median(values) for name, values in seconds.items()}
    first = next(iter(medians.values()))
    width = max(map(len, medians))
    print(f"{'':{width}}  {'median':>10}  {'min - max':>19}  {unit or 'times as long as the first':>10}")
    for name, value in medians.items():
        spread = f"{1000 * min(seconds[name]):.1f} - {1000 * max(seconds[name]):.1f}"
        print(f"{name:{width}}  {1000 * value:7.1f} ms  {spread:>19}  {value / first:10.2f}")
    return medians
