"""What an index of whole numbers leaves out: it answers each comparison of numbers, and holds no 1.5."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from qdrant_client import models

from ..errors import FilterWarning
from ..stores.filters import value_at
from ..types import Point
from .clients import Client
from .filters import is_empty
from .indexes import Need, index_of, plain_key

_LOOKED_AT = 100  # points with another value than a whole number


class WholeNumbers:
    """Warns once of each key with an integer index under which there are other numbers.

    Args:
        collection: Its name.
    """

    def __init__(self, collection: str) -> None:
        self._collection = collection
        self._checked: set[str] = set()
        self._told: set[str] = set()

    def notice(
        self,
        points: Iterable[Point],
        asked: Mapping[str, models.PayloadFieldSchema],
        there: Mapping[str, models.PayloadIndexInfo],
    ) -> None:
        """Looks at points that are to be written.

        Warns:
            FilterWarning: If one has a fraction under such a key.
        """
        keys = {plain_key(path) for path, schema in asked.items() if _is_integer(schema)}
        keys |= {plain_key(path) for path, info in there.items() if info.data_type is models.PayloadSchemaType.INTEGER}
        for key in keys - self._told:
            for point in points:
                if any(_is_fraction(value) for value in _values(value_at(point.payload, key))):
                    self._tell(key)
                    break

    def check(
        self,
        client: Client,
        needed: Iterable[Need],
        there: Mapping[str, models.PayloadIndexInfo],
        read_options: Mapping[str, Any],
    ) -> None:
        """Looks, once for each key that numbers are compared under, at what is stored and not in the index.

        Warns:
            FilterWarning: If some of it are numbers.
        """
        for need in needed:
            info = index_of(there, need.key)
            if need.what != "numbers" or info is None or info.data_type is not models.PayloadSchemaType.INTEGER:
                continue
            if need.key in self._checked:
                continue
            self._checked.add(need.key)
            lowest = models.FieldCondition(key=need.key, range=models.Range(gte=-1e300))
            left_out = models.Filter(must_not=[is_empty(need.key), lowest])
            records, _ = client.scroll(
                self._collection, left_out, limit=_LOOKED_AT, with_payload=True, with_vectors=False, **read_options
            )
            key = plain_key(need.key)
            if any(_is_fraction(value) for r in records for value in _values(value_at(r.payload or {}, key))):
                self._tell(key)

    def _tell(self, key: str) -> None:
        if key in self._told:
            return
        self._told.add(key)
        warnings.warn(
            f"the Qdrant collection {self._collection!r} has an integer index over {key!r}, and numbers there that are "
            "not whole. Filters will not find these: Qdrant compares with what is in the index. Make it a float index.",
            FilterWarning,
            stacklevel=2,
        )


def _is_integer(schema: models.PayloadFieldSchema) -> bool:
    return schema is models.PayloadSchemaType.INTEGER or isinstance(schema, models.IntegerIndexParams)


def _is_fraction(value: object) -> bool:
    return isinstance(value, float) and not value.is_integer()


def _values(value: object) -> Iterator[object]:
    if isinstance(value, list):
        yield from value
    else:
        yield value
