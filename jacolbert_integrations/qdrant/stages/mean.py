"""A first stage by the mean of token vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from qdrant_client import models

from ...types import Point, Query, TokenVectors
from .values import Value, mean_vector


@dataclass(frozen=True)
class MeanPooled:
    """Candidates by the mean of the token vectors, in an HNSW graph. Small, and the least accurate.

    Attributes:
        options: For :class:`qdrant_client.models.VectorParams`, such as ``quantization_config``.
    """

    name: ClassVar[str] = "mean"

    options: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def measured(self, points: Sequence[Point], queries: Sequence[TokenVectors] = ()) -> MeanPooled:  # noqa: ARG002
        """Returns the stage itself: there is nothing to measure."""
        return self

    def vector_params(self, dimension: int) -> models.VectorParams:
        """Builds Qdrant's parameters of the vector."""
        return models.VectorParams(**{"size": dimension, "distance": models.Distance.COSINE, **self.options})

    def encode_points(self, points: Sequence[Point]) -> list[Value]:
        """Computes the mean of each point's token vectors."""
        return [mean_vector(point.vectors).tolist() for point in points]

    def encode_query(self, query: Query) -> Value:
        """Computes the mean of the query's token vectors."""
        mean: list[float] = mean_vector(query.vectors).tolist()
        return mean

    def size_of(self, point: Point) -> int:
        """Returns how many numbers are sent of a point."""
        return int(self.vector_params(point.vectors.shape[1]).size)
