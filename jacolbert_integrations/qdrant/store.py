"""A Qdrant collection of token vectors, ranked by MaxSim: all of it, or the candidates of a first stage."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models
from tqdm import tqdm

from ..errors import EngineError, InputError, ServerError
from ..stores.payloads import check_ids, check_points, json_copy
from ..types import Filter, Point, WithIds
from .answers import answered, ask
from .bound import request
from .clients import client_lock, is_in_process, uses_grpc
from .cluster import create_indexes, create_shard_keys
from .decoding import retrieve_vectors, scroll_vectors
from .indexes import (
    index_of,
)
from .points import (
    HASH_KEY,
    VECTOR_NAME,
    VERSION_KEY,
    batches,
    check_payload,
    check_request,
    check_size,
    from_payload,
    to_structs,
    windows_of,
)
from .query_samples import sample_queries
from .retrying import REJECTED, Retries
from .schema import create_collection, read_record
from .searching import SearchableCollection
from .stages import check_text
from .strict_mode import batched
from .versions_of_documents import next_version, older_windows, up_to, version_of

_FIRST_PAGE = 16
_PAGE_FLOATS = 2_000_000  # some 40 MB as JSON text


class QdrantStore(SearchableCollection):
    """Documents in a Qdrant collection: in memory, on disk, on a server or in the cloud.

    The collection is made at the first :meth:`upsert`, and its metadata records the model. Filters
    are Qdrant's own, or a :class:`~jacolbert_integrations.types.Filter`. Safe in threads: all stores over one client in
    local mode, which by itself is not, share a lock.

    Args:
        client: Any ready client. Its life is yours: the store never closes it.
        collection: The collection's name.
        first_stage: How candidates are found before MaxSim ranks them, for collections of more than some thousand
            documents: :class:`~.stages.NearestCentroids`, :class:`~.stages.Lexical`, :class:`~.stages.QdrantBM25`,
            :class:`~.stages.FixedDimensional`, :class:`~.stages.MeanPooled`, or several. None takes what a collection
            that exists has, and makes a new one without.
        search_options: How it is searched, unless a search says otherwise.
        vector_options: For the multivector's :class:`qdrant_client.models.VectorParams`, such as ``datatype``.
        shard_key: In a cluster with custom sharding: the shards that everything is read from and written to. With
            ``sharding_method=models.ShardingMethod.CUSTOM`` they are made if they are missing.
        consistency: In a cluster: how many replicas have to agree on what is read: a number, or ``"majority"``,
            ``"quorum"`` or ``"all"``.
        indexes: Payload indexes by key, such as ``{"year": "integer"}``, or as Qdrant's own models
            (``{"tenant": models.KeywordIndexParams(type="keyword", is_tenant=True)}``). They are made before the first
            write, also in a collection that is there.
        create_missing_indexes: Whether an index is made, when strict mode asks for it, that a filter lacks.
        **collection_options: For :meth:`QdrantClient.create_collection`, such as ``shard_number``.

    Raises:
        InputError: If ``first_stage`` holds something else, or two of a kind; or an index is none.
    """

    def upsert(self, points: Iterable[Point]) -> int:
        """Adds points, replacing those of the same id, and waits until they can be found.

        Every point is checked before the first is sent. What fails for a reason that may pass is sent again.

        Raises:
            InputError: If an id is no non-empty string, or a payload is not JSON-serialisable or uses a reserved key.
            VectorError: If vectors are malformed, or more than Qdrant takes in one point.
            ServerError: If the server refuses the collection, or is too old for it.
            GaveUpError: If no try succeeds; what was sent before is there.
        """
        given = list(points) if isinstance(points, Iterable) else points
        checked = self.checked(given)
        if checked:
            Retries().call(partial(self.create, checked))
        for batch in tqdm(self.batches(checked), desc="Writing to Qdrant", unit=" batches", delay=1.0, disable=None):
            Retries().call(partial(self.send, batch))
        self.optimize()
        return len(given)

    def checked(self, points: Sequence[Point]) -> list[Point]:
        """Checks points, and returns them ready to be sent; of a repeated id the last.

        Raises:
            InputError: As :meth:`upsert`.
            VectorError: As :meth:`upsert`.
        """
        checked = check_points(points, self._require_bound().dimension)
        for point in checked:
            check_size(point)
            check_payload(point.payload, f"point {point.id!r}", grpc=uses_grpc(self.client))
            check_text(point, self._stages)
        if not is_in_process(self.client):
            check_request(checked, self._stages, grpc=uses_grpc(self.client))
        self._whole.notice(checked, {**self._needed, **self.indexes}, self._there)
        return checked

    @request
    def create(self, points: Sequence[Point] = ()) -> None:
        """Makes the collection, unless it is there, and what it needs for this store (:meth:`prepare`).

        Args:
            points: Checked points, in which the first stages measure what they were not told.

        Raises:
            ModelMismatchError: If another process has made it meanwhile, for another model.
            CollectionLayoutError: If another process has made something else.
            ServerError: If the server refuses it, or is too old for it.
        """
        identity = self._require_bound()
        if self.exists():
            self.prepare()
            return
        self._prepared = False
        lacking = self._with_centroids(self._stages)
        queries = sample_queries(lacking, [point.text for point in points], self.model)
        stages = tuple(stage.measured(points, queries) for stage in lacking)
        try:
            create_collection(
                self.client, self.collection, identity, stages, self.vector_options, **self.collection_options
            )
            self._stages = stages
        except (*REJECTED, EngineError, ServerError):
            if not self.exists():
                raise
            self.bind(identity)  # another process was first: then it must be of the same model
        self.prepare()

    @request
    def prepare(self) -> None:
        """Creates, the first time it is called, the shard keys and payload indexes that the collection lacks."""
        with self._preparing:
            if self._prepared:
                return
            custom = self.collection_options.get("sharding_method") == models.ShardingMethod.CUSTOM
            if custom and self.shard_key is not None:
                create_shard_keys(self.client, self.collection, self.shard_key)
            recorded = read_record(self.client, self.collection)
            if recorded is not None:
                self._take(recorded)
            lacking = {path: schema for path, schema in self._needed.items() if index_of(self._there, path) is None}
            create_indexes(self.client, self.collection, {**lacking, **self.indexes})
            self._prepared = True

    def batches(self, points: Sequence[Point]) -> list[list[Point]]:
        """Splits checked points into batches, each for one :meth:`send`."""
        most = self._strict.upserts
        return [
            list(part)
            for batch in batches(points, self._stages, grpc=uses_grpc(self.client))
            for part in ([batch] if most is None else batched(batch, most))
        ]

    def send(
        self,
        points: Sequence[Point],
        *,
        hashes: Mapping[str, str] | None = None,
        version: int | None = None,
        wait: bool = True,
        ordering: models.WriteOrdering | None = None,
    ) -> None:
        """Sends checked points to the collection, which exists, in one request.

        Args:
            points: So few that a server takes them at once.
            hashes: What to keep as the hash of each point's content, by id.
            version: Of the documents that they are or are windows of: points of later versions stay as they are.
            wait: Whether Qdrant answers when they can be found, or when they are safely kept.
            ordering: In a cluster.
        """
        structs = to_structs(
            points,
            self._stages,
            in_process=is_in_process(self.client),
            hashes=hashes,
            version=version,
            native_ids=self._native_ids,
        )
        self._drift.notice(points, self._stages, self.collection)
        sent = list(structs)  # the first stages encode: that is nothing to wait for
        with client_lock(self.client), answered(self.client, self._where):
            self.client.upsert(
                self.collection,
                sent,
                wait=wait,
                ordering=ordering,
                update_filter=None if version is None else up_to(version),
                **self.write_options,
            )

    def replace_documents(self, points: Iterable[Point], documents: Collection[str]) -> None:
        """Adds all points of some documents, and removes what else is stored of these: windows of earlier versions.

        On a server several writers may do so at once: the windows of the latest version stay, all of them.

        Args:
            points: The documents, or their windows.
            documents: Their ids.

        Raises:
            As :meth:`upsert`.
        """
        given = list(points)
        if is_in_process(self.client):
            self.upsert(given)
            written = WithIds(frozenset(point.id for point in given))
            self.delete(filter=Filter([windows_of(documents), Filter([written], "not")]))
            return
        checked = self.checked(given)
        if checked:
            Retries().call(partial(self.create, checked))
        retries = Retries()
        version = next_version(retries.call(partial(self.versions, documents)).values())
        for batch in self.batches(checked):
            retries.call(partial(self.send, batch, version=version))
        retries.call(partial(self.remove_older, documents))

    @request
    def versions(self, documents: Collection[str]) -> dict[str, int]:
        """Returns the version of each document that is stored, by its first point."""
        if not documents or not self.exists():
            return {}
        wanted = dict(zip(map(str, self.qdrant_ids(list(documents))), documents, strict=True))
        records = self.client.retrieve(self.collection, list(wanted), with_payload=[VERSION_KEY], **self.read_options)
        return {wanted[str(record.id)]: version_of(record.payload) for record in records}

    @request
    def remove_older(self, documents: Collection[str]) -> None:
        """Removes the windows of documents that are of earlier versions than their first points."""
        latest: dict[int, list[str]] = {}
        for document, version in self.versions(documents).items():
            if version:  # else it is from before there were any, and so may be its windows
                latest.setdefault(version, []).append(document)
        for version, names in latest.items():
            old = self._strict.fitted(older_windows(names, version), self._where)
            selector = models.FilterSelector(filter=old)
            self.client.delete(self.collection, selector, wait=True, **self.write_options)

    @request
    def delete(self, ids: Iterable[str] | None = None, *, filter: object | None = None) -> None:
        """Removes points: by id, or all that pass a filter. Unknown ids are ignored.

        Args:
            ids: Which points.
            filter: Which points instead, such as :func:`~.points.of_documents`.

        Raises:
            InputError: If neither is given, or both.
            UnsupportedFilterError: If the filter is not one that Qdrant can apply.
        """
        selected = self._selected(ids, filter)
        if selected is not None and self.exists():
            self.client.delete(self.collection, selected, wait=True, **self.write_options)

    @request
    def update_payload(
        self, values: Mapping[str, Any], *, ids: Iterable[str] | None = None, filter: object | None = None
    ) -> None:
        """Sets keys of the payload of points that are there, and leaves the others, and the vectors.

        A writer that comes by these points again writes them anew, with the payload that it has.

        Args:
            values: What to set.
            ids: Which points.
            filter: Which points instead.

        Raises:
            InputError: If neither or both are given, or the values are not JSON-serialisable or use a reserved key.
            UnsupportedFilterError: If the filter is not one that Qdrant can apply.
        """
        selected = self._selected(ids, filter)
        payload = json_copy(values, "update_payload")
        check_payload(payload, "update_payload", grpc=uses_grpc(self.client))
        if selected is not None and self.exists():
            self.client.set_payload(
                self.collection, {**payload, HASH_KEY: ""}, points=selected, wait=True, **self.write_options
            )

    def _selected(self, ids: Iterable[str] | None, filter: object | None) -> models.FilterSelector | None:
        self._require_bound()
        if (ids is None) == (filter is None):
            raise InputError("give either ids or a filter, to say which points are meant.")
        if ids is None:
            self._look()
            condition = self._condition(filter, updating=True)
            return None if condition is None else models.FilterSelector(filter=condition)
        points = self.qdrant_ids(check_ids(ids))  # as a filter: to name a point that is not there is an error elsewhere
        named = self._strict.fitted(models.Filter(must=models.HasIdCondition(has_id=points)), self._where)
        return models.FilterSelector(filter=named)

    @request
    def get(self, ids: Sequence[str], *, with_vectors: bool = True) -> dict[str, Point]:
        """Reads stored points by id, with or without their vectors; unknown ids are left out."""
        self._require_bound()
        if not check_ids(ids) or not self.exists():
            return {}
        wanted = self.qdrant_ids(ids)
        read = partial(retrieve_vectors, self.client) if with_vectors else self.client.retrieve
        records = read(self.collection, wanted, **self.read_options)
        points = {point.id: point for point in map(self._point, records)}
        return {i: points[i] for i in ids if i in points}

    @request
    def contains(self, ids: Sequence[str]) -> set[str]:
        """Returns which of the ids are stored; neither vectors nor payloads are read."""
        self._require_bound()
        if not check_ids(ids) or not self.exists():
            return set()
        wanted = dict(zip(self.qdrant_ids(ids), ids, strict=True))
        records = self.client.retrieve(self.collection, list(wanted), with_payload=False, **self.read_options)
        return {wanted[_plain(record.id)] for record in records}

    def points(self, *, filter: object | None = None, batch: int = 256, with_vectors: bool = True) -> Iterator[Point]:
        """Yields all points, or those that pass the filter; one page of them is in memory at a time.

        A page that fails for a reason that may pass is asked for again.

        Args:
            filter: Which points.
            batch: How many a page holds at most; fewer where documents are long.
            with_vectors: False reads none: each point then has a matrix without rows.

        Raises:
            InputError: If ``batch`` is below 1.
            UnsupportedFilterError: If the filter is not one that Qdrant can apply.
            GaveUpError: If a page fails each time.
            AccessError: If the server refuses the client.
        """
        self._require_bound()
        if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
            raise InputError(f"batch is {batch!r}, but it must be an integer of at least 1.")
        with client_lock(self.client), answered(self.client, self._where):
            exists = self._look()
            condition = self._condition(filter)
        return self._pages(condition, self._strict.most(batch), with_vectors) if exists else iter(())

    def _pages(self, condition: models.Filter | None, batch: int, with_vectors: bool) -> Iterator[Point]:
        limit = min(batch, _FIRST_PAGE)
        scroll = partial(scroll_vectors, self.client) if with_vectors else self.client.scroll
        read = partial(scroll, self.collection, condition, **self.read_options)
        offset: Any = None
        while True:
            with answered(self.client, self._where):
                records, offset = Retries().call(partial(ask, self.client, read, limit=limit, offset=offset))
            page = [self._point(record) for record in records]
            yield from page
            if offset is None:
                return
            floats = sum(point.vectors.size for point in page)
            limit = min(batch, max(1, len(page) * _PAGE_FLOATS // max(floats, 1)))

    def _point(self, record: models.Record) -> Point:
        point_id, payload = from_payload(record.id, record.payload)
        vectors = record.vector.get(VECTOR_NAME, []) if isinstance(record.vector, dict) else []
        matrix = np.asarray(vectors, np.float32)
        return Point(point_id, matrix.reshape(len(matrix), self._require_bound().dimension), payload)

    @request
    def optimize(self) -> None:
        """Builds what makes searches fast over what was written, where the engine does not do that by itself.

        That is Qdrant Edge; :meth:`upsert` and the writer call it.
        """
        if not isinstance(self.client, QdrantClient) and self.exists():
            self.client.optimize(self.collection)


def _plain(point_id: models.ExtendedPointId) -> models.ExtendedPointId:
    return point_id if isinstance(point_id, int) else str(point_id)
