"""What a :class:`~jacolbert_integrations.types.Filter` means, in plain Python.

This is the reference that every store's own translation must agree with. The meaning is Qdrant's:
a condition on a stored list holds if it holds for one of its elements; a missing key passes no
condition but ``!=``, ``not in`` and ``is_empty``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import UnsupportedFilterError
from .types import Condition, Filter, Payload

Predicate = Callable[[Payload], bool]


def as_predicate(filter: object) -> Predicate:
    """A :class:`Filter`, or any callable that takes a payload, as a predicate.

    Raises:
        UnsupportedFilterError: If it is neither.
    """
    if isinstance(filter, Filter):
        return lambda payload: matches(filter, payload)
    if callable(filter):
        return filter
    raise UnsupportedFilterError(
        f"this store filters with a jacolbert_integrations.types.Filter or a callable that takes a payload, but got a "
        f"{type(filter).__module__}.{type(filter).__name__}."
    )


def matches(filter: Filter, payload: Payload) -> bool:
    """Whether a payload passes a filter."""
    results = (
        matches(condition, payload) if isinstance(condition, Filter) else _holds(condition, payload)
        for condition in filter.conditions
    )
    if filter.how == "and":
        return all(results)
    if filter.how == "or":
        return any(results) or not filter.conditions
    return not any(results)


def _holds(condition: Condition, payload: Payload) -> bool:
    stored = payload.get(condition.key)
    elements = stored if isinstance(stored, list) else [] if stored is None else [stored]
    value = condition.value
    match condition.operator:
        case "is_empty":
            return not elements
        case "!=":
            return not any(_equal(element, value) for element in elements)
        case "not in":
            return not any(_equal(element, item) for element in elements for item in value)
        case "in" | "any":
            return any(_equal(element, item) for element in elements for item in value)
        case "all":
            return all(any(_equal(element, item) for element in elements) for item in value)
        case "==" | "contains":
            return any(_equal(element, value) for element in elements)
        case _:
            return any(_ordered(element, condition.operator, value) for element in elements)


def _equal(left: Any, right: Any) -> bool:
    # True is not 1 in JSON
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _ordered(left: Any, operator: str, right: Any) -> bool:
    if not _is_number(left) or not _is_number(right):
        return False
    return bool({">": left > right, ">=": left >= right, "<": left < right, "<=": left <= right}[operator])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
