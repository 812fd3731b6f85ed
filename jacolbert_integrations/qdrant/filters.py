"""A :class:`~jacolbert_integrations.types.Filter` as Qdrant's own."""

from __future__ import annotations

from typing import Any

from qdrant_client import models

from ..errors import UnsupportedFilterError
from ..types import Condition, Filter


def to_qdrant(filter: object | None) -> models.Filter | None:
    """A filter of ours as Qdrant's; Qdrant's own pass through.

    Raises:
        UnsupportedFilterError: If it is neither, or compares with a value that Qdrant cannot.
    """
    if filter is None or isinstance(filter, models.Filter):
        return filter
    if isinstance(filter, Filter):
        return _filter(filter)
    raise UnsupportedFilterError(
        "this store filters with a qdrant_client.models.Filter or a jacolbert_integrations.types.Filter, but got a "
        f"{type(filter).__module__}.{type(filter).__name__}."
    )


def _filter(filter: Filter) -> models.Filter:
    conditions = [_filter(c) if isinstance(c, Filter) else _condition(c) for c in filter.conditions]
    if not conditions:
        return models.Filter()
    if filter.how == "and":
        return models.Filter(must=conditions)
    if filter.how == "or":
        return models.Filter(should=conditions)
    return models.Filter(must_not=conditions)


def _condition(condition: Condition) -> models.Condition:
    key, value = condition.key, condition.value
    match condition.operator:
        case "==" | "contains":
            return _equals(key, value)
        case "!=":
            return models.Filter(must_not=[_equals(key, value)])
        case "in" | "any":
            return models.Filter(should=[_equals(key, item) for item in value]) if value else _nothing()
        case "not in":
            return models.Filter(must_not=[_equals(key, item) for item in value])
        case "all":
            return models.Filter(must=[_equals(key, item) for item in value])
        case "is_empty":
            return models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
        case _:
            name = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}[condition.operator]
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UnsupportedFilterError(f"{key} {condition.operator} {value!r}: Qdrant compares numbers only.")
            return models.FieldCondition(key=key, range=models.Range(**{name: value}))


def _equals(key: str, value: Any) -> models.FieldCondition:
    if isinstance(value, float):  # Qdrant matches no floats, but has ranges of them
        return models.FieldCondition(key=key, range=models.Range(gte=value, lte=value))
    if isinstance(value, str | int | bool):
        return models.FieldCondition(key=key, match=models.MatchValue(value=value))
    raise UnsupportedFilterError(f"{key} == {value!r}: Qdrant compares strings, numbers and booleans.")


def _nothing() -> models.Filter:
    return models.Filter(must=[models.HasIdCondition(has_id=[])])
