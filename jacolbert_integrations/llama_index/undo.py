"""Documents that were deleted a moment ago, in case what was to replace them cannot be encoded."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from threading import Lock

from ..types import Point

_logger = logging.getLogger(__name__)


class RecentlyDeleted:
    """The points of deleted documents, until they take more than so many bytes. Safe in threads.

    Args:
        max_bytes: Most bytes of token vectors; those of the documents deleted first go first.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._points: OrderedDict[str, list[Point]] = OrderedDict()
        self._lock = Lock()

    def keep(self, document: str, points: Sequence[Point]) -> None:
        """Keeps the points of a document."""
        if not points:
            return
        with self._lock:
            earlier = self._points.pop(document, [])
            self._points[document] = list({point.id: point for point in [*earlier, *points]}.values())
            forgotten = []
            while self._points and sum(map(_size, self._points.values())) > self.max_bytes:
                forgotten.append(self._points.popitem(last=False)[0])
        if forgotten:
            _logger.warning(
                "Deleted documents take more than %d bytes: should their new versions fail to be encoded, the old ones "
                "of %d documents are gone (the first is %r).",
                self.max_bytes,
                len(forgotten),
                forgotten[0],
            )

    def of(self, documents: Iterable[str]) -> list[Point]:
        """The points of some documents."""
        with self._lock:
            return [point for document in documents for point in self._points.get(document, [])]

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._points.clear()


def _size(points: Iterable[Point]) -> int:
    return sum(point.vectors.nbytes for point in points)
