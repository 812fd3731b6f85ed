"""The exact in-memory store: the small default, and what every other store must agree with."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, StoreNotBoundError
from ..scoring.maxsim import PackedDocuments, maxsim
from ..scoring.vectors import as_token_vectors, check_top_k
from ..types import Hit, Hits, ModelIdentity, Point, Query, TokenVectors
from .filters import as_predicate
from .memory_files import read_memory, write_memory
from .model_identity import check_identity
from .payloads import check_bound, check_ids, check_points, check_query


class MemoryStore:
    """Documents in memory, ranked by exact MaxSim.

    Filters are a :class:`~jacolbert_integrations.types.Filter` or a callable that takes a payload.
    Safe in threads.
    """

    def __init__(self) -> None:
        self._points: dict[str, Point] = {}
        self._identity: ModelIdentity | None = None
        self._bound = False
        self._packed: PackedDocuments | None = None
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._points)} points)"

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            return {**self.__dict__, "_points": dict(self._points), "_packed": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({**state, "_lock": threading.RLock()})

    def bind(self, identity: ModelIdentity) -> None:
        """Tells the store which model reads and writes from now on.

        Raises:
            ModelMismatchError: If the store holds another model's vectors.
        """
        check_bound(identity)
        with self._lock:
            if self._identity is not None:
                check_identity(self._identity, identity, "the memory store")
            else:
                self._identity = identity
            self._bound = True

    def identity(self) -> ModelIdentity | None:
        """Returns the model that :meth:`bind` first named; None if it never did."""
        return self._identity

    def checked(self, points: Sequence[Point]) -> list[Point]:
        """Checks points, and returns them as :meth:`upsert` would keep them, of a repeated id the last.

        Raises:
            InputError: As :meth:`upsert`.
            VectorError: As :meth:`upsert`.
        """
        return check_points(points, self._require_bound().dimension)

    def upsert(self, points: Iterable[Point]) -> int:
        """Adds points, replacing those of the same id.

        Raises:
            InputError: If an id is no non-empty string, or a payload is not JSON-serialisable.
            VectorError: If vectors are malformed; then none of the points is added.
        """
        given = list(points) if isinstance(points, Iterable) else points
        checked = self.checked(given)
        with self._lock:
            self._points.update((p.id, Point(p.id, _own(p.vectors), p.payload)) for p in checked)
            self._packed = None
        return len(given)

    def search(self, query: Query, *, top_k: int, filter: object | None = None) -> Hits:
        """Finds the best documents, highest MaxSim first; equal scores in the order of their ids.

        Raises:
            InputError: If ``top_k`` is below 1.
            VectorError: If the query's vectors are malformed.
            UnsupportedFilterError: If the filter is neither a ``Filter`` nor a callable.
        """
        identity = self._require_bound()
        check_top_k(top_k)
        vectors = as_token_vectors(check_query(query).vectors, "the query", identity.dimension)
        predicate = None if filter is None else as_predicate(filter)
        with self._lock:
            points = [p for p in self._points.values() if predicate is None or predicate(p)]
            if predicate is None:
                if self._packed is None:
                    self._packed = PackedDocuments([point.vectors for point in points])
                scores = self._packed.score([vectors])[0]
            else:
                scores = maxsim([vectors], [point.vectors for point in points])[0]
        if len(points) > top_k:  # ties at the cut are kept until they are sorted
            cut = np.partition(scores, -top_k)[-top_k]
            candidates = np.flatnonzero(scores >= cut)
        else:
            candidates = np.arange(len(points))
        found = sorted((-float(scores[i]), points[i].id, i) for i in candidates)[:top_k]
        return Hits(Hit(point_id, -negative, deepcopy(points[i].payload)) for negative, point_id, i in found)

    def score(self, query: Query, ids: Sequence[str]) -> dict[str, Hit]:
        """Scores stored documents by exact MaxSim; unknown ids are left out.

        Raises:
            VectorError: If the query's vectors are malformed.
        """
        identity = self._require_bound()
        vectors = as_token_vectors(check_query(query).vectors, "the query", identity.dimension)
        with self._lock:
            found = {i: self._points[i] for i in check_ids(ids) if i in self._points}
            scores = maxsim([vectors], [point.vectors for point in found.values()])[0]
            return {
                i: Hit(i, float(score), deepcopy(point.payload))
                for (i, point), score in zip(found.items(), scores, strict=True)
            }

    def delete(self, ids: Iterable[str] | None = None, *, filter: object | None = None) -> None:
        """Removes points: by id, or all that pass a filter. Unknown ids are ignored.

        Raises:
            InputError: If neither is given, or both.
            UnsupportedFilterError: If the filter is neither a ``Filter`` nor a callable.
        """
        self._require_bound()
        if (ids is None) == (filter is None):
            raise InputError("give either ids or a filter, to say which points are meant.")
        predicate = None if filter is None else as_predicate(filter)
        with self._lock:
            if predicate is not None:
                ids = [point.id for point in self._points.values() if predicate(point)]
            for point_id in check_ids(ids or ()):
                self._points.pop(point_id, None)
            self._packed = None

    def count(self, *, filter: object | None = None) -> int:
        """Counts the points, or those that pass the filter."""
        self._require_bound()
        if filter is None:
            return len(self._points)
        predicate = as_predicate(filter)
        with self._lock:
            return sum(predicate(point) for point in self._points.values())

    def exists(self) -> bool:
        """Returns whether the store has ever been written for a model."""
        return self._identity is not None

    def get(self, ids: Sequence[str], *, with_vectors: bool = True) -> dict[str, Point]:
        """Returns stored points by id, with or without their vectors; unknown ids are left out."""
        self._require_bound()
        with self._lock:
            found = [self._points[i] for i in check_ids(ids) if i in self._points]
            return {p.id: _copy(p, with_vectors) for p in found}

    def contains(self, ids: Sequence[str]) -> set[str]:
        """Returns which of the ids are stored."""
        self._require_bound()
        with self._lock:
            return {i for i in check_ids(ids) if i in self._points}

    def points(self, *, filter: object | None = None, with_vectors: bool = True) -> Iterator[Point]:
        """Yields all points, or those that pass the filter, as they are now: later writes do not change them.

        Raises:
            UnsupportedFilterError: If the filter is neither a ``Filter`` nor a callable.
        """
        self._require_bound()
        predicate = None if filter is None else as_predicate(filter)
        with self._lock:
            now = [p for p in self._points.values() if predicate is None or predicate(p)]
        return (_copy(p, with_vectors) for p in now)

    def save(self, path: str | Path) -> None:
        """Writes the store to a folder: one safetensors file and one JSON file, each with its checksum.

        A crash at any moment leaves the folder's earlier contents readable: the JSON file names
        the vectors' file and is replaced last, in one step. One process or thread at a time saves to a folder.

        Args:
            path: The folder; it is made if need be.

        Raises:
            StoreFileError: If it cannot be written, such as to a full disk; what was there before stays.
        """
        with self._lock:
            identity = self._require_bound()
            points = list(self._points.values())
        write_memory(Path(path), identity, points)

    @classmethod
    def open(cls, path: str | Path) -> MemoryStore:
        """Reads a store that :meth:`save` wrote. Bind it to its model before use.

        Raises:
            StoreFileError: If something is missing, damaged or does not fit together.
        """
        store = cls()
        store._identity, points = read_memory(Path(path))
        store._points = {point.id: point for point in points}
        return store

    def _require_bound(self) -> ModelIdentity:
        if not self._bound or self._identity is None:
            raise StoreNotBoundError("the memory store does not know its model yet: call bind(model.identity) first.")
        return self._identity


def _own(vectors: TokenVectors) -> TokenVectors:
    """Copies a payload, so that neither the caller nor a reader can change what is stored."""
    copy = vectors.copy()
    copy.flags.writeable = False
    return copy


def _copy(point: Point, with_vectors: bool) -> Point:
    return Point(point.id, point.vectors if with_vectors else point.vectors[:0], deepcopy(point.payload))
