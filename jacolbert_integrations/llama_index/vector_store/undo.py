"""Documents that were deleted a moment ago, in case what was to replace them cannot be encoded."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

from ...errors import InputError
from ...stores.payload_text import payload_text
from ...types import Payload, Point
from ..indexes import RESTORED_KEY

_logger = logging.getLogger(__name__)


class RecentlyDeleted:
    """The points of deleted documents, until they take more than so many bytes. Safe in threads.

    Args:
        max_bytes: Most bytes of token vectors; those of the documents deleted first go first.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._points: OrderedDict[str, list[Point]] = OrderedDict()
        self._deletions: dict[str, int] = {}  # of the documents above, the number of the last deletion
        self._last_deletion = 0
        self._being_added: Counter[str] = Counter()
        self._lock = Lock()

    def keep(self, document: str, points: Sequence[Point]) -> None:
        """Keeps the points of a document."""
        if not points:
            return
        with self._lock:
            self._last_deletion += 1
            self._deletions[document] = self._last_deletion
            earlier = self._points.pop(document, [])
            self._points[document] = list({point.id: point for point in [*earlier, *points]}.values())
            forgotten = []
            while self._points and sum(map(_size, self._points.values())) > self.max_bytes:
                forgotten.append(next(iter(self._points)))
                self._remove(forgotten[-1])
        if forgotten:
            _logger.warning(
                "Deleted documents take more than %d bytes: should their new versions fail to be encoded, the old ones "
                "of %d documents are gone (the first is %r).",
                self.max_bytes,
                len(forgotten),
                forgotten[0],
            )

    def to_restore(self, documents: Iterable[str]) -> list[Point]:
        """Returns the points of some documents as they are to be put back, marked as such.

        Points without token vectors, as in a collection that is shared with dense ones, cannot be.
        """
        with self._lock:
            kept = [(name, point) for name in documents for point in self._points.get(name, []) if len(point.vectors)]
        return [Point(p.id, p.vectors, {**p.payload, RESTORED_KEY: document}, _text(p.payload)) for document, p in kept]

    def count(self, documents: Iterable[str]) -> int:
        """Counts the points of some documents that are kept."""
        with self._lock:
            return sum(len(self._points.get(name, ())) for name in documents)

    @contextmanager
    def adding(self, documents: Collection[str]) -> Iterator[None]:
        """Keeps the old versions of documents from :meth:`forget` while their new versions are being written."""
        with self._lock:
            self._being_added.update(documents)
        try:
            yield
        finally:
            with self._lock:
                self._being_added -= Counter(documents)

    def last_deletion(self) -> int:
        """Returns the number of the latest deletion, for :meth:`forget`."""
        with self._lock:
            return self._last_deletion

    def forget(self, until: int) -> None:
        """Forgets the documents that were deleted until then, but those that are being added.

        What is deleted later, while others add, may be the first half of an update.

        Args:
            until: A number from :meth:`last_deletion`.
        """
        with self._lock:
            for document in self._points.keys() - self._being_added.keys():
                if self._deletions[document] <= until:
                    self._remove(document)

    def drop(self, documents: Iterable[str]) -> None:
        """Forgets some documents, whose new versions are there."""
        with self._lock:
            for document in documents:
                self._remove(document)

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._points.clear()
            self._deletions.clear()

    def _remove(self, document: str) -> None:
        self._points.pop(document, None)
        self._deletions.pop(document, None)


def _text(payload: Payload) -> str:
    try:
        return payload_text(payload)
    except InputError:  # somebody else's point, of which only the vectors are known
        return ""


def _size(points: Iterable[Point]) -> int:
    return sum(point.vectors.nbytes for point in points)
