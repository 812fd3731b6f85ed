"""Versions of documents on a server, so that several writers of one document leave all windows of one of them.

Each point that is written says of which version its document is, and a point of a later version is never overwritten.
What a writer then removes is what is older than the latest version that it sees, be that its own or another's. So the
windows of the latest version are safe from all the others, however their requests come in between.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from qdrant_client import models

from ..types import Filter
from .filters import is_empty, to_qdrant
from .points import VERSION_KEY, windows_of

_UNITS_A_SECOND = 100_000  # as fine as a server reads such numbers exactly from JSON


def next_version(stored: Iterable[int]) -> int:
    """Returns a version later than all that are stored, whatever the clocks of their writers said."""
    return max([int(time.time() * _UNITS_A_SECOND), *(version + 1 for version in stored)])


def version_of(payload: Mapping[str, Any] | None) -> int:
    """Returns the version that a point is of; 0 if it has none."""
    found = (payload or {}).get(VERSION_KEY)
    return found if isinstance(found, int) else 0


def up_to(version: int) -> models.Filter:
    """Selects the points that a version may overwrite: those of earlier ones, and its own."""
    return models.Filter(should=[is_empty(VERSION_KEY), _range(lte=version)])


def older_windows(documents: Collection[str], version: int) -> models.Filter:
    """Selects the windows that documents have of versions before this one."""
    of_them = to_qdrant(Filter([windows_of(documents)]))
    older = models.Filter(should=[is_empty(VERSION_KEY), _range(lt=version)])
    return models.Filter(must=[older] if of_them is None else [of_them, older])


def _range(**bounds: int) -> models.FieldCondition:
    return models.FieldCondition(key=VERSION_KEY, range=models.Range(**bounds))
