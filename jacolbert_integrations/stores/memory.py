"""The exact in-memory store: the small default, and what every other store must agree with."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ..errors import InputError, StoreFileError, StoreNotBoundError
from ..scoring.maxsim import PackedDocuments, maxsim
from ..scoring.vectors import as_token_vectors, check_top_k
from ..types import Hit, ModelIdentity, Point, Query, TokenVectors
from .filters import as_predicate
from .model_identity import check_identity, identity_from_dict
from .payloads import check_points

_FORMAT = "jacolbert-memory-store"
_VERSION = 1
_INDEX = "store.json"


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
        given = list(points)
        checked = self.checked(given)
        with self._lock:
            self._points.update((p.id, Point(p.id, _own(p.vectors), p.payload)) for p in checked)
            self._packed = None
        return len(given)

    def search(self, query: Query, *, top_k: int, filter: object | None = None) -> list[Hit]:
        """Finds the best documents, highest MaxSim first; equal scores in the order of their ids.

        Raises:
            InputError: If ``top_k`` is below 1.
            VectorError: If the query's vectors are malformed.
            UnsupportedFilterError: If the filter is neither a ``Filter`` nor a callable.
        """
        identity = self._require_bound()
        check_top_k(top_k)
        vectors = as_token_vectors(query.vectors, "the query", identity.dimension)
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
        return [Hit(point_id, -negative, deepcopy(points[i].payload)) for negative, point_id, i in found]

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
            for point_id in ids or ():
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
            found = [self._points[i] for i in ids if i in self._points]
            return {p.id: _copy(p, with_vectors) for p in found}

    def contains(self, ids: Sequence[str]) -> set[str]:
        """Returns which of the ids are stored."""
        self._require_bound()
        with self._lock:
            return {i for i in ids if i in self._points}

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
        """Writes the store to a folder: one safetensors file and one JSON file.

        A crash at any moment leaves the folder's earlier contents readable: the JSON file names
        the vectors' file and is replaced last, in one step.

        Args:
            path: The folder; it is made if need be.
        """
        folder = Path(path)
        with self._lock:
            identity = self._require_bound()
            points = list(self._points.values())
        vectors_file = f"vectors-{uuid.uuid4().hex[:12]}.safetensors"
        record = {
            "format": _FORMAT,
            "version": _VERSION,
            "model": identity.to_dict(),
            "vectors": vectors_file,
            "points": [{"id": p.id, "tokens": len(p.vectors), "payload": dict(p.payload)} for p in points],
        }
        text = json.dumps(record, ensure_ascii=False, allow_nan=False)
        folder.mkdir(parents=True, exist_ok=True)
        empty = np.empty((0, identity.dimension), np.float32)
        save_file({"vectors": np.concatenate([empty, *(p.vectors for p in points)])}, folder / vectors_file)
        unfinished = folder / f"{_INDEX}.new"
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(folder / _INDEX)
        for old in folder.glob("vectors-*.safetensors"):
            if old.name != vectors_file:
                old.unlink(missing_ok=True)

    @classmethod
    def open(cls, path: str | Path) -> MemoryStore:
        """Reads a store that :meth:`save` wrote. Bind it to its model before use.

        Raises:
            StoreFileError: If something is missing, truncated or does not fit together.
        """
        folder = Path(path)
        record = _read_index(folder)
        store = cls()
        store._identity = identity_from_dict(record["model"], str(folder))
        try:
            vectors = load_file(folder / record["vectors"])["vectors"]
        except (SafetensorError, OSError, KeyError) as error:
            raise StoreFileError(f"{folder / record['vectors']} cannot be read: {error}.") from None
        ends = np.cumsum([0, *(point["tokens"] for point in record["points"])])
        if vectors.shape != (ends[-1], store._identity.dimension):
            raise StoreFileError(
                f"{folder}: {_INDEX} describes {ends[-1]} vectors of {store._identity.dimension} dimensions, but "
                f"{record['vectors']} holds {vectors.shape}. The two are not of the same save."
            )
        for point, start, end in zip(record["points"], ends[:-1], ends[1:], strict=True):
            store._points[point["id"]] = Point(point["id"], vectors[start:end], point["payload"])
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


def _read_index(folder: Path) -> dict[str, Any]:
    file = folder / _INDEX
    if not file.is_file():
        raise StoreFileError(f"{folder} holds no saved store: there is no {_INDEX}.")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreFileError(f"{file} is no valid JSON ({error}).") from None
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise StoreFileError(f"{file} is none of a {_FORMAT}.")
    if record.get("version") != _VERSION:
        raise StoreFileError(f"{file} has the version {record.get('version')!r}; this release reads {_VERSION}.")
    if missing := {"model", "vectors", "points"} - record.keys():
        raise StoreFileError(f"{file} lacks {', '.join(sorted(missing))}.")
    return record


def _copy(point: Point, with_vectors: bool) -> Point:
    return Point(point.id, point.vectors if with_vectors else point.vectors[:0], deepcopy(point.payload))
