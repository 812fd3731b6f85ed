"""A first stage by MUVERA's fixed dimensional encodings."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from qdrant_client import models

from ...errors import InputError, StatisticsWarning
from ...scoring.muvera import Muvera
from ...types import Point, Query, TokenVectors
from .values import Value, mean_vector

_FEW_VECTORS = 100
"""Of so few token vectors, the mean is mostly that of control tokens, which no other document's mean is like."""


@dataclass(frozen=True)
class FixedDimensional:
    """Candidates by fixed dimensional encodings, whose inner product estimates MaxSim (MUVERA), in an HNSW graph.

    The defaults make encodings of 2,048 floats. Token vectors of a trained model have much in common: hyperplanes
    through the origin have nearly all of them on one side, and tell little. So what they have in common, their mean,
    is taken off first, of documents and of queries, which the paper does not do. These are two means, as a model puts
    queries elsewhere, which it marks, and may fill with [MASK] (``benchmarks/muvera_centers.py``).

    Attributes:
        hyperplanes: Of each repetition; they cut 2 to their number of cells.
        projection: Dimensions that are left of each cell.
        repetitions: How often it is done.
        seed: Decides hyperplanes and projections.
        center: (dimension,) what is taken off of documents. None takes the mean token vector of those that are
            written first; an empty tuple takes off nothing, as in the paper.
        query_center: (dimension,) what is taken off of queries. None takes the mean token vector of the first sentences
            of these documents, encoded as queries, where a model writes into the store; else, and where ``center`` is
            given, ``center``.
        options: For :class:`qdrant_client.models.VectorParams`, such as ``quantization_config``.
    """

    name: ClassVar[str] = "muvera"

    hyperplanes: int = 4
    projection: int = 8
    repetitions: int = 16
    seed: int = 42
    center: tuple[float, ...] | None = None
    query_center: tuple[float, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def measured(self, points: Sequence[Point], queries: Sequence[TokenVectors] = ()) -> FixedDimensional:
        """Returns the stage with the mean token vectors of these documents and queries, if no center was given.

        Args:
            points: Documents.
            queries: (tokens, dimension) each; without any, ``query_center`` stays as it is.

        Raises:
            InputError: If there are no documents.
        """
        if self.center is not None:
            return self
        if not points:
            raise InputError("FixedDimensional needs a center, or documents to take the mean of when it is made.")
        vectors = np.concatenate([point.vectors for point in points])
        if len(vectors) < _FEW_VECTORS:
            warnings.warn(
                f"the center of the first stage 'muvera' is the mean of only {len(vectors)} token vectors, those of "
                "the first documents, and stays so for all that come later. Write a passage or more of ordinary length "
                "first, give a center, or copy the collection with reindex once it has grown.",
                StatisticsWarning,
                stacklevel=4,
            )
        own = self.query_center
        if own is None and queries:
            own = _rounded(np.concatenate(queries))
        return replace(self, center=_rounded(vectors), query_center=own)

    def vector_params(self, dimension: int) -> models.VectorParams:
        """Builds Qdrant's parameters of the vector."""
        size = self._muvera(dimension).size
        return models.VectorParams(**{"size": size, "distance": models.Distance.DOT, **self.options})

    def encode_points(self, points: Sequence[Point]) -> list[Value]:
        """Encodes each point's token vectors as one vector."""
        if not points:
            return []
        encode = self._muvera(points[0].vectors.shape[1]).encode_document
        return list(encode([_less(point.vectors, self.center) for point in points]).tolist())

    def encode_query(self, query: Query) -> Value:
        """Encodes the query's token vectors as one vector."""
        encode = self._muvera(query.vectors.shape[1]).encode_query
        center = self.center if self.query_center is None else self.query_center
        encoding: list[float] = encode(_less(query.vectors, center)).tolist()
        return encoding

    def size_of(self, point: Point) -> int:
        """Returns how many numbers are sent of a point."""
        return int(self.vector_params(point.vectors.shape[1]).size)

    def _muvera(self, dimension: int) -> Muvera:
        if dimension not in self._made:
            self._made[dimension] = Muvera(dimension, self.hyperplanes, self.projection, self.repetitions, self.seed)
        return self._made[dimension]

    @cached_property
    def _made(self) -> dict[int, Muvera]:
        return {}


def _less(vectors: TokenVectors, center: tuple[float, ...] | None) -> TokenVectors:
    return vectors - np.asarray(center, np.float32) if center else vectors


def _rounded(vectors: TokenVectors) -> tuple[float, ...]:
    return tuple(round(value, 5) for value in mean_vector(vectors).tolist())
