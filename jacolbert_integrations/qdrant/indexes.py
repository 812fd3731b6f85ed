"""Payload indexes: which of them a filter needs in strict mode, and by which it would be answered wrongly.

Where a key has an index, Qdrant compares with what is in the index and not with the payload. An index of whole numbers
holds no 1.5, one of numbers no dates, and one of dates compares a number with seconds since 1970. So the same filter
finds other points than without the index, and Qdrant says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias, cast, get_args

from qdrant_client import models

from ..errors import InputError, PayloadIndexError
from .filters import payload_paths

Schema: TypeAlias = models.PayloadFieldSchema | str
"""As what a key is indexed: ``"keyword"``, ``"integer"``, ``"float"``, ``"bool"``, ``"datetime"``, ``"text"``,
``"uuid"``, ``"geo"``, or Qdrant's own model of one, with its options."""

TYPES = tuple(kind.value for kind in models.PayloadSchemaType)

_RANGES = ("float", "integer")
_WHOLE_RANGE = "range"
_WHOLE_MATCH = "match"
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_QUOTED = re.compile(r'"([^"\\]*)"')


class Need(NamedTuple):
    """What one condition of a filter compares, and the indexes that can do it.

    Attributes:
        key: The path in the payload.
        what: What is compared, in words.
        types: The types of index that can, the best first.
        wrong: Those that would answer, and wrongly.
        part: Of an integer index: whether its ranges or its single values are used; empty if it does not matter.
    """

    key: str
    what: str
    types: tuple[str, ...]
    wrong: tuple[str, ...] = ()
    part: str = ""


def checked_schema(key: str, schema: object) -> models.PayloadFieldSchema:
    """Returns a schema as Qdrant's own model.

    Raises:
        InputError: If it is none.
    """
    if isinstance(schema, str) and schema in TYPES:
        return models.PayloadSchemaType(schema)
    if isinstance(schema, (models.PayloadSchemaType, *get_args(models.PayloadSchemaParams))):
        return cast("models.PayloadFieldSchema", schema)
    raise InputError(f"the index of {key!r} is {schema!r:.80}, but it must be one of {', '.join(TYPES)}, or Qdrant's.")


def checked_indexes(indexes: Mapping[str, Schema]) -> dict[str, models.PayloadFieldSchema]:
    """Returns indexes by the paths at which Qdrant finds what is stored under their keys.

    Raises:
        InputError: If one is no schema.
        UnsupportedFilterError: If Qdrant has no path for a key.
    """
    return {path: checked_schema(key, schema) for key, schema in indexes.items() for path in payload_paths(key)}


def needs(filter: models.Filter | None, prefix: str = "") -> Iterator[Need]:
    """Yields what each condition of a filter needs; conditions on ids and vectors need nothing."""
    if filter is None:
        return
    least = [] if filter.min_should is None else filter.min_should.conditions
    for group in (filter.must, filter.should, filter.must_not, least):
        for condition in group if isinstance(group, list) else [] if group is None else [group]:
            yield from _needs(condition, prefix)


def group_need(key: str) -> Need:
    """Returns what grouping by a key needs."""
    return Need(key, "groups", ("keyword", "integer", "uuid", "bool"), part=_WHOLE_MATCH)


def index_of(indexes: Mapping[str, models.PayloadIndexInfo], key: str) -> models.PayloadIndexInfo | None:
    """Returns the index over a path, however either of them is quoted."""
    if key in indexes:
        return indexes[key]
    wanted = _canonical(key)
    return next((info for path, info in indexes.items() if _canonical(path) == wanted), None)


def missing(needed: Iterable[Need], indexes: Mapping[str, models.PayloadIndexInfo]) -> list[Need]:
    """Returns what no index is there for, as strict mode sees it."""
    return [need for need in needed if not _serves(index_of(indexes, need.key), need)]


def check_answers(needed: Iterable[Need], indexes: Mapping[str, models.PayloadIndexInfo], where: str) -> None:
    """Refuses conditions that an index would answer wrongly.

    Raises:
        PayloadIndexError: With the key, the index and the remedy.
    """
    for need in needed:
        info = index_of(indexes, need.key)
        kind = None if info is None else info.data_type.value
        if kind in need.wrong:
            raise PayloadIndexError(
                f"{where} has {_a(kind)} index over {need.key!r}, by which Qdrant cannot compare {need.what}: it would "
                f"leave out points that have it. Remove that index (client.delete_payload_index), or make it one of "
                f"{_a(next(t for t in need.types if t != kind))} type."
            )


def without_blanks(filter: models.Filter, indexes: Mapping[str, models.PayloadIndexInfo]) -> models.Filter:
    """Takes out comparisons with the empty string under keys whose index holds no strings: nothing there equals it.

    LlamaIndex asks for it beside each ``IS_EMPTY``, and strict mode would refuse that for a key of numbers.
    """

    def changed(condition: Any) -> Any:
        if isinstance(condition, models.Filter):
            return without_blanks(condition, indexes)
        if isinstance(condition, models.FieldCondition) and condition.match == models.MatchValue(value=""):
            info = index_of(indexes, condition.key)
            if info is not None and info.data_type.value in ("integer", "float", "bool", "datetime"):
                return models.HasIdCondition(has_id=[])
        return condition

    groups = {name: getattr(filter, name) for name in ("must", "should", "must_not")}
    return filter.model_copy(update={
        name: [changed(one) for one in (group if isinstance(group, list) else [group])]
        for name, group in groups.items() if group is not None
    })  # fmt: skip


def missing_index_error(need: Need, where: str, collection: str) -> PayloadIndexError:
    """Builds the error of an index that strict mode wants."""
    best, *others = need.types
    or_others = f" (or {', '.join(others)})" if others else ""
    return PayloadIndexError(
        f"{where} is in strict mode, and finds {need.what} under {need.key!r} only with {_a(best)} index{or_others}. "
        f"Make it once: "
        f"client.create_payload_index({collection!r}, {need.key!r}, {best!r}); or open the store with "
        f"indexes={{{plain_key(need.key)!r}: {best!r}}}, or with create_missing_indexes=True."
    )


def plain_key(path: str) -> str:
    """Returns a path without quotation marks: the key as filters have it."""
    return _QUOTED.sub(lambda match: match[1], path)


def _canonical(path: str) -> str:
    """Takes away quotation marks that a step does not need."""
    return _QUOTED.sub(lambda match: match[1] if _isplain_key(match[1]) else match[0], path)


def _isplain_key(step: str) -> bool:
    return bool(step) and all(character.isalnum() or character in "_-" for character in step)


def _a(kind: str | None) -> str:
    return f"{'an' if kind == 'integer' else 'a'} {kind}"


def _serves(info: models.PayloadIndexInfo | None, need: Need) -> bool:
    if info is None or info.data_type.value not in need.types:
        return False
    if isinstance(info.params, models.IntegerIndexParams):
        return not ((need.part == _WHOLE_RANGE and info.params.range is False)
                    or (need.part == _WHOLE_MATCH and info.params.lookup is False))  # fmt: skip
    return True


def _needs(condition: Any, prefix: str) -> Iterator[Need]:
    if isinstance(condition, models.Filter):
        yield from needs(condition, prefix)
    elif isinstance(condition, models.NestedCondition):
        yield from needs(condition.nested.filter, f"{prefix}{condition.nested.key.removesuffix('[]')}[].")
    elif isinstance(condition, models.IsEmptyCondition):
        yield Need(prefix + condition.is_empty.key, "whether there is something", _any_type())
    elif isinstance(condition, models.IsNullCondition):
        yield Need(prefix + condition.is_null.key, "whether there is something", _any_type())
    elif isinstance(condition, models.FieldCondition):
        yield from _of_field(condition, prefix + condition.key)


def _of_field(condition: models.FieldCondition, key: str) -> Iterator[Need]:
    if condition.match is not None:
        yield from _of_match(condition.match, key)
    if isinstance(condition.range, models.DatetimeRange):
        yield Need(key, "dates", ("datetime",), ("integer", "float", "uuid"))
    elif condition.range is not None:
        yield Need(key, "numbers", _RANGES, ("datetime", "uuid"), _WHOLE_RANGE)
    if condition.geo_bounding_box or condition.geo_polygon or condition.geo_radius:
        yield Need(key, "places", ("geo",))
    if condition.values_count is not None or condition.is_empty is not None or condition.is_null is not None:
        yield Need(key, "how many values there are", _any_type())


def _of_match(match: Any, key: str) -> Iterator[Need]:
    if isinstance(match, models.MatchValue):
        values: list[Any] = [match.value]
    elif isinstance(match, models.MatchAny):
        values = list(match.any)
    elif isinstance(match, models.MatchExcept):
        values = list(match.except_)
    else:
        yield Need(key, "words", ("text",))
        return
    if not values:
        return  # Qdrant takes it for what it is: nothing, or everything
    if all(isinstance(value, bool) for value in values):
        yield Need(key, "true and false", ("bool",))
    elif all(isinstance(value, int) for value in values):
        yield Need(key, "whole numbers", ("integer",), part=_WHOLE_MATCH)
    else:
        uuids = all(isinstance(value, str) and _UUID.fullmatch(value) for value in values)
        yield Need(key, "strings", ("keyword", "uuid") if uuids else ("keyword",))


def _any_type() -> tuple[str, ...]:
    return ("keyword", *(kind for kind in TYPES if kind != "keyword"))
