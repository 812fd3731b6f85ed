"""Searches in a Qdrant collection: all of it, or the candidates of first stages, ranked by MaxSim."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import grpc
from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse

from ..errors import InputError
from ..scoring.vectors import as_token_vectors, check_top_k
from ..stores.payloads import check_ids, check_query
from ..text.windows import DOCUMENT_KEY
from ..types import Hit, Hits, Query
from .answers import status_of
from .bound import BoundCollection, request
from .clients import is_in_process, is_local_mode, sends_binary
from .filters import is_empty
from .indexes import (
    group_need,
)
from .points import (
    VECTOR_NAME,
    from_payload,
)
from .search import Search, SearchOptions, checked_search
from .stages import ByWords, encode_words
from .strict_mode import batched

_NOT_FOUND: frozenset[int | str | None] = frozenset({404, "NOT_FOUND"})
_UNQUANTIZED = models.SearchParams(exact=True, quantization=models.QuantizationSearchParams(ignore=True))


class SearchableCollection(BoundCollection):
    """A collection that is searched."""

    @request
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

    @request
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

    @request
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

    @request
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

    @request
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

    @request
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

    @request
    def similarities(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[dict[str, float]] | None:
        """Computes MaxSim of stored documents, as queries, with stored documents, in one request and on the server.

        The collection is not looked at anew where that has been done, because the search that has found the documents
        has just done it.

        Args:
            asked: The id of each document that is a query, and the ids of those that it is compared with.

        Returns:
            For each query, scores by id; a document's with itself, too, where it is among those that it is compared
            with. None where the vectors are at hand: where Qdrant runs in this process, or sends them as they are, over
            gRPC without compression. None as well where a query is not stored any more, and where strict mode does not
            allow it.
        """
        self._require_bound()
        if is_in_process(self.client) or sends_binary(self.client):
            return None
        if not ((self._has_been_there or self._look()) and self._strict.exact):
            return None
        if any(len(others) > self._strict.most_ids(len(others)) for _, others in asked):
            return None
        names = list(dict.fromkeys(i for one, others in asked for i in (one, *others)))
        points = dict(zip(names, self.qdrant_ids(names), strict=True))
        requests = [
            models.QueryRequest(
                query=points[one],
                using=VECTOR_NAME,
                filter=_comparing(points[one], [points[other] for other in others]),
                params=_UNQUANTIZED,
                limit=len(others),
                with_payload=False,
                shard_key=self.shard_key,
            )
            for one, others in asked
        ]
        try:
            answers = self._ask_in_batches(requests)
        except (UnexpectedResponse, grpc.RpcError) as error:
            if status_of(error) not in _NOT_FOUND:
                raise
            return None
        back = {str(point): name for name, point in points.items()}
        return [{back[str(point.id)]: float(point.score) for point in answer} for answer in answers]

    @request
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

    def _best_of_groups(self, search: Search, group_by: str) -> Hits:
        arguments = search.rescoring_all.arguments(search.wanted)  # the best few may all be of one group
        found = self.client.query_points_groups(
            self.collection, group_by=group_by, group_size=1, **arguments, **self.read_options
        )
        return Hits(_hits([group.hits[0] for group in found.groups]), approximate=bool(search.stages))

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
        return self._ask_in_batches(requests)

    def _ask_in_batches(self, requests: Sequence[models.QueryRequest]) -> list[list[models.ScoredPoint]]:
        consistency = {name: value for name, value in self.read_options.items() if name == "consistency"}
        most = max(1, len(requests)) if self._strict.searches is None else self._strict.searches
        return [
            answer.points
            for part in batched(requests, most)
            for answer in self.client.query_batch_points(self.collection, part, **consistency)
        ]


def _comparing(asked: models.ExtendedPointId, others: Sequence[models.ExtendedPointId]) -> models.Filter:
    """Selects points, for a query that is one of the points itself.

    Qdrant leaves out the query, unless a condition has its id alone. If a version leaves it out then, too, it is
    missing from the answer.
    """
    parts = [[i for i in others if i == asked], [i for i in others if i != asked]]
    return models.Filter(should=[models.HasIdCondition(has_id=part) for part in parts if part])


def _hits(found: Iterable[models.ScoredPoint]) -> list[Hit]:
    hits = []
    for point in found:
        point_id, payload = from_payload(point.id, point.payload)
        hits.append(Hit(point_id, float(point.score), payload))
    return sorted(hits, key=_rank)


def _rank(hit: Hit) -> tuple[float, str]:
    return -hit.score, hit.id
