"""A Qdrant collection of token vectors, ranked by MaxSim: all of it, or the candidates of a first stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse
from tqdm import tqdm

from ..binding import check_identity
from ..errors import InputError, StoreNotBoundError
from ..types import Hit, Hits, ModelIdentity, Point, Query
from ..vectors import check_points
from .filters import to_qdrant
from .points import (
    VECTOR_NAME,
    batches,
    check_payload,
    check_size,
    from_payload,
    is_local,
    qdrant_id,
    to_structs,
)
from .schema import create_collection, read_record
from .search import SearchOptions, checked_search
from .stages import FirstStage, Lexical, check_recorded, check_stages, check_text


class QdrantStore:
    """Documents in a Qdrant collection: in memory, on disk, on a server or in the cloud.

    The collection is made at the first :meth:`upsert`, and its metadata records the model. Filters
    are Qdrant's own, or a :class:`~jacolbert_integrations.types.Filter`.

    Args:
        client: Any ready client. Its life is yours: the store never closes it.
        collection: The collection's name.
        first_stage: How candidates are found before MaxSim ranks them, for collections of more than some thousand
            documents: :class:`~.stages.Lexical`, :class:`~.stages.FixedDimensional`, :class:`~.stages.MeanPooled`, or
            several. None takes what a collection that exists has, and makes a new one without.
        search_options: How it is searched, unless a search says otherwise.
        vector_options: For the multivector's :class:`qdrant_client.models.VectorParams`, such as ``datatype``.
        **collection_options: For :meth:`QdrantClient.create_collection`, such as ``shard_number``.

    Raises:
        InputError: If ``first_stage`` holds something else, or two of a kind.
    """

    def __init__(
        self,
        client: QdrantClient,
        collection: str,
        *,
        first_stage: FirstStage | Sequence[FirstStage] | None = None,
        search_options: SearchOptions | None = None,
        vector_options: Mapping[str, Any] | None = None,
        **collection_options: Any,
    ) -> None:
        self.client = client
        self.collection = collection
        self.search_options = SearchOptions() if search_options is None else search_options
        self.vector_options = dict(vector_options or {})
        self.collection_options = collection_options
        asked = first_stage if first_stage is None or isinstance(first_stage, Sequence) else [first_stage]
        self._asked = None if asked is None else check_stages(asked)
        self._stages = self._asked or ()
        self._identity: ModelIdentity | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.collection!r})"

    def bind(self, identity: ModelIdentity) -> None:
        """Names the model that reads and writes from now on.

        Raises:
            ModelMismatchError: If the collection holds another model's vectors.
            CollectionLayoutError: If it exists and is none of ours, or finds candidates in another way than asked.
        """
        recorded = read_record(self.client, self.collection)
        if recorded is not None:
            where = f"the Qdrant collection {self.collection!r}"
            check_identity(recorded[0], identity, where)
            if self._asked is not None:
                check_recorded(recorded[1], self._asked, where)
            self._stages = recorded[1]
        self._identity = identity

    @property
    def first_stage(self) -> tuple[FirstStage, ...]:
        """How candidates are found; empty if every search is exact."""
        return self._stages

    def upsert(self, points: Iterable[Point]) -> int:
        """Adds points, replacing those of the same id, and waits until they can be found.

        Every point is checked before the first is sent.

        Raises:
            InputError: If an id is no non-empty string, or a payload is not JSON-serialisable or uses a key of ours.
            VectorError: If vectors are malformed, or more than Qdrant takes in one point.
        """
        given = list(points)
        checked = self.checked(given)
        if checked:
            self.create(checked)
        for batch in tqdm(list(batches(checked)), desc="Writing to Qdrant", unit=" batches", delay=1.0, disable=None):
            self.send(batch)
        return len(given)

    def checked(self, points: Sequence[Point]) -> list[Point]:
        """The points as they can be sent; the last of a repeated id.

        Raises:
            InputError: As :meth:`upsert`.
            VectorError: As :meth:`upsert`.
        """
        checked = check_points(points, self._require_bound().dimension)
        for point in checked:
            check_size(point)
            check_payload(point)
            check_text(point, self._stages)
        return checked

    def create(self, points: Sequence[Point] = ()) -> None:
        """Makes the collection, unless it is there.

        Args:
            points: Checked points, from whose texts a lexical first stage takes the average length, if it has none.

        Raises:
            ModelMismatchError: If another process has made it meanwhile, for another model.
            CollectionLayoutError: If another process has made something else.
        """
        identity = self._require_bound()
        if self.exists():
            return
        stages = tuple(stage.measured(points) if isinstance(stage, Lexical) else stage for stage in self._stages)
        try:
            create_collection(
                self.client, self.collection, identity, stages, self.vector_options, **self.collection_options
            )
            self._stages = stages
        except (UnexpectedResponse, ValueError):
            if not self.exists():
                raise
            self.bind(identity)  # another process was first: then it must be of the same model

    def send(
        self,
        points: Sequence[Point],
        *,
        hashes: Mapping[str, str] | None = None,
        wait: bool = True,
        ordering: models.WriteOrdering | None = None,
    ) -> None:
        """Sends checked points to the collection, which exists, in one request.

        Args:
            points: So few that a server takes them at once.
            hashes: What to keep as the hash of each point's content, by id.
            wait: Whether Qdrant answers when they can be found, or when they are safely kept.
            ordering: In a cluster.
        """
        structs = list(to_structs(points, self._stages, local=is_local(self.client), hashes=hashes))
        self.client.upsert(self.collection, structs, wait=wait, ordering=ordering)

    def search(
        self, query: Query, *, top_k: int, filter: object | None = None, options: SearchOptions | None = None
    ) -> Hits:
        """The best documents, highest MaxSim first; equal scores in the order of their ids, over all pages.

        In a collection with a first stage, MaxSim ranks the candidates that it finds, in the same request.

        Args:
            query: The query. A lexical first stage needs its text.
            top_k: How many to return at most; at least 1.
            filter: Which documents, in every stage.
            options: How; None takes those of the store.

        Raises:
            InputError: If ``top_k`` is below 1, or a lexical first stage gets no text.
            VectorError: If the query's vectors are malformed.
            UnsupportedFilterError: If the filter is none that Qdrant can apply.
        """
        identity = self._require_bound()
        options = self.search_options if options is None else options
        search = checked_search(query, top_k, filter, options, self.first_stage, identity.dimension)
        if not self.exists():
            return Hits()
        limit = search.wanted + 1
        while True:
            found = self.client.query_points(self.collection, **search.arguments(limit)).points
            # Those of equal score at the cut are in no order: take in all of them, and put them in ours.
            if len(found) < limit or found[-1].score != found[search.wanted - 1].score:
                return Hits(_hits(found)[search.options.offset : search.wanted], approximate=bool(search.stages))
            limit *= 2

    def search_batch(
        self,
        queries: Sequence[Query],
        *,
        top_k: int,
        filter: object | None = None,
        options: SearchOptions | None = None,
    ) -> list[Hits]:
        """As :meth:`search` for each query, in one request.

        Raises:
            As :meth:`search`, before anything is asked.
        """
        identity = self._require_bound()
        options = self.search_options if options is None else options
        searches = [checked_search(q, top_k, filter, options, self.first_stage, identity.dimension) for q in queries]
        if not searches or not self.exists():
            return [Hits() for _ in searches]
        requests = []
        for search in searches:
            arguments = search.arguments(search.wanted + 1)
            arguments["filter"] = arguments.pop("query_filter")
            arguments["query"] = arguments["query"].tolist()
            requests.append(models.QueryRequest(**arguments, with_payload=True))
        answers = self.client.query_batch_points(self.collection, requests)
        results = []
        for search, answer in zip(searches, answers, strict=True):
            found = answer.points
            if len(found) > search.wanted and found[-1].score == found[search.wanted - 1].score:
                results.append(self.search(search.query, top_k=top_k, filter=filter, options=options))
            else:
                hits = _hits(found)[search.options.offset : search.wanted]
                results.append(Hits(hits, approximate=bool(search.stages)))
        return results

    def search_groups(
        self,
        query: Query,
        *,
        group_by: str,
        top_k: int,
        filter: object | None = None,
        options: SearchOptions | None = None,
    ) -> Hits:
        """The best passage of each of the best documents.

        Args:
            query: The query.
            group_by: The payload key that passages of one document share. Passages without it are left out.
            top_k: How many documents to return at most.
            filter: Which passages.
            options: How; ``offset`` does not apply.

        Raises:
            InputError: As :meth:`search`, and if there is an offset.
            VectorError: As :meth:`search`.
            UnsupportedFilterError: As :meth:`search`.
        """
        identity = self._require_bound()
        options = self.search_options if options is None else options
        if options.offset:
            raise InputError(f"offset is {options.offset}, but Qdrant pages through no groups. Raise top_k.")
        search = checked_search(query, top_k, filter, options, self.first_stage, identity.dimension)
        if not self.exists():
            return Hits()
        arguments = search.arguments(search.wanted)
        found = self.client.query_points_groups(self.collection, group_by=group_by, group_size=1, **arguments)
        return Hits(_hits([group.hits[0] for group in found.groups]), approximate=bool(search.stages))

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

    def _require_bound(self) -> ModelIdentity:
        if self._identity is None:
            raise StoreNotBoundError(
                f"the store for {self.collection!r} does not know its model yet: call bind(model.identity) first."
            )
        return self._identity


def _hits(found: Iterable[models.ScoredPoint]) -> list[Hit]:
    hits = []
    for point in found:
        point_id, payload = from_payload(point.id, point.payload)
        hits.append(Hit(point_id, float(point.score), payload))
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))
