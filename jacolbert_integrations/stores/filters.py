"""What a :class:`~jacolbert_integrations.types.Filter` means, in plain Python.

This is the reference that every store's own translation must agree with. The meaning is Qdrant's:
a condition on a stored list holds if it holds for one of its elements; a missing key passes no
condition but ``!=``, ``not in`` and ``is_empty``, and passes ``not`` of all others. (Some other stores leave out points
without the key in these cases, too. Add ``not is_empty`` to have it so.)
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, get_args

from ..errors import UnsupportedFilterError
from ..types import Condition, Filter, Operator, Payload, Point, WithIds

Predicate = Callable[[Point], bool]

TEXT_OPERATORS = frozenset({"text_match", "text_match_insensitive"})
_LIST_OPERATORS = frozenset({"in", "not in", "any", "all"})
_ORDER_OPERATORS = frozenset({">", ">=", "<", "<="})

BRACKETS = re.compile(r"(?P<name>[^\[\]]+)\[(?P<index>\d{0,9})\]")
"""A step of a path into a list: all of its members, ``items[]``, or one, ``items[0]``."""

_DATE = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?(Z|[+-]\d{2}:\d{2})?)?", re.ASCII
)


def as_predicate(filter: object) -> Predicate:
    """Turns a :class:`Filter`, or any callable that takes a payload, into a predicate on points.

    Raises:
        UnsupportedFilterError: If it is neither, or compares with a value that it cannot.
    """
    if isinstance(filter, Filter):
        check_filter(filter)
        return lambda point: matches(filter, point.payload, point.id)
    if callable(filter):
        return lambda point: filter(point.payload)
    raise UnsupportedFilterError(
        f"this store filters with a jacolbert_integrations.types.Filter or a callable that takes a payload, but got a "
        f"{type(filter).__module__}.{type(filter).__name__}."
    )


def check_filter(filter: Filter) -> None:
    """Refuses values that an operator cannot compare with, in all stores alike.

    Raises:
        UnsupportedFilterError: With the first such condition.
    """
    if filter.how not in ("and", "or", "not"):
        raise UnsupportedFilterError(f"a filter joins its conditions by 'and', 'or' or 'not', but got {filter.how!r}.")
    for condition in filter.conditions:
        if isinstance(condition, Filter):
            check_filter(condition)
        elif isinstance(condition, Condition):
            _check_condition(condition)
        elif not isinstance(condition, WithIds):
            raise UnsupportedFilterError(
                f"a filter holds Conditions, WithIds and Filters, but got a {type(condition).__name__}."
            )
        elif not all(isinstance(one, str) for one in condition.ids):
            raise UnsupportedFilterError("WithIds holds something that is no string, so that it is no id.")


def matches(filter: Filter, payload: Payload, point_id: str = "") -> bool:
    """Returns whether a point of this payload and id passes a filter."""
    results = (_passes(condition, payload, point_id) for condition in filter.conditions)
    if filter.how == "and":
        return all(results)
    if filter.how == "or":
        return any(results) or not filter.conditions
    return not any(results)


def holds(condition: Condition, stored: Any) -> bool:
    """Returns whether a condition holds for the value under its key; None stands for a missing value."""
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
        case "text_match":
            return any(value in element for element in elements if isinstance(element, str))
        case "text_match_insensitive":
            return any(value.lower() in element.lower() for element in elements if isinstance(element, str))
        case _:
            return any(_ordered(element, condition.operator, value) for element in elements)


def value_at(payload: Payload, key: str) -> Any:
    """Returns the value under a key, or, if there is none, under a path of keys with dots between them.

    As in Qdrant's paths, ``items[].n`` are the values under ``n`` of all members of a list, and ``items[0].n`` of the
    first. Without brackets there is no path through a list.
    """
    stored = payload.get(key)
    if not (stored is None or stored == []):
        return stored
    first, dot, rest = key.partition(".")
    if not dot:
        found = _members(payload, first)
        return stored if found is None else found
    inner = payload.get(first)
    nested = value_at(inner, rest) if isinstance(inner, Mapping) else None
    members = _members(payload, first) if nested is None or nested == [] else None
    if members is None:
        return nested
    values = (value_at(member, rest) for member in members if isinstance(member, Mapping))
    return [one for value in values if value is not None for one in (value if isinstance(value, list) else [value])]


def _members(payload: Payload, name: str) -> list[Any] | None:
    """Returns what a name with brackets selects of the list under it; None if it has no brackets."""
    bracketed = BRACKETS.fullmatch(name)
    if bracketed is None:
        return None
    members = payload.get(bracketed["name"])
    if not isinstance(members, list):
        return []
    if bracketed["index"]:
        members = members[int(bracketed["index"]) :][:1]
    return [member for member in members if member is not None]


def as_date(value: object) -> datetime | None:
    """Parses a string in ISO 8601, a date with or without a time, as a point in time; None if it is not one.

    Without a zone it is UTC, as Qdrant reads it.
    """
    found = _DATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    day, minute, second, fraction, zone = found.groups()
    offset = "+00:00" if zone in (None, "Z") else zone
    whole = f"{day}T{minute or '00:00'}:{second or '00'}.{(fraction or '0').ljust(6, '0')}{offset}"
    try:
        return datetime.fromisoformat(whole).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def _passes(condition: Condition | WithIds | Filter, payload: Payload, point_id: str) -> bool:
    if isinstance(condition, Filter):
        return matches(condition, payload, point_id)
    if isinstance(condition, WithIds):
        return point_id in condition.ids
    return holds(condition, value_at(payload, condition.key))


def _check_condition(condition: Condition) -> None:
    key, operator, value = condition.key, condition.operator, condition.value
    if not isinstance(key, str) or operator not in get_args(Operator):
        raise UnsupportedFilterError(
            f"{key!r} {operator!r}: a condition has a payload key and an operator: {', '.join(get_args(Operator))}."
        )
    for item in value if isinstance(value, list | tuple | set | frozenset) else [value]:
        _check_value(f"{key} {operator}", item)
    if operator == "is_empty":
        return
    if operator in TEXT_OPERATORS:
        expected = None if isinstance(value, str) else "a string"
    elif operator in _ORDER_OPERATORS:
        expected = None if _is_number(value) or as_date(value) else "a number, or a date such as '2024-05-01T12:00:00Z'"
    elif operator in _LIST_OPERATORS:
        good = isinstance(value, list | tuple | set | frozenset) and all(map(_is_scalar, value))
        expected = None if good else "a list of strings, numbers or booleans"
    else:
        expected = None if _is_scalar(value) else "a string, a number or a boolean"
    if expected is not None:
        raise UnsupportedFilterError(f"{key} {operator} {value!r}: the value must be {expected}.")


def _check_value(what: str, value: object) -> None:
    """Refuses what no payload holds, so that no engine need be asked."""
    if _is_number(value) and isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise UnsupportedFilterError(f"{what}: the value is beyond 64 bits, and so is nothing that is stored.")
    if isinstance(value, float) and not math.isfinite(value):
        raise UnsupportedFilterError(f"{what} {value!r}: the value must be a finite number.")
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise UnsupportedFilterError(f"{what} {value!r:.60}: the value holds a lone surrogate, which is no valid text.")


def _equal(left: Any, right: Any) -> bool:
    # True is not 1 in JSON
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _ordered(left: Any, operator: str, right: Any) -> bool:
    if not _is_number(left) or not _is_number(right):
        left, right = as_date(left), as_date(right)
        if left is None or right is None:
            return False
    return bool({">": left > right, ">=": left >= right, "<": left < right, "<=": left <= right}[operator])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)
