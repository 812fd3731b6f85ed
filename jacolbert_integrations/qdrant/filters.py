"""A :class:`~jacolbert_integrations.types.Filter` as Qdrant's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from itertools import product
from typing import Any, TypeAlias

from qdrant_client import models

from ..errors import UnsupportedFilterError
from ..stores.filters import BRACKETS, TEXT_OPERATORS, as_date, check_filter
from ..types import Condition, Filter, WithIds
from .points import native_id, qdrant_id

FindText: TypeAlias = Callable[[Condition], models.Condition]
"""Finds the points whose text matches, because Qdrant itself compares words only, and leaves parts of them."""

_WORD = re.compile(r"[A-Za-z0-9_-]+")
_EXACT_RANGE = (1 << 53) // 10
"""From here on a server misreads whole numbers in JSON as floats: 9007199254740991.0 as ...990."""


def payload_paths(key: str) -> list[str]:
    """Lists the paths at which Qdrant may find what is stored under a key; the first that holds something counts.

    A key with dots is looked for as it is, and then as the way into nested payloads, as
    :func:`~jacolbert_integrations.stores.filters.value_at` does it. What is no plain word on the way is quoted.

    Raises:
        UnsupportedFilterError: If it holds a quotation mark, or nothing between two dots.
    """
    steps = key.split(".")
    if '"' in key or not all(steps):
        raise UnsupportedFilterError(f"the key {key!r} cannot be filtered by: Qdrant has no path for it.")
    paths: list[str] = []
    for depth in range(len(steps)):
        ways = [_steps(step) for step in [*steps[:depth], ".".join(steps[depth:])]]
        paths += [".".join(way) for way in product(*ways)]
    return paths


def to_qdrant(
    filter: object | None, find_text: FindText | None = None, paths: Callable[[str], list[str]] = payload_paths
) -> models.Filter | None:
    """Translates a :class:`~jacolbert_integrations.types.Filter` into Qdrant's own; Qdrant's own pass through.

    Args:
        filter: The filter.
        find_text: For conditions on a part of a string. None refuses them.
        paths: Returns where what is stored under a key may be: :func:`payload_paths`, or some of these.

    Raises:
        UnsupportedFilterError: If it is neither, or compares with a value that Qdrant cannot.
    """
    if filter is None or isinstance(filter, models.Filter):
        return filter
    if isinstance(filter, Filter):
        check_filter(filter)
        return _filter(filter, find_text, paths)
    raise UnsupportedFilterError(
        "this store filters with a qdrant_client.models.Filter or a jacolbert_integrations.types.Filter, but got a "
        f"{type(filter).__module__}.{type(filter).__name__}."
    )


def _filter(filter: Filter, find_text: FindText | None, paths: Callable[[str], list[str]]) -> models.Filter:
    conditions = [_any(condition, find_text, paths) for condition in filter.conditions]
    if not conditions:
        return models.Filter()
    if filter.how == "and":
        return models.Filter(must=conditions)
    if filter.how == "or":
        return models.Filter(should=conditions)
    return models.Filter(must_not=conditions)


def _any(
    condition: Condition | WithIds | Filter, find_text: FindText | None, paths: Callable[[str], list[str]]
) -> models.Condition:
    if isinstance(condition, Filter):
        return _filter(condition, find_text, paths)
    if isinstance(condition, WithIds):
        # a collection has either native ids or ours, and no id of the one kind is one of the other
        ids = dict.fromkeys(change(i) for i in condition.ids for change in (qdrant_id, native_id))
        return models.HasIdCondition(has_id=list(ids))
    if condition.operator in TEXT_OPERATORS:
        if find_text is None:
            raise UnsupportedFilterError(f"{condition.key} {condition.operator}: that is not possible here.")
        return find_text(condition)
    return _condition(condition, paths(condition.key))


def _steps(step: str) -> list[str]:
    """Returns what a step of a path may mean: a key by this name, or what brackets select of a list."""
    bracketed = BRACKETS.fullmatch(step)
    return [_quoted(step), *([] if bracketed is None else [f"{_quoted(bracketed['name'])}[{bracketed['index']}]"])]


def _quoted(name: str) -> str:
    return name if _WORD.fullmatch(name) else f'"{name}"'


def is_empty(path: str) -> models.IsEmptyCondition:
    """Returns the condition that nothing is stored at a path."""
    return models.IsEmptyCondition(is_empty=models.PayloadField(key=path))


def _condition(condition: Condition, paths: list[str]) -> models.Condition:
    *preferred, last = paths
    result = _condition_at(last, condition)
    for path in reversed(preferred):
        there = models.Filter(must=[_condition_at(path, condition)], must_not=[is_empty(path)])
        result = models.Filter(should=[there, models.Filter(must=[is_empty(path), result])])
    return result


def _condition_at(key: str, condition: Condition) -> models.Condition:
    value = condition.value
    match condition.operator:
        case "==" | "contains":
            return _equals(key, value)
        case "!=":
            return models.Filter(must_not=[_equals(key, value)])
        case "in" | "any":
            return models.Filter(should=_equals_one(key, value)) if value else _nothing()
        case "not in":
            return models.Filter(must_not=_equals_one(key, value))
        case "all":
            return models.Filter(must=[_equals(key, item) for item in value])
        case "is_empty":
            return is_empty(key)
        case _:
            name = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}[condition.operator]
            if isinstance(value, str):
                return models.FieldCondition(key=key, range=models.DatetimeRange(**{name: as_date(value)}))
            return models.FieldCondition(key=key, range=models.Range(**{name: value}))


def _equals_one(key: str, values: Collection[Any]) -> list[models.Condition]:
    """Conditions of which one holds. For strings there is a single one, which does not take longer for more of them."""
    if values and all(isinstance(value, str) for value in values):
        match = models.MatchAny(any=list(dict.fromkeys(values)))
        return [models.FieldCondition(key=key, match=match)]
    return [_equals(key, value) for value in values]


def _equals(key: str, value: Any) -> models.Condition:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and abs(value) >= _EXACT_RANGE and (isinstance(value, int) or value.is_integer()):
        value = int(value)
    elif number:  # a stored 1.0 is a 1, and no other condition finds both
        return models.FieldCondition(key=key, range=models.Range(gte=value, lte=value))
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def _nothing() -> models.Filter:
    return models.Filter(must=[models.HasIdCondition(has_id=[])])
