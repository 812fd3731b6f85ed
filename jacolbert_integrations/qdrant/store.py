"""A Qdrant collection of token vectors, ranked by exact MaxSim."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse
from tqdm import tqdm

from ..binding import check_identity
from ..errors import StoreNotBoundError
from ..types import Hit, ModelIdentity, Point, Query
from ..vectors import as_token_vectors, check_points, check_top_k
from .filters import to_qdrant
from .points import batches, check_payload, check_size, from_payload, is_local, qdrant_id, to_structs
from .schema import VECTOR_NAME, create_collection, read_identity


class QdrantStore:
    """Documents in a Qdrant collection: in memory, on disk, on a server or in the cloud.

    The collection is made at the first :meth:`upsert`, and its metadata records the model. Filters
    are Qdrant's own, or a :class:`~jacolbert_integrations.types.Filter`.

    Args:
        client: Any ready client. Its life is yours: the store never closes it.
        collection: The collection's name.
        **collection_options: For :meth:`QdrantClient.create_collection`, such as ``shard_number``.
    """

    def __init__(self, client: QdrantClient, collection: str, **collection_options: Any) -> None:
        self.client = client
        self.collection = collection
        self.collection_options = collection_options
        self._identity: ModelIdentity | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.collection!r})"

    def bind(self, identity: ModelIdentity) -> None:
        """Names the model that reads and writes from now on.

        Raises:
            ModelMismatchError: If the collection holds another model's vectors.
            CollectionLayoutError: If it exists and is none of ours.
        """
        recorded = read_identity(self.client, self.collection)
        if recorded is not None:
            check_identity(recorded, identity, f"the Qdrant collection {self.collection!r}")
        self._identity = identity

    def upsert(self, points: Iterable[Point]) -> int:
        """Adds points, replacing those of the same id, and waits until they can be found.

        Every point is checked before the first is sent.

        Raises:
            InputError: If an id is no non-empty string, or a payload is not JSON-serialisable or uses a key of ours.
            VectorError: If vectors are malformed, or more than Qdrant takes in one point.
        """
        identity = self._require_bound()
        given = list(points)
        checked = check_points(given, identity.dimension)
        for point in checked:
            check_size(point)
            check_payload(point)
        self._create(identity)
        local = is_local(self.client)
        for batch in tqdm(list(batches(checked)), desc="Writing to Qdrant", unit=" batches", delay=1.0, disable=None):
            self.client.upsert(self.collection, list(to_structs(batch, local=local)), wait=True)
        return len(given)

    def search(self, query: Query, *, top_k: int, filter: object | None = None) -> list[Hit]:
        """The best documents, highest MaxSim first; equal scores in the order of their ids.

        Raises:
            InputError: If ``top_k`` is below 1.
            VectorError: If the query's vectors are malformed.
            UnsupportedFilterError: If the filter is none that Qdrant can apply.
        """
        identity = self._require_bound()
        check_top_k(top_k)
        vectors = as_token_vectors(query.vectors, "the query", identity.dimension)
        condition = to_qdrant(filter)
        if not self.exists():
            return []
        found = self.client.query_points(
            self.collection, query=vectors, using=VECTOR_NAME, query_filter=condition, limit=top_k
        )
        hits = []
        for point in found.points:
            point_id, payload = from_payload(point.id, point.payload)
            hits.append(Hit(point_id, float(point.score), payload))
        return sorted(hits, key=lambda hit: (-hit.score, hit.id))

    def delete(self, ids: Iterable[str]) -> None:
        """Removes points; unknown ids are ignored."""
        self._require_bound()
        selected: list[Any] = [qdrant_id(point_id) for point_id in ids]
        if selected and self.exists():
            self.client.delete(self.collection, models.PointIdsList(points=selected), wait=True)

    def count(self, *, filter: object | None = None) -> int:
        """How many points there are, or pass the filter.

        Raises:
            UnsupportedFilterError: If the filter is none that Qdrant can apply.
        """
        self._require_bound()
        condition = to_qdrant(filter)
        if not self.exists():
            return 0
        return self.client.count(self.collection, count_filter=condition, exact=True).count

    def exists(self) -> bool:
        """Whether the collection has been made."""
        return self.client.collection_exists(self.collection)

    def get(self, ids: Sequence[str]) -> dict[str, Point]:
        """The stored points by id, with their vectors; unknown ids are left out."""
        self._require_bound()
        if not ids or not self.exists():
            return {}
        records = self.client.retrieve(self.collection, [qdrant_id(i) for i in ids], with_vectors=[VECTOR_NAME])
        points = {}
        for record in records:
            point_id, payload = from_payload(record.id, record.payload)
            vectors = record.vector[VECTOR_NAME] if isinstance(record.vector, dict) else []
            points[point_id] = Point(point_id, np.asarray(vectors, np.float32), payload)
        return {i: points[i] for i in ids if i in points}

    def _create(self, identity: ModelIdentity) -> None:
        if self.exists():
            return
        try:
            create_collection(self.client, self.collection, identity, **self.collection_options)
        except (UnexpectedResponse, ValueError):
            if not self.exists():
                raise
            self.bind(identity)  # another process was first: then it must be of the same model

    def _require_bound(self) -> ModelIdentity:
        if self._identity is None:
            raise StoreNotBoundError(
                f"the store for {self.collection!r} does not know its model yet: call bind(model.identity) first."
            )
        return self._identity
