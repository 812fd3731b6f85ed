"""Token matrices as single vectors whose inner product stands for MaxSim, for an ordinary index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..types import TokenVectors
from .vectors import as_token_vectors

_BLOCK_FLOATS = 2**20
"""Of the vectors and of the cells' sums of documents that are encoded at once: what a processor's cache holds."""

_BLOCK_DOCUMENTS = 64
"""At most so many at once, so that a cell's number has 16 bits, which NumPy sorts by radix."""


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
        """Returns the parameters as JSON-serialisable values."""
        return asdict(self)

    def encode_query(self, query: TokenVectors) -> NDArray[np.float32]:
        """Encodes a query.

        Args:
            query: (tokens, dimension).

        Returns:
            (:attr:`size`,) float32.

        Raises:
            VectorError: If the matrix is malformed.
        """
        tokens = as_token_vectors(query, "the query", self.dimension)
        # NumPy's small products: unlike torch's operators they never wait for another thread, and this is a search
        cells = self._cells_of(self._planes @ tokens.T)
        inside = cells[:, None] == np.arange(self._cells)[:, None]
        sums: NDArray[np.float32] = inside.astype(np.float32) @ tokens
        if self.projection < self.dimension:
            sums = sums @ self._projections.transpose(0, 2, 1)
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
        encodings = np.empty((len(checked), self.size), np.float32)
        for block in self._blocks([len(document) for document in checked]):
            self._encode(checked[block], encodings[block])
        return encodings

    def _blocks(self, lengths: Sequence[int]) -> Iterator[slice]:
        """Splits documents of so many tokens into those that are encoded at once."""
        vectors = _BLOCK_FLOATS // self.dimension
        documents = min(vectors // (self.repetitions * self._cells), _BLOCK_DOCUMENTS)
        start = tokens = 0
        for place, length in enumerate(lengths):
            if place > start and (place - start >= documents or tokens + length > vectors):
                yield slice(start, place)
                start, tokens = place, 0
            tokens += length
        if lengths:
            yield slice(start, len(lengths))

    def _encode(self, documents: Sequence[TokenVectors], encodings: NDArray[np.float32]) -> None:
        """Writes the encodings of a block of documents.

        The vectors of a cell are summed before they are projected: a document has fewer cells than vectors.
        """
        import torch  # here, so that a store of another first stage opens without it

        tokens = np.concatenate(list(documents))
        order, counts = self._sort(tokens, [len(document) for document in documents])
        sums = torch.from_numpy(self._sums(tokens, order, counts)).view(self.repetitions, -1, self.dimension)
        if self.projection < self.dimension:
            sums = torch.bmm(sums, torch.from_numpy(self._projections).transpose(1, 2))
        shape = (self.repetitions, len(documents), self._cells)
        divisors = torch.from_numpy(np.maximum(counts, 1).astype(np.float32))
        torch.div(
            sums.view(*shape, -1).transpose(0, 1),
            divisors.view(*shape, 1).transpose(0, 1),
            out=torch.from_numpy(encodings).view(len(documents), self.repetitions, self._cells, -1),
        )

    def _sort(self, tokens: TokenVectors, lengths: Sequence[int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Sorts vectors by cell; cells are in the order of repetition, document and number.

        Returns:
            The vectors' places in that order, (repetitions * tokens,), and how many each cell holds,
            (repetitions * documents * cells,).
        """
        import torch

        products = torch.from_numpy(self._planes).view(-1, self.dimension) @ torch.from_numpy(tokens).T
        keys = self._cells_of(products.numpy().reshape(self.hyperplanes, self.repetitions, -1))
        keys += np.repeat(np.arange(len(lengths), dtype=np.uint16) * self._cells, lengths)
        order = np.argsort(keys, axis=1, kind="stable").ravel()
        cells = len(lengths) * self._cells
        every = keys + cells * np.arange(self.repetitions)[:, None]
        return order, np.bincount(every.ravel(), minlength=self.repetitions * cells)

    def _sums(self, tokens: TokenVectors, order: NDArray[np.intp], counts: NDArray[np.intp]) -> NDArray[np.float32]:
        """Computes each cell's sum of vectors, or the nearest filled cell's first vector: (counts, dimension)."""
        import torch

        starts = np.cumsum(counts) - counts
        # as np.add.reduceat(tokens[order], starts) with 0 for an empty cell, many times faster
        sums: NDArray[np.float32] = torch.nn.functional.embedding_bag(
            torch.from_numpy(order), torch.from_numpy(tokens), torch.from_numpy(starts), mode="sum"
        ).numpy()
        empty = np.flatnonzero(counts == 0)
        sums[empty] = tokens[order[starts[self._nearest(counts)[empty]]]]
        return sums

    def _nearest(self, counts: NDArray[np.intp]) -> NDArray[np.intp]:
        """Finds for each cell the nearest of its document and repetition that has a vector; of equals the first.

        Each gets the number distance * cells + cell, of which the least is wanted. A Hamming distance is a sum over
        bits, so a pass for each bit finds it, where cells that differ in the bit alone tell each other.
        """
        occupied = np.ascontiguousarray(counts.reshape(-1, self._cells).T > 0)
        too_far = self._cells * (self.hyperplanes + 1)
        least = np.where(occupied, 0, too_far).astype(np.int16) + np.arange(self._cells, dtype=np.int16)[:, None]
        for bit in range(self.hyperplanes):
            pairs = least.reshape(-1, 2, 2**bit * occupied.shape[1])
            low, high = pairs[:, 0], pairs[:, 1]
            np.minimum(low, high + self._cells, out=low)
            np.minimum(high, low + self._cells, out=high)
        nearest: NDArray[np.intp] = (least % self._cells).T + np.arange(occupied.shape[1])[:, None] * self._cells
        return nearest.ravel()

    def _cells_of(self, products: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Computes each vector's cell, (repetitions, tokens), from its (hyperplanes, repetitions, tokens) products."""
        cells = np.zeros(products.shape[1:], np.uint16)
        for bits in products[::-1] > 0:
            cells <<= 1
            cells |= bits
        return cells

    @property
    def _cells(self) -> int:
        return int(2**self.hyperplanes)

    @cached_property
    def _random(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        generator = np.random.default_rng(self.seed)
        planes = [generator.normal(size=(self.dimension, self.hyperplanes)) for _ in range(self.repetitions)]
        signs = generator.choice([-1, 1], size=(self.repetitions, self.dimension, self.projection))
        rows = np.stack(planes).transpose(2, 0, 1)
        projections = signs.transpose(0, 2, 1) / np.sqrt(self.projection)
        return rows.astype(np.float32, order="C"), projections.astype(np.float32, order="C")

    @property
    def _planes(self) -> NDArray[np.float32]:
        """(hyperplanes, repetitions, dimension)."""
        return self._random[0]

    @property
    def _projections(self) -> NDArray[np.float32]:
        """(repetitions, projection, dimension)."""
        return self._random[1]
