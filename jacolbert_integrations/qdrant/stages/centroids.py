"""A first stage by the centroids that token vectors are nearest to, as in PLAID."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from qdrant_client import models

from ...errors import InputError, StoreError
from ...scoring.centroids import Centroids
from ...types import ModelIdentity, Point, Query, TokenVectors
from .values import Value


@dataclass(frozen=True)
class NearestCentroids:
    """Candidates by centroids of token vectors (the first step of PLAID, arXiv 2205.09707), as a sparse vector.

    Each centroid is a dimension. A document has a 1 for each that one of its token vectors is nearest to. A query has a
    weight for each of the few that are most similar to one of its (:meth:`.Centroids.of_query`). So candidates need
    share no word with the query. Qdrant keeps the IDF of centroids.

    The centroids belong to the model, not to the collection: nothing depends on what is written first.

    Attributes:
        centroids: The centroids; None takes those that come with the model (:attr:`.JaColBERT.centroids`), where a
            writer or LlamaIndex's classes give the store its model.
        nprobe: Centroids that each token vector of a query looks at, as PLAID calls it; None takes what is best for
            these centroids (:attr:`.Centroids.nprobe`).
        fingerprint: Of the centroids; it follows from them, and is what a collection records.
        options: For :class:`qdrant_client.models.SparseVectorParams`.

    Raises:
        InputError: If ``nprobe`` is below 1, or there are not more centroids than that.
    """

    name: ClassVar[str] = "centroids"

    centroids: Centroids | None = field(default=None, compare=False)
    nprobe: int | None = None
    fingerprint: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        nprobe = self.nprobe
        if nprobe is not None and (not isinstance(nprobe, int) or isinstance(nprobe, bool) or nprobe < 1):
            raise InputError(f"nprobe is {nprobe!r}, but it must be an integer of at least 1.")
        if self.centroids is None:
            return
        if nprobe is not None and len(self.centroids) <= nprobe:
            raise InputError(f"nprobe is {self.nprobe}, but there are only {len(self.centroids)} centroids.")
        if self.fingerprint not in (None, self.centroids.fingerprint):
            raise InputError(
                f"the centroids are {self.centroids!r}, but those of the fingerprint {self.fingerprint:.12} are wanted."
            )
        object.__setattr__(self, "fingerprint", self.centroids.fingerprint)
        object.__setattr__(self, "nprobe", self.centroids.nprobe if nprobe is None else nprobe)

    def check(self, identity: ModelIdentity) -> None:
        """Refuses centroids of another model's vectors.

        Raises:
            ModelMismatchError: If they are.
        """
        if self.centroids is not None:
            self.centroids.check(identity)

    def having(self, centroids: Centroids | None) -> NearestCentroids:
        """Returns the stage with these centroids, if it has none and they are those that it wants; else itself."""
        if self.centroids is not None or centroids is None:
            return self
        if self.fingerprint not in (None, centroids.fingerprint):
            return self
        return replace(self, centroids=centroids, fingerprint=centroids.fingerprint)

    def measured(self, points: Sequence[Point], queries: Sequence[TokenVectors] = ()) -> NearestCentroids:  # noqa: ARG002
        """Returns the stage itself: there is nothing to measure.

        Raises:
            InputError: If it has no centroids.
        """
        if self.centroids is None:
            raise InputError(
                "the first stage NearestCentroids needs centroids, and the model brings none, or the store was not "
                "given its model. Learn them from texts like yours (jacolbert centroids, or learn_centroids in "
                "jacolbert_integrations.training.centroids) and give NearestCentroids(Centroids.load(file)), or take "
                "Lexical()."
            )
        return self

    def sparse_params(self) -> models.SparseVectorParams:
        """Builds Qdrant's parameters of the sparse vector."""
        return models.SparseVectorParams(modifier=models.Modifier.IDF, **self.options)

    def size_of(self, point: Point) -> int:
        """Returns about how many numbers are sent of a point: two for each centroid."""
        return 2 * len(point.vectors)

    def encode_points(self, points: Sequence[Point]) -> list[Value]:
        """Finds the centroids of each point's token vectors.

        Raises:
            StoreError: If the centroids are not at hand.
        """
        found = self._at_hand.of_documents([point.vectors for point in points])
        return [models.SparseVector(indices=own.tolist(), values=[1.0] * len(own)) for own in found]

    def encode_query(self, query: Query) -> Value:
        """Weighs the centroids that are most similar to the query's token vectors.

        Raises:
            StoreError: If the centroids are not at hand.
        """
        numbers, weights = self._at_hand.of_query(query.vectors, self.nprobe)
        return models.SparseVector(indices=numbers.tolist(), values=weights.tolist())

    @property
    def _at_hand(self) -> Centroids:
        if self.centroids is None:
            wanted = "" if self.fingerprint is None else f" of the fingerprint {self.fingerprint[:12]}"
            raise StoreError(
                f"the collection finds candidates by centroids{wanted}, which are not at hand. Open it with the model "
                "that they come with, or with first_stage=NearestCentroids(Centroids.load(file)); or search with "
                "exact=True."
            )
        return self.centroids
