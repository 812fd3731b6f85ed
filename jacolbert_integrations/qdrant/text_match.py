"""Parts of stored strings. Qdrant compares words only: their values are read, and the points named that match."""

from __future__ import annotations

from functools import partial
from typing import Any

from qdrant_client import models

from ..stores.filters import holds, value_at
from ..types import Condition
from .clients import Client
from .filters import is_empty
from .retrying import Retries

PAGE = 1000
"""Points that are read at a time."""


def holding(*paths: str) -> models.Filter:
    """Selects the points that have something at one of these paths."""
    return models.Filter(must_not=[models.Filter(must=[is_empty(path) for path in paths])])


def text_matches(
    client: Client, collection: str, condition: Condition, *, paths: list[str], page: int = PAGE, **read_options: Any
) -> models.HasIdCondition:
    """Finds the points of a collection whose text matches, and returns them as a condition on ids.

    That key of all points that have it is read, but neither their vectors nor the rest of their payloads.

    Args:
        client: Any client.
        collection: A collection that exists.
        condition: ``text_match`` or ``text_match_insensitive``.
        paths: Where what is stored under its key may be.
        page: Points that are read at a time.
        **read_options: For each request.
    """
    read = partial(
        client.scroll,
        collection,
        holding(*paths),
        limit=page,
        with_payload=paths,
        with_vectors=False,
        **read_options,
    )
    found: list[models.ExtendedPointId] = []
    offset: Any = None
    while True:
        records, offset = Retries().call(partial(read, offset=offset))
        found += [r.id for r in records if holds(condition, value_at(r.payload or {}, condition.key))]
        if offset is None:
            return models.HasIdCondition(has_id=found)
