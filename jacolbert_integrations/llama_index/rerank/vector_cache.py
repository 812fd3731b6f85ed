"""Document vectors that were computed before, up to so many bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock

from ...errors import InputError
from ...text.windows import Span
from ...types import TokenVectors

_BYTES_OF_AN_ENTRY = 512
"""Key, dictionary slot and objects of an entry: a little more than what was measured."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A text as token vectors: whole, or in windows as long as the model reads.

    Attributes:
        vectors: A (tokens, dimension) float32 array a window.
        spans: Where each window is in the text, in characters.
    """

    vectors: tuple[TokenVectors, ...]
    spans: tuple[Span, ...]

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return sum(matrix.nbytes for matrix in self.vectors)


class VectorCache:
    """Keeps passages until they take more than so many bytes; then those go that were not used for longest.

    Safe in threads. Rerankers may share one: what is kept is known by the text and by all of the model that its
    vectors depend on. A copy, also by pickling, is empty.

    Args:
        max_bytes: Most bytes of what is kept, keys included; 0 keeps nothing.

    Raises:
        InputError: If ``max_bytes`` is no integer of at least 0.
    """

    def __init__(self, max_bytes: int) -> None:
        if not isinstance(max_bytes, int) or isinstance(max_bytes, bool) or max_bytes < 0:
            raise InputError(f"max_bytes is {max_bytes!r}, but it must be an integer of at least 0.")
        self.max_bytes = max_bytes
        self._passages: OrderedDict[Hashable, Passage] = OrderedDict()
        self._nbytes = 0
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} passages, {self.nbytes:,} of {self.max_bytes:,} bytes)"

    def __reduce__(self) -> tuple[type[VectorCache], tuple[int]]:
        return type(self), (self.max_bytes,)

    def __len__(self) -> int:
        return len(self._passages)

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept; never more than ``max_bytes``."""
        return self._nbytes

    def get(self, key: Hashable) -> Passage | None:
        """Returns the passage, which then counts as just used; None if it is not in the cache."""
        with self._lock:
            if key not in self._passages:
                return None
            self._passages.move_to_end(key)
            return self._passages[key]

    def put(self, key: Hashable, passage: Passage) -> None:
        """Keeps a passage, unless it alone is larger than the cache. Its arrays can no longer be written to."""
        size = _size(passage)
        if size > self.max_bytes:
            return
        for matrix in passage.vectors:
            matrix.flags.writeable = False
        with self._lock:
            self._remove(key)
            self._passages[key] = passage
            self._nbytes += size
            while self._nbytes > self.max_bytes:
                self._remove(next(iter(self._passages)))

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._passages.clear()
            self._nbytes = 0

    def _remove(self, key: Hashable) -> None:
        if key in self._passages:
            self._nbytes -= _size(self._passages.pop(key))


def _size(passage: Passage) -> int:
    return passage.nbytes + _BYTES_OF_AN_ENTRY * (1 + len(passage.vectors))
