"""Centroids of token vectors: the directions that they gather around, as PLAID finds candidates by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..errors import CorruptCheckpointError, InputError, ModelMismatchError
from ..types import ModelIdentity, TokenVectors
from .vectors import as_token_vectors

FILE = "centroids.safetensors"
"""What a checkpoint's directory calls the centroids of the model."""

_PROBED_GROUPS = 16
_VECTORS_AT_ONCE = 32_768


class Centroids:
    """The centroids of a model's token vectors (PLAID, arXiv 2205.09707): learned once, the same for every collection.

    They lie in groups of similar ones, so that the nearest centroid of a vector is looked for in the nearest groups
    only. Numbers are kept as 8 bits, of which directions lose nothing that counts.

    Args:
        values: (centroids, dimension) int8; only the direction of a row counts. Those of a group are neighbours.
        groups: How many centroids each group has, in the order of the rows.
        model: The fingerprint of the model whose vectors they were learned from; None fits any.
        nprobe: How many of them each token vector of a query looks at, if nothing else is said. What is best depends on
            how far a model puts queries from documents.

    Raises:
        InputError: If they are none.
    """

    def __init__(
        self, values: NDArray[np.int8], groups: Sequence[int], *, model: str | None = None, nprobe: int = 4
    ) -> None:
        sizes = np.asarray(groups)
        if values.ndim != 2 or values.dtype != np.int8 or not len(values) or not values.any(axis=1).all():
            raise InputError(
                f"centroids are (centroids, dimension) int8, none of them zero, not {values.shape} {values.dtype}."
            )
        if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or (sizes < 1).any() or sizes.sum() != len(values):
            raise InputError(f"the groups of {len(values)} centroids have to add up to as many, not {sizes.tolist()}.")
        if not 1 <= nprobe < len(values):
            raise InputError(f"nprobe is {nprobe}, but it must be at least 1, and less than {len(values)} centroids.")
        self.values = values
        self.nprobe = nprobe
        self.groups = tuple(int(size) for size in sizes)
        self.model = model

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Centroids({len(self):,} of {self.dimension} dimensions, {self.fingerprint[:12]})"

    @property
    def dimension(self) -> int:
        """Length of a token vector."""
        return int(self.values.shape[1])

    @cached_property
    def vectors(self) -> TokenVectors:
        """(centroids, dimension) float32, of length 1 each."""
        return _of_length_1(self.values.astype(np.float32))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the centroids, which tells them from others."""
        return sha256(f"{self.values.shape}".encode() + np.ascontiguousarray(self.values).tobytes()).hexdigest()

    def check(self, identity: ModelIdentity) -> None:
        """Refuses centroids of another model's vectors.

        Raises:
            ModelMismatchError: If they are.
        """
        if self.dimension != identity.dimension or self.model not in (None, identity.fingerprint):
            model = "" if self.model is None else f" of the model {self.model[:12]}"
            raise ModelMismatchError(
                f"these centroids are of vectors of {self.dimension} dimensions{model}, but {identity.name!r} "
                f"({identity.fingerprint[:12]}) has {identity.dimension}. Learn the model's own: jacolbert centroids."
            )

    def nearest(self, vectors: TokenVectors) -> NDArray[np.int64]:
        """Finds the centroid that is nearest to each vector, among those of the nearest groups.

        Args:
            vectors: (tokens, dimension) float32.

        Returns:
            (tokens,) numbers of centroids.
        """
        vectors = as_token_vectors(vectors, "the vectors", self.dimension)
        parts = [vectors[begin : begin + _VECTORS_AT_ONCE] for begin in range(0, len(vectors), _VECTORS_AT_ONCE)]
        return np.concatenate([self._nearest(part) for part in parts])

    def most_similar(self, vectors: TokenVectors, count: int) -> tuple[TokenVectors, NDArray[np.int64]]:
        """Finds the centroids that are most similar to each vector, most similar first; all are looked at.

        Args:
            vectors: (tokens, dimension) float32.
            count: How many of each; at most as many as there are.

        Returns:
            Their similarities (tokens, count), and their numbers (tokens, count).

        Raises:
            InputError: If there are not so many.
        """
        if not 1 <= count <= len(self):
            raise InputError(f"of {len(self)} centroids {count} are asked for.")
        similarities = as_token_vectors(vectors, "the vectors", self.dimension) @ self.vectors.T
        rows = np.arange(len(similarities))
        values = np.empty((len(rows), count), np.float32)
        found = np.empty((len(rows), count), np.int64)
        for place in range(count):  # for the few that are asked for, several times as fast as any sorting
            found[:, place] = best = similarities.argmax(axis=1)
            values[:, place] = similarities[rows, best]
            similarities[rows, best] = -np.inf
        return values, found

    def of_documents(self, documents: Sequence[TokenVectors]) -> list[NDArray[np.int64]]:
        """Finds the centroids that the token vectors of documents are nearest to: numbers, in order, each once.

        Args:
            documents: (tokens, dimension) float32 each.
        """
        if not documents:
            return []
        found = self.nearest(np.concatenate(documents))
        ends = np.cumsum([len(document) for document in documents])[:-1]
        return [np.unique(part) for part in np.split(found, ends)]

    def of_query(self, query: TokenVectors, nprobe: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Weighs the centroids that are most similar to the token vectors of a query.

        Each token vector gives each of the so many most similar ones their similarity less that of the next, because
        what every document has is worth nothing.

        Args:
            query: (tokens, dimension) float32.
            nprobe: Centroids that each token vector looks at, fewer than there are; None takes :attr:`nprobe`.

        Returns:
            Their numbers, in order, and the sums of their weights.
        """
        similarities, numbers = self.most_similar(query, (self.nprobe if nprobe is None else nprobe) + 1)
        weights = similarities[:, :-1] - similarities[:, -1:]
        own, places = np.unique(numbers[:, :-1], return_inverse=True)
        summed: NDArray[np.float64] = np.bincount(places.ravel(), weights.ravel(), len(own)).astype(np.float64)
        return own, summed

    def save(self, path: str | Path) -> None:
        """Writes them into a file, whole or not at all.

        Args:
            path: The file; within a checkpoint's directory it is called :data:`FILE`.
        """
        target = Path(path)
        unfinished = target.with_name(f".{target.name}.unfinished")
        try:
            save_file(
                {"centroids": np.ascontiguousarray(self.values), "groups": np.asarray(self.groups, np.int32)},
                unfinished,
                {"nprobe": str(self.nprobe), **({} if self.model is None else {"model": self.model})},
            )
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> Centroids:
        """Reads what :meth:`save` wrote.

        Raises:
            InputError: If there is no such file.
            CorruptCheckpointError: If it holds no centroids.
        """
        if not Path(path).is_file():
            raise InputError(f"there is no file of centroids {path}. Learn them: jacolbert centroids.")
        try:
            with safe_open(path, "numpy") as file:
                values, groups = file.get_tensor("centroids"), file.get_tensor("groups")
                said = file.metadata() or {}
                return cls(values, groups, model=said.get("model"), nprobe=int(said["nprobe"]))
        except (SafetensorError, OSError, InputError, KeyError, TypeError, ValueError) as error:
            raise CorruptCheckpointError(f"{path} holds no centroids that can be read: {error}") from error

    def _nearest(self, vectors: TokenVectors) -> NDArray[np.int64]:
        count = min(_PROBED_GROUPS, len(self.groups))
        groups = np.argpartition(-(vectors @ self._middles.T), count - 1, axis=1)[:, :count].ravel()
        rows = np.repeat(np.arange(len(vectors)), count)[order := np.argsort(groups, kind="stable")]
        bounds = np.searchsorted(groups[order], np.arange(len(self.groups) + 1))
        best = np.full(len(vectors), -np.inf, np.float32)
        found = np.zeros(len(vectors), np.int64)
        for group in range(len(self.groups)):  # of each group, the vectors that look into it
            looking = rows[bounds[group] : bounds[group + 1]]
            if not len(looking):
                continue
            similarities = vectors[looking] @ self._parts[group].T
            own = similarities.argmax(axis=1)
            values = similarities[np.arange(len(looking)), own]
            better = values > best[looking]
            best[looking[better]] = values[better]
            found[looking[better]] = self._begins[group] + own[better]
        return found

    @cached_property
    def _begins(self) -> list[int]:
        return [0, *np.cumsum(self.groups).tolist()]

    @cached_property
    def _parts(self) -> list[TokenVectors]:
        return [self.vectors[a:b] for a, b in zip(self._begins, self._begins[1:], strict=False)]

    @cached_property
    def _middles(self) -> TokenVectors:
        return _of_length_1(np.stack([part.mean(axis=0) for part in self._parts]))


def _of_length_1(vectors: TokenVectors) -> TokenVectors:
    normalized: TokenVectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return normalized
