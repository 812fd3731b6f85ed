"""A Qdrant collection of token vectors, ranked by MaxSim: all of it, or the candidates of a first stage."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial, wraps
from threading import Lock
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from qdrant_client import QdrantClient, models
from tqdm import tqdm

from ..errors import EngineError, InputError, MissingCollectionWarning, ServerError, StoreError, StoreNotBoundError
from ..scoring.vectors import as_token_vectors, check_top_k
from ..stores.addresses import check_collection_name
from ..stores.model_identity import check_identity, check_vectors
from ..stores.payloads import check_bound, check_ids, check_points, check_query, json_copy
from ..text.windows import DOCUMENT_KEY
from ..types import Condition, Filter, Hit, Hits, ModelIdentity, Point, Query, WithIds
from .answers import address_of, answered, ask
from .clients import Client, client_lock, is_in_process, is_local_mode, sends_binary, uses_grpc
from .cluster import checked_consistency, create_indexes, create_shard_keys
from .decoding import retrieve_vectors, scroll_vectors
from .drift import LengthDrift
from .filters import is_empty, payload_paths, to_qdrant
from .indexes import (
    Need,
    Schema,
    check_answers,
    checked_indexes,
    group_need,
    index_of,
    missing,
    missing_index_error,
    needs,
    without_blanks,
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
    native_id,
    qdrant_id,
    to_structs,
    windows_of,
)
from .retrying import REJECTED, Retries
from .schema import Record, create_collection, read_record
from .search import Search, SearchOptions, checked_search
from .stages import ByWords, FirstStage, check_recorded, check_stages, check_text, encode_words
from .strict_mode import StrictMode, batched
from .text_match import PAGE as TEXT_PAGE
from .text_match import holding, text_matches
from .versions_of_documents import next_version, older_windows, up_to, version_of
from .whole_numbers import WholeNumbers

_FIRST_PAGE = 16
_PAGE_FLOATS = 2_000_000  # some 40 MB as JSON text
_UNQUANTIZED = models.SearchParams(exact=True, quantization=models.QuantizationSearchParams(ignore=True))

S = TypeVar("S", bound="QdrantStore")
P = ParamSpec("P")
T = TypeVar("T")


def _request(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Makes a method hold the client's lock while it runs, and raise errors of this package alone.

    See :func:`~.clients.client_lock` and :func:`~.answers.answered`.
    """

    @wraps(method)
    def asking(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with client_lock(self.client), answered(self.client, self._where):
            return method(self, *args, **kwargs)

    return asking


class QdrantStore:
    """Documents in a Qdrant collection: in memory, on disk, on a server or in the cloud.

    The collection is made at the first :meth:`upsert`, and its metadata records the model. Filters
    are Qdrant's own, or a :class:`~jacolbert_integrations.types.Filter`. Safe in threads: all stores over one client in
    local mode, which by itself is not, share a lock.

    Args:
        client: Any ready client. Its life is yours: the store never closes it.
        collection: The collection's name.
        first_stage: How candidates are found before MaxSim ranks them, for collections of more than some thousand
            documents: :class:`~.stages.Lexical`, :class:`~.stages.FixedDimensional`, :class:`~.stages.MeanPooled`, or
            several. None takes what a collection that exists has, and makes a new one without.
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

    def __init__(
        self,
        client: Client,
        collection: str,
        *,
        first_stage: FirstStage | Sequence[FirstStage] | None = None,
        search_options: SearchOptions | None = None,
        vector_options: Mapping[str, Any] | None = None,
        shard_key: models.ShardKeySelector | None = None,
        consistency: models.ReadConsistency | str | None = None,
        indexes: Mapping[str, Schema] | None = None,
        create_missing_indexes: bool = False,
        **collection_options: Any,
    ) -> None:
        self.client = client
        self.collection = check_collection_name(collection)
        self.search_options = SearchOptions() if search_options is None else search_options
        self.vector_options = dict(vector_options or {})
        self.shard_key = shard_key
        self.consistency = checked_consistency(consistency)
        self.indexes = checked_indexes(indexes or {})
        self.create_missing_indexes = create_missing_indexes
        self.collection_options = collection_options
        asked = first_stage if first_stage is None or isinstance(first_stage, Sequence) else [first_stage]
        self._asked = None if asked is None else check_stages(asked)
        self._stages = self._asked or ()
        self._identity: ModelIdentity | None = None
        self._native_ids = False
        self._needed = checked_indexes({DOCUMENT_KEY: "keyword"})  # what this package itself filters by
        if not is_in_process(client):
            self._needed |= checked_indexes({VERSION_KEY: "integer"})
        self._there: Mapping[str, models.PayloadIndexInfo] = {}
        self._strict = StrictMode()
        self._whole = WholeNumbers(collection)
        self._prepared = False
        self._has_been_there = self._told_missing = False
        self._drift = LengthDrift()
        self._preparing = Lock()  # a writer encodes and sends in two threads

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.collection!r})"

    @_request
    def bind(self, identity: ModelIdentity) -> None:
        """Tells the store which model reads and writes from now on.

        Raises:
            ModelMismatchError: If the collection holds another model's vectors.
            CollectionLayoutError: If it was not created by this package, or has other first stages than asked for.
        """
        check_bound(identity)
        recorded = read_record(self.client, self.collection)
        if recorded is not None:
            check_identity(recorded.identity, identity, self._where)
            if self._asked is not None:
                check_recorded(recorded.stages, self._asked, self._where)
            self._take(recorded)
        self._identity = identity

    def add_indexes(self, indexes: Mapping[str, Schema], *, create_missing: bool = False) -> None:
        """Adds keys that will be filtered by, as ``indexes`` does; what is indexed already stays as it is.

        Args:
            indexes: By key, as what it is indexed.
            create_missing: Whether indexes of other keys are made, too, when strict mode asks for them.

        Raises:
            InputError: If one is no index.
        """
        self._needed |= checked_indexes(indexes)
        self.create_missing_indexes |= create_missing
        self._prepared = False

    @property
    def _where(self) -> str:
        return f"the Qdrant collection {self.collection!r}"

    def _take(self, recorded: Record) -> None:
        """Notes what the collection says of itself."""
        self._stages, self._native_ids = recorded.stages, recorded.native_ids
        self._there, self._strict = recorded.indexes, recorded.strict
        self._has_been_there = True

    def identity(self) -> ModelIdentity | None:
        """Returns the model that the collection records; before it is created, the one that :meth:`bind` named, if any.

        Raises:
            CollectionLayoutError: If the collection was not created by this package.
        """
        recorded = read_record(self.client, self.collection)
        return self._identity if recorded is None else recorded.identity

    @property
    def first_stage(self) -> tuple[FirstStage, ...]:
        """How candidates are found; empty if every search is exact."""
        return self._stages

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

    @_request
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
        stages = tuple(stage.measured(points) for stage in self._stages)
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

    @_request
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

    @property
    def write_options(self) -> dict[str, Any]:
        """What each request that writes says beside its points; also those that a caller makes itself."""
        return {} if self.shard_key is None else {"shard_key_selector": self.shard_key}

    @property
    def read_options(self) -> dict[str, Any]:
        """What each request that reads says beside its question."""
        return {**self.write_options, **({} if self.consistency is None else {"consistency": self.consistency})}

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

    @_request
    def versions(self, documents: Collection[str]) -> dict[str, int]:
        """Returns the version of each document that is stored, by its first point."""
        if not documents or not self.exists():
            return {}
        wanted = dict(zip(map(str, self.qdrant_ids(list(documents))), documents, strict=True))
        records = self.client.retrieve(self.collection, list(wanted), with_payload=[VERSION_KEY], **self.read_options)
        return {wanted[str(record.id)]: version_of(record.payload) for record in records}

    @_request
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

    @_request
    def search(
        self, query: Query, *, top_k: int, filter: object | None = None, options: SearchOptions | None = None
    ) -> Hits:
        """Finds the best documents, highest MaxSim first; equal scores in the order of their ids, over all pages.

        In a collection with a first stage, MaxSim ranks the candidates that it finds, in the same request. Where it
        finds too few, all documents are scored (:attr:`.SearchOptions.exact_limit`), and the answer is exact.

        Args:
            query: The query. A lexical first stage needs its text.
            top_k: How many to return at most; at least 1.
            filter: Which documents, in every stage.
            options: How; None takes those of the store.

        Raises:
            InputError: If ``top_k`` is below 1, or a lexical first stage gets no text.
            VectorError: If the query's vectors are malformed.
            UnsupportedFilterError: If the filter is not one that Qdrant can apply.
            ModelMismatchError: If the name has become that of another model's collection, as when an alias is moved.

        Warns:
            MissingCollectionWarning: If there is no such collection, once until there is one.
        """
        identity = self._require_bound()
        options = self.search_options if options is None else options
        exists = self._look_for_a_search()
        condition = self._condition(filter)
        search = self._allowed(checked_search(query, top_k, condition, options, self._stages, identity.dimension))
        if not exists:
            return Hits()
        return self._best(search)

    def _allowed(self, search: Search) -> Search:
        """Returns the search within the limits of strict mode."""
        self._strict.check_top_k(search.wanted, self._where)
        if self._strict.limit is None or search.options.candidates <= self._strict.limit:
            return search
        return replace(search, options=replace(search.options, candidates=self._strict.limit))

    def _best(self, search: Search) -> Hits:
        limit = self._strict.most(search.wanted + 1)
        while True:
            found = self.client.query_points(self.collection, **search.arguments(limit), **self.read_options).points
            if self._to_be_exact([search], [len(found)]):
                return self._best(search.exact)
            # Those of equal score at the cut are in no order: take in all of them, and put them in ours.
            tied = len(found) == limit and found[-1].score == found[search.wanted - 1].score
            if not tied or limit == self._strict.limit:
                return Hits(_hits(found)[search.options.offset : search.wanted], approximate=bool(search.stages))
            limit = self._strict.most(2 * limit)

    @_request
    def search_batch(
        self,
        queries: Sequence[Query],
        *,
        top_k: int,
        filter: object | None = None,
        options: SearchOptions | None = None,
    ) -> list[Hits]:
        """Does the same as :meth:`search` for each query, in one request.

        Raises:
            As :meth:`search`, before anything is asked.
        """
        identity = self._require_bound()
        options = self.search_options if options is None else options
        exists = self._look_for_a_search()
        condition = self._condition(filter)
        searches = [
            self._allowed(checked_search(query, top_k, condition, options, self._stages, identity.dimension))
            for query in queries
        ]
        if not searches or not exists:
            return [Hits() for _ in searches]
        answers = self._ask_together(searches)
        further = self._to_be_exact(searches, [len(found) for found in answers])
        if further:  # once more, for all of them together
            for i in further:
                searches[i] = searches[i].exact
            for i, found in zip(further, self._ask_together([searches[i] for i in further]), strict=True):
                answers[i] = found
        results = []
        for search, found in zip(searches, answers, strict=True):
            if len(found) > search.wanted and found[-1].score == found[search.wanted - 1].score:
                results.append(self._best(search))
            else:
                hits = _hits(found)[search.options.offset : search.wanted]
                results.append(Hits(hits, approximate=bool(search.stages)))
        return results

    def _to_be_exact(self, searches: Sequence[Search], found: Sequence[int]) -> list[int]:
        """Returns which searches of one filter found too few candidates, where so few documents can all be scored."""
        short = [
            i
            for i, search in enumerate(searches)
            if search.stages and found[i] < search.wanted and search.options.exact_limit
        ]
        if not short or not self._strict.exact:
            return []
        counted = self.client.count(self.collection, searches[0].condition, exact=True, **self.write_options)
        return [i for i in short if found[i] < counted.count <= searches[i].options.exact_limit]

    def _ask_together(self, searches: Sequence[Search]) -> list[list[models.ScoredPoint]]:
        requests = []
        for search in searches:
            arguments = search.arguments(self._strict.most(search.wanted + 1))
            arguments["filter"] = arguments.pop("query_filter")
            arguments["params"] = arguments.pop("search_params")
            arguments["query"] = arguments["query"].tolist()
            requests.append(models.QueryRequest(**arguments, with_payload=True, shard_key=self.shard_key))
        consistency = {name: value for name, value in self.read_options.items() if name == "consistency"}
        most = len(requests) if self._strict.searches is None else self._strict.searches
        return [
            answer.points
            for part in batched(requests, most)
            for answer in self.client.query_batch_points(self.collection, list(part), **consistency)
        ]

    @_request
    def search_groups(
        self,
        query: Query,
        *,
        group_by: str,
        top_k: int,
        filter: object | None = None,
        options: SearchOptions | None = None,
    ) -> Hits:
        """Finds the best passage of each of the best documents.

        Args:
            query: The query.
            group_by: The payload key that passages of one document share. Passages without it are left out; with
                :data:`~jacolbert_integrations.text.windows.DOCUMENT_KEY` they are documents that were not split.
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
        exists = self._look_for_a_search()
        condition = self._condition(filter)
        search = self._allowed(checked_search(query, top_k, condition, options, self._stages, identity.dimension))
        if not exists:
            return Hits()
        if self._strict.indexed_reads:
            self._require_indexes([group_need(group_by)])
        best = self._best_of_groups(search, group_by)
        if self._to_be_exact([search], [len(best)]):
            best = self._best_of_groups(search.exact, group_by)
        if group_by != DOCUMENT_KEY:
            return best
        whole = models.Filter(must=[is_empty(DOCUMENT_KEY), *([] if search.condition is None else [search.condition])])
        best += self.search(query, top_k=top_k, filter=whole, options=options)
        return Hits(sorted(best, key=_rank)[:top_k], approximate=best.approximate)

    def _best_of_groups(self, search: Search, group_by: str) -> Hits:
        found = self.client.query_points_groups(
            self.collection, group_by=group_by, group_size=1, **search.arguments(search.wanted), **self.read_options
        )
        return Hits(_hits([group.hits[0] for group in found.groups]), approximate=bool(search.stages))

    @_request
    def search_dense(self, query: Query, *, top_k: int, filter: object | None = None) -> Hits:
        """Finds the best documents, highest MaxSim first; whether they share words with the query plays no part.

        Candidates are found by first stages other than by words. In a collection without such, all documents are
        scored, if they are no more than the store's :attr:`.SearchOptions.exact_limit`; of more, only those that share
        words with the query, and the answer is approximate.

        Raises:
            As :meth:`search`.
        """
        self._require_bound()
        if not self._look():
            return self.search(query, top_k=top_k, filter=filter)
        names = [stage.name for stage in self._stages if not isinstance(stage, ByWords)]
        options = self.search_options
        if names:
            options = replace(options, stages=names if options.stages is None else options.stages)
        elif self._stages and self.count(filter=filter) <= options.exact_limit:
            options = replace(options, exact=True)
        return self.search(query, top_k=top_k, filter=filter, options=options)

    @_request
    def score(self, query: Query, ids: Sequence[str]) -> dict[str, Hit]:
        """Scores stored documents by exact MaxSim, in one request and in Qdrant; unknown ids are left out.

        No first stage and no threshold has a part in it, and quantized vectors are not looked at. Where strict mode
        allows no exact searches, no score is known.

        Raises:
            InputError: If an id is no string.
            VectorError: If the query's vectors are malformed.
            ModelMismatchError: As :meth:`search`.
        """
        identity = self._require_bound()
        vectors = as_token_vectors(check_query(query).vectors, "the query", identity.dimension)
        if not check_ids(ids) or not self._look() or not self._strict.exact:
            return {}
        wanted = list(dict.fromkeys(self.qdrant_ids(ids)))
        hits: dict[str, Hit] = {}
        for part in batched(wanted, self._strict.most_ids(len(wanted))):
            found = self.client.query_points(
                self.collection,
                query=vectors,
                using=VECTOR_NAME,
                query_filter=models.Filter(must=[models.HasIdCondition(has_id=part)]),
                search_params=None if is_local_mode(self.client) else _UNQUANTIZED,
                limit=len(part),
                **self.read_options,
            )
            hits |= {hit.id: hit for hit in _hits(found.points)}
        return {i: hits[i] for i in ids if i in hits}

    @_request
    def similarities(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[dict[str, float]] | None:
        """Computes MaxSim of stored documents, as queries, with stored documents, in one request and on the server.

        Args:
            asked: The id of each document that is a query, and the ids of those that it is compared with.

        Returns:
            For each query, scores by id; a document's with itself only where it is the one that it is compared with.
            None where the vectors are at hand: where Qdrant runs in this process, or sends them as they are, over gRPC
            without compression.
        """
        self._require_bound()
        if is_in_process(self.client) or sends_binary(self.client) or not (self._look() and self._strict.exact):
            return None
        names = {str(self.qdrant_ids([i])[0]): i for one, others in asked for i in (one, *others)}
        requests = [
            models.QueryRequest(
                query=self.qdrant_ids([one])[0],
                using=VECTOR_NAME,
                filter=models.Filter(must=[models.HasIdCondition(has_id=self.qdrant_ids(others))]),
                params=_UNQUANTIZED,
                limit=len(others),
                with_payload=False,
                shard_key=self.shard_key,
            )
            for one, others in asked
        ]
        consistency = {name: value for name, value in self.read_options.items() if name == "consistency"}
        most = len(requests) if self._strict.searches is None else self._strict.searches
        answers = [
            answer
            for part in batched(requests, most)
            for answer in self.client.query_batch_points(self.collection, part, **consistency)
        ]
        return [{names[str(point.id)]: float(point.score) for point in answer.points} for answer in answers]

    @_request
    def search_words(self, text: str, *, top_k: int, filter: object | None = None) -> Hits:
        """Finds the documents that share words with a text, highest BM25 first; token vectors have no part in it.

        Args:
            text: The query.
            top_k: How many to return at most; at least 1.
            filter: Which documents.

        Raises:
            UnsupportedModeError: If the collection has no lexical first stage.
            InputError: If ``top_k`` is below 1, or there is no text.
            UnsupportedFilterError: If the filter is not one that Qdrant can apply.
        """
        self._require_bound()
        check_top_k(top_k)
        exists = self._look_for_a_search()
        name, words = encode_words(self._stages, text, f"the Qdrant collection {self.collection!r}")
        condition = self._condition(filter)
        self._strict.check_top_k(top_k, self._where)
        if not exists or words is None:
            return Hits()
        found = self.client.query_points(
            self.collection, query=words, using=name, query_filter=condition, limit=top_k, **self.read_options
        )
        return Hits(_hits(found.points))

    @_request
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

    @_request
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

    @_request
    def condition(self, filter: object | None) -> models.Filter | None:
        """Translates a filter into Qdrant's own. For substrings, values of the collection are read.

        Raises:
            UnsupportedFilterError: If it is not one that Qdrant can apply.
            PayloadIndexError: If it lacks an index that strict mode wants, or an index would answer it wrongly.
        """
        self._look()
        return self._condition(filter)

    def _condition(self, filter: object | None, *, updating: bool = False) -> models.Filter | None:
        """Translates a filter for the collection as it was when it was looked at last."""
        condition = to_qdrant(filter, self._find_text, self._paths)
        if condition is not None and (self._strict.indexed_reads or self._strict.indexed_updates):
            condition = without_blanks(condition, self._there)
        needed = list(needs(condition))
        check_answers(needed, self._there, self._where)
        if self._strict.indexed_updates if updating else self._strict.indexed_reads:
            self._require_indexes(needed)
        self._whole.check(self.client, needed, self._there, self.read_options)
        return self._strict.fitted(condition, self._where)

    def _paths(self, key: str) -> list[str]:
        """Returns where what is stored under a key may be; in strict mode, which of these are indexed."""
        paths = payload_paths(key)
        indexed = [path for path in paths if index_of(self._there, path) is not None]
        return indexed if indexed and (self._strict.indexed_reads or self._strict.indexed_updates) else paths

    def _require_indexes(self, needed: Sequence[Need]) -> None:
        """Makes the indexes that strict mode wants, where this store may, or refuses."""
        declared = {**self._needed, **self.indexes}
        while lacking := missing(needed, self._there):
            need = lacking[0]
            schema = declared.get(need.key)
            if schema is None and self.create_missing_indexes:
                schema = models.PayloadSchemaType(need.types[0])
            if schema is None or index_of(self._there, need.key) is not None:  # one of another type is not replaced
                raise missing_index_error(need, self._where, self.collection)
            create_indexes(self.client, self.collection, {need.key: schema})
            self._look()

    def _find_text(self, condition: Condition) -> models.HasIdCondition:
        if not self.exists():
            return models.HasIdCondition(has_id=[])
        if self._strict.indexed_reads:
            self._require_indexes([need for path in self._paths(condition.key) for need in needs(holding(path))])
        page = self._strict.most(TEXT_PAGE)
        return text_matches(
            self.client, self.collection, condition, paths=self._paths(condition.key), page=page, **self.read_options
        )

    def qdrant_ids(self, ids: Sequence[str]) -> list[models.ExtendedPointId]:
        """Returns the ids that points have in Qdrant."""
        return [native_id(i) if self._native_ids else qdrant_id(i) for i in check_ids(ids)]

    @_request
    def count(self, *, filter: object | None = None) -> int:
        """Counts the points, or those that pass the filter; about so many, where strict mode allows no exact requests.

        Raises:
            UnsupportedFilterError: If the filter is not one that Qdrant can apply.
        """
        self._require_bound()
        exists = self._look()
        condition = self._condition(filter)
        if not exists:
            return 0
        exact = self._strict.exact  # else Qdrant counts about how many there are
        return self.client.count(self.collection, count_filter=condition, exact=exact, **self.write_options).count

    @_request
    def exists(self) -> bool:
        """Returns whether the collection has been created."""
        return self.client.collection_exists(self.collection)

    @_request
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

    @_request
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

    @_request
    def optimize(self) -> None:
        """Builds what makes searches fast over what was written, where the engine does not do that by itself.

        That is Qdrant Edge; :meth:`upsert` and the writer call it.
        """
        if not isinstance(self.client, QdrantClient) and self.exists():
            self.client.optimize(self.collection)

    @_request
    def _look(self) -> bool:
        """Returns whether the collection exists. Each search looks again: its name may be an alias, which moves."""
        recorded = read_record(self.client, self.collection)
        if recorded is None:
            self._there, self._strict = {}, StrictMode()
            return False
        check_vectors(recorded.identity, self._require_bound(), self._where)
        self._take(recorded)
        return True

    def _look_for_a_search(self) -> bool:
        """Does the same, and says if there is none: a misspelt name must not look like an empty answer."""
        exists = self._look()
        if not exists and not self._told_missing:
            said = "has been deleted" if self._has_been_there else "does not exist (yet?)"
            warnings.warn(
                f"{self._where} {said}, so that searches find nothing. {self._others()}",
                MissingCollectionWarning,
                stacklevel=3,
            )
        self._told_missing = not exists
        return exists

    def _others(self) -> str:
        try:
            names = sorted(found.name for found in ask(self.client, self.client.get_collections).collections)
        except StoreError:  # a key may be for one collection alone
            return f"It was looked for at {address_of(self.client)}."
        if not names:
            return f"There are no collections at {address_of(self.client)}."
        shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        return f"At {address_of(self.client)} there are {shown}."

    def _require_bound(self) -> ModelIdentity:
        if self._identity is None:
            raise StoreNotBoundError(
                f"the store for {self.collection!r} does not know its model yet: call bind(model.identity) first."
            )
        return self._identity


def _plain(point_id: models.ExtendedPointId) -> models.ExtendedPointId:
    return point_id if isinstance(point_id, int) else str(point_id)


def _hits(found: Iterable[models.ScoredPoint]) -> list[Hit]:
    hits = []
    for point in found:
        point_id, payload = from_payload(point.id, point.payload)
        hits.append(Hit(point_id, float(point.score), payload))
    return sorted(hits, key=_rank)


def _rank(hit: Hit) -> tuple[float, str]:
    return -hit.score, hit.id
