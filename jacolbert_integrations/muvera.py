"""Token matrices as single vectors whose inner product stands for MaxSim, for an ordinary index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .types import TokenVectors
from .vectors import as_token_vectors

_MOST_CELLS = 2**16
"""Of all documents that are encoded at once, so that a cell's number has 16 bits, which NumPy sorts by radix."""


@dataclass(frozen=True)
class Muvera:
    """Fixed dimensional encodings (MUVERA, arXiv 2405.19504).

    Random hyperplanes cut the space into cells. A query's encoding has the sum of its vectors in each cell, a
    document's their mean, or for an empty cell the vector of the nearest cell that has one. So each query vector
    meets a document vector that is likely near it, as in MaxSim, and the inner product of two encodings estimates
    their MaxSim. This is repeated with other hyperplanes, and each time projected to fewer dimensions.

    The same parameters give the same encodings anywhere, and those of fastembed's ``Muvera``, but that a vector which
    lies on a hyperplane, to within float32's rounding, may fall on its other side.

    Attributes:
        dimension: Length of a token vector.
        hyperplanes: Of each repetition; they cut 2 to their number of cells.
        projection: Dimensions that are left of each cell; ``dimension`` keeps all.
        repetitions: How often it is done.
        seed: Decides hyperplanes and projections.
    """

    dimension: int
    hyperplanes: int = 4
    projection: int = 8
    repetitions: int = 16
    seed: int = 42

    def __post_init__(self) -> None:
        for name in ("dimension", "hyperplanes", "projection", "repetitions"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{name} is {value!r}, but it must be an integer of at least 1.")
        if self.hyperplanes > 10:
            raise InputError(f"{self.hyperplanes} hyperplanes cut {2**self.hyperplanes:,} cells; take at most 10.")
        if self.projection > self.dimension:
            raise InputError(f"projection is {self.projection}, more than the {self.dimension} of a token vector.")

    @property
    def size(self) -> int:
        """Length of an encoding."""
        return self.repetitions * self._cells * self.projection

    def to_dict(self) -> dict[str, Any]:
        """As JSON-serialisable values."""
        return asdict(self)

    def encode_query(self, query: TokenVectors) -> NDArray[np.float32]:
        """A query's encoding.

        Args:
            query: (tokens, dimension).

        Returns:
            (:attr:`size`,) float32.

        Raises:
            VectorError: If the matrix is malformed.
        """
        sums, _, _ = self._sums([as_token_vectors(query, "the query", self.dimension)])
        return sums.ravel()

    def encode_document(self, documents: Sequence[TokenVectors]) -> NDArray[np.float32]:
        """Encodings of documents.

        Args:
            documents: (tokens, dimension) each.

        Returns:
            (documents, :attr:`size`) float32.

        Raises:
            VectorError: If a matrix is malformed.
        """
        checked = [as_token_vectors(d, f"document {i}", self.dimension) for i, d in enumerate(documents)]
        at_once = max(_MOST_CELLS // (self.repetitions * self._cells), 1)
        encodings = np.empty((len(checked), self.size), np.float32)
        for start in range(0, len(checked), at_once):
            encodings[start : start + at_once] = self._documents(checked[start : start + at_once])
        return encodings

    def _documents(self, documents: Sequence[TokenVectors]) -> NDArray[np.float32]:
        centres, keys, projected = self._sums(documents)
        counts = np.bincount(keys, minlength=len(centres))
        centres /= np.maximum(counts, 1)[:, None]
        # the first token of each cell: of several assignments to one place the last stays
        first = np.zeros(len(centres), np.intp)
        first[keys[::-1]] = np.arange(len(keys))[::-1]
        occupied = (counts > 0).reshape(-1, self._cells)
        # for each cell the nearest that is occupied: the first such in the order of nearness
        rank = occupied[:, self._nearness].argmax(axis=2)
        nearest = self._nearness[np.arange(self._cells), rank] + np.arange(len(occupied))[:, None] * self._cells
        empty = np.flatnonzero(~occupied)
        centres[empty] = projected[first[nearest.ravel()[empty]]]
        return centres.reshape(len(documents), self.size)

    def _sums(
        self, matrices: Sequence[TokenVectors]
    ) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.float32]]:
        """What falls into each cell of each text and repetition.

        Returns:
            The sums, (cells of all, projection); and for each token and repetition the number of its cell and
            its projection.
        """
        tokens = np.concatenate(list(matrices))
        above = (tokens @ self._planes > 0).reshape(len(tokens), self.repetitions, self.hyperplanes)
        text = np.repeat(np.arange(len(matrices)), [len(matrix) for matrix in matrices])
        keys = (text[:, None] * self.repetitions + np.arange(self.repetitions)) * self._cells
        keys += above @ (1 << np.arange(self.hyperplanes))
        keys = keys.ravel()
        projected = self._project(tokens).reshape(len(keys), self.projection)
        cells = len(matrices) * self.repetitions * self._cells
        order = np.argsort(keys.astype(np.uint16) if cells <= _MOST_CELLS else keys, kind="stable")
        ordered = keys[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        sums = np.zeros((cells, self.projection), np.float32)
        import torch  # here, so that a store of another first stage opens without it

        # as np.add.reduceat(projected[order], starts), several times faster
        sums[ordered[starts]] = torch.nn.functional.embedding_bag(
            torch.from_numpy(order), torch.from_numpy(projected), torch.from_numpy(starts), mode="sum"
        ).numpy()
        return sums, keys, projected

    def _project(self, tokens: TokenVectors) -> NDArray[np.float32]:
        """(tokens, repetitions, projection)."""
        if self.projection == self.dimension:
            return np.repeat(tokens[:, None], self.repetitions, axis=1)
        projected: NDArray[np.float32] = (tokens @ self._projections).reshape(len(tokens), self.repetitions, -1)
        return projected

    @property
    def _cells(self) -> int:
        return int(2**self.hyperplanes)

    @cached_property
    def _random(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        generator = np.random.default_rng(self.seed)
        planes = [generator.normal(size=(self.dimension, self.hyperplanes)) for _ in range(self.repetitions)]
        signs = generator.choice([-1, 1], size=(self.repetitions, self.dimension, self.projection))
        projections = np.concatenate(list(signs), axis=1) / np.sqrt(self.projection)
        return np.concatenate(planes, axis=1).astype(np.float32), projections.astype(np.float32)

    @property
    def _planes(self) -> NDArray[np.float32]:
        return self._random[0]

    @property
    def _projections(self) -> NDArray[np.float32]:
        return self._random[1]

    @cached_property
    def _nearness(self) -> NDArray[np.intp]:
        """(cells, cells): for each cell all cells by Hamming distance, equal ones by number."""
        cells = np.arange(self._cells)
        distance = np.array([[(a ^ b).bit_count() for b in range(self._cells)] for a in range(self._cells)])
        order: NDArray[np.intp] = np.argsort(distance * self._cells + cells, axis=1)
        return order
