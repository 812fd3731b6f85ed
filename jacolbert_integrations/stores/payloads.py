"""The one check of ids and payloads on their way into any store: what some engine cannot keep exactly is refused.

Qdrant Edge loses a collection over a payload that is nested 127 deep, gRPC has no integers of 2^63 and more, JSON no
NaN, and no engine lone surrogates. A point that one store takes, every store takes, and gives back as it was (but
Qdrant may read the last digit of a long fraction otherwise).
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import FilterWarning, InputError
from ..scoring.vectors import as_token_vectors, check_values
from ..types import ModelIdentity, Payload, Point, Query

MAX_DEPTH = 100
"""How deep a payload may be nested. Qdrant's engine cannot read 127 levels back."""

_LARGEST = (1 << 63) - 1
_OTHER_DATE = re.compile(r"(\d{4})(?:[/.]|年)(\d{1,2})(?:[/.]|月)(\d{1,2})日?")
_told_of_dates: set[str] = set()


def check_points(points: Iterable[Point], dimension: int) -> list[Point]:
    """Checks a whole batch of points before any of it is written; the last of a repeated id wins.

    Raises:
        InputError: If an id is not a non-empty string of valid Unicode, or a payload or text cannot be kept exactly.
        VectorError: If vectors have a wrong shape or content.

    Warns:
        FilterWarning: Once for each key, if it holds a date that date filters will not find.
    """
    if not isinstance(points, Iterable):
        raise InputError(f"expected points, but got a {type(points).__name__}.")
    checked: dict[str, Point] = {}
    for position, point in enumerate(points):
        if not isinstance(point, Point):
            raise InputError(
                f"point {position} is a {type(point).__name__}, but a jacolbert_integrations.Point is expected."
            )
        check_id(point.id, f"point {position}")
        what = f"point {point.id!r}"
        vectors = as_token_vectors(point.vectors, what, dimension)
        check_values(vectors, what)
        if not isinstance(point.text, str):
            raise InputError(f"{what} has a text that is a {type(point.text).__name__}, but a string is expected.")
        checked[point.id] = Point(point.id, vectors, json_copy(point.payload, what), point.text)
    return list(checked.values())


def check_id(point_id: object, what: str) -> str:
    """Refuses an id that is not a non-empty string of valid Unicode.

    Raises:
        InputError: If it is not.
    """
    if not isinstance(point_id, str) or not point_id:
        raise InputError(f"{what} has the id {point_id!r}, but an id is a non-empty string.")
    if surrogate := _surrogate(point_id):
        raise InputError(f"{what} has the id {point_id!r:.80}, which holds {surrogate}.")
    return point_id


def check_ids(ids: Iterable[str]) -> list[str]:
    """Refuses one string where a list of ids is expected, and what is no id at all.

    Raises:
        InputError: If it is.
    """
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise InputError(f"ids are {ids!r:.80}, but they must be a list of strings.")
    listed = list(ids)
    for one in listed:
        if not isinstance(one, str):
            raise InputError(f"one of the ids is {one!r:.80}, but an id is a string.")
    return listed


def check_query(query: object) -> Query:
    """Refuses what is not a query as stores take it.

    Raises:
        InputError: If it is not.
    """
    if not isinstance(query, Query):
        raise InputError(
            f"a store is asked with a Query, such as model.query('...'), but got a {type(query).__name__}."
        )
    return query


def check_bound(identity: object) -> ModelIdentity:
    """Refuses to bind a store to what is not the identity of a model.

    Raises:
        InputError: If it is not.
    """
    if not isinstance(identity, ModelIdentity):
        raise InputError(f"a store is bound to model.identity, a ModelIdentity, but got a {type(identity).__name__}.")
    return identity


def json_copy(payload: Payload, what: str) -> dict[str, Any]:
    """Copies the payload as every store gives it back.

    Tuples become lists. Everything else is kept exactly, or refused: keys that are not strings; sets, dates, bytes,
    and numbers of numpy, which JSON does not know; NaN and infinity; integers beyond 64 bits; lone surrogates; and
    more than :data:`MAX_DEPTH` levels.

    Raises:
        InputError: With the key of the first value that cannot be kept.
    """
    if not isinstance(payload, Mapping):
        raise InputError(f"{what} has a payload that is not JSON-serialisable: it is a {type(payload).__name__}.")
    copy: dict[str, Any] = _copy(payload, what, (), 1)
    return copy


def _copy(value: Any, what: str, path: tuple[str, ...], depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    kind = type(value)
    if isinstance(value, str):
        if surrogate := _surrogate(value):
            raise _refused(what, path, f"it holds {surrogate}")
        if _OTHER_DATE.fullmatch(value):
            _tell_of_date(path, value)
        return str(value)
    if isinstance(value, int):
        if not -_LARGEST - 1 <= value <= _LARGEST:
            raise _refused(what, path, f"{_shown(value)} is beyond 64 bits. Keep it as a string")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _refused(what, path, f"{value} is no JSON number. Leave it out, or keep None")
        return float(value)
    if not isinstance(value, Mapping | list | tuple):
        advice = "isoformat()" if hasattr(value, "isoformat") else "item()" if hasattr(value, "item") else "list()"
        raise _refused(what, path, f"a {kind.__name__} is no JSON value. Convert it first, for instance with {advice}")
    if depth > MAX_DEPTH:
        raise _refused(what, path[:3], f"it is nested more than {MAX_DEPTH} deep, which Qdrant cannot keep")
    if isinstance(value, list | tuple):
        return [_copy(item, what, (*path, str(i)), depth + 1) for i, item in enumerate(value)]
    copied: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise _refused(what, path, f"the key {_shown(key)} is a {type(key).__name__}, not a string")
        if surrogate := _surrogate(key):
            raise _refused(what, path, f"the key {key!r:.60} holds {surrogate}")
        copied[str(key)] = _copy(item, what, (*path, key), depth + 1)
    return copied


def _surrogate(text: str) -> str | None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return (
            f"a lone surrogate ({text[error.start]!r} at character {error.start}), which is no valid Unicode text. "
            "Replace it first, for instance with text.encode('utf-8', 'replace').decode()"
        )
    return None


def _refused(what: str, path: tuple[str, ...], reason: str) -> InputError:
    where = f"under {'.'.join(path)!r:.120}, " if path else ""
    return InputError(f"{what} has a payload that is not JSON-serialisable: {where}{reason}.")


def _shown(value: object) -> str:
    try:
        shown = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return "an integer of thousands of digits"
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _tell_of_date(path: tuple[str, ...], value: str) -> None:
    key = ".".join(part for part in path if not part.isdecimal())
    if key in _told_of_dates:
        return
    _told_of_dates.add(key)
    year, month, day = (int(number) for number in _OTHER_DATE.fullmatch(value).groups())  # type: ignore[union-attr]
    warnings.warn(
        f"{key!r} holds {value!r}. Filters by date ('>', '<' and the like) find dates in ISO 8601 only: write "
        f"'{year:04}-{month:02}-{day:02}' where you want to filter by it so.",
        FilterWarning,
        stacklevel=6,
    )
