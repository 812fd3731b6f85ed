"""A search as one request to Qdrant: candidates by the first stages, MaxSim over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Literal

from qdrant_client import models

from ..errors import InputError
from ..scoring.pooled_queries import pool_query
from ..scoring.vectors import as_token_vectors, check_top_k
from ..stores.payloads import check_query
from ..types import Query, TokenVectors
from .filters import to_qdrant
from .points import VECTOR_NAME
from .stages import FirstStage

_POOLED_INTO = 3
_LEAST_POOLED = 12
_RESCORED_PER_WANTED = 4

Fusion = Literal["rrf", "dbsf"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """How candidates are found, and what of the ranking is returned.

    Attributes:
        exact: Score all documents, whatever first stages there are. A collection without one is always exact.
        stages: Which of the collection's first stages find candidates, by name; None takes all.
        candidates: How many documents the first stage hands to MaxSim. Several first stages find as many each, of
            which as many are left when they are fused. With the defaults, words and centroids find all of the exact ten
            among 20,000 passages, and .982 where questions share few words with them, 25 times as fast as the scan;
            with 500 .999 and .968, 36 times as fast (``benchmarks/first_stages.md``).
        rescored: How many of the candidates are scored by all vectors of the query, or four times as many as are asked
            for. They are the best by MaxSim of the query's vectors pooled to a third, but no fewer than 12
            (:func:`~jacolbert_integrations.scoring.pooled_queries.pool_query`), which finds nearly the same ten of
            1,000 in three fifths of the time (``benchmarks/first_stages.md``). None scores all candidates so. Groups
            are.
        exact_limit: Where the first stages find fewer documents than are asked for, such as by words that no document
            has, all documents that pass the filter are scored, if they are no more than these. 0 never does that.
        fusion: How the candidates of several first stages become one list: reciprocal rank fusion, or
            distribution-based score fusion.
        first_stage_params: For Qdrant's search in the first stages, such as ``hnsw_ef``.
        params: For Qdrant's MaxSim, such as the oversampling of quantized token vectors: 4 gives back all that
            quantizing cost (``benchmarks/small_indexes.md``). None leaves it to Qdrant.
        score_threshold: The least MaxSim that is returned.
        offset: How many of the best to leave out, for the pages after the first.
    """

    exact: bool = False
    stages: Sequence[str] | None = None
    candidates: int = 1_000
    rescored: int | None = 100
    exact_limit: int = 20_000
    fusion: Fusion = "rrf"
    first_stage_params: models.SearchParams | None = None
    params: models.SearchParams | None = None
    score_threshold: float | None = None
    offset: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.candidates, int) or isinstance(self.candidates, bool) or self.candidates < 1:
            raise InputError(f"candidates is {self.candidates!r}, but it must be an integer of at least 1.")
        if self.rescored is not None and (
            not isinstance(self.rescored, int) or isinstance(self.rescored, bool) or self.rescored < 1
        ):
            raise InputError(
                f"rescored is {self.rescored!r}, but it must be an integer of at least 1, or None for all."
            )
        if not isinstance(self.exact_limit, int) or isinstance(self.exact_limit, bool) or self.exact_limit < 0:
            raise InputError(f"exact_limit is {self.exact_limit!r}, but it must be an integer of at least 0.")
        if not isinstance(self.offset, int) or isinstance(self.offset, bool) or self.offset < 0:
            raise InputError(f"offset is {self.offset!r}, but it must be an integer of at least 0.")
        if self.fusion not in ("rrf", "dbsf"):
            raise InputError(f"fusion is {self.fusion!r}, but it must be 'rrf' or 'dbsf'.")


@dataclass(frozen=True, slots=True)
class Search:
    """A checked search.

    Attributes:
        query: The query, its vectors checked.
        top_k: How many to return.
        condition: Which documents.
        options: How.
        stages: Those that find candidates; none if the search is exact.
    """

    query: Query
    top_k: int
    condition: models.Filter | None
    options: SearchOptions
    stages: tuple[FirstStage, ...]

    @property
    def exact(self) -> Search:
        """The same search without first stages."""
        return replace(self, stages=())

    @property
    def rescoring_all(self) -> Search:
        """The same search, with all vectors of the query for all candidates."""
        return replace(self, options=replace(self.options, rescored=None))

    @property
    def wanted(self) -> int:
        """How many of the best have to be known."""
        return self.options.offset + self.top_k

    def arguments(self, limit: int) -> dict[str, Any]:
        """Builds the arguments of :meth:`QdrantClient.query_points` for the best ``limit``."""
        vectors: TokenVectors = self.query.vectors
        candidates = max(self.options.candidates, limit)
        found = self._prefetch(candidates)
        if found and self.options.rescored is not None:
            rescored = max(self.options.rescored, _RESCORED_PER_WANTED * limit)
            pooled = pool_query(vectors, max(_LEAST_POOLED, ceil(len(vectors) / _POOLED_INTO)))
            if len(pooled) < len(vectors) and 2 * rescored <= candidates:
                found = [self._best_of(found, pooled, rescored)]
        return {
            "query": vectors,
            "using": VECTOR_NAME,
            "query_filter": self.condition,
            "prefetch": found or None,
            "search_params": self.options.params,
            "score_threshold": self.options.score_threshold,
            "limit": limit,
        }

    def _best_of(self, found: list[models.Prefetch], pooled: TokenVectors, limit: int) -> models.Prefetch:
        return models.Prefetch(
            prefetch=found,
            query=pooled.tolist(),
            using=VECTOR_NAME,
            filter=self.condition,
            limit=limit,
            params=self.options.params,
        )

    def _prefetch(self, candidates: int) -> list[models.Prefetch]:
        # Qdrant applies no filter of the whole query inside a prefetch: each has to have it.
        found = [
            models.Prefetch(
                query=stage.encode_query(self.query),
                using=stage.name,
                filter=self.condition,
                limit=candidates,
                params=self.options.first_stage_params,
            )
            for stage in self.stages
        ]
        if len(found) < 2:
            return found
        fusion = models.FusionQuery(fusion=models.Fusion(self.options.fusion))
        return [models.Prefetch(prefetch=found, query=fusion, filter=self.condition, limit=candidates)]


def checked_search(
    query: Query,
    top_k: int,
    filter: object | None,
    options: SearchOptions,
    stages: Sequence[FirstStage],
    dimension: int,
) -> Search:
    """Checks all of a search before anything is asked.

    Raises:
        InputError: If ``top_k`` is below 1, or a first stage is asked for that the collection has not.
        VectorError: If the query's vectors are malformed.
        UnsupportedFilterError: If the filter is not one that Qdrant can apply.
    """
    check_top_k(top_k)
    vectors = as_token_vectors(check_query(query).vectors, "the query", dimension)
    chosen = () if options.exact else _chosen(stages, options.stages)
    return Search(Query(vectors, query.text), top_k, to_qdrant(filter), options, chosen)


def _chosen(stages: Sequence[FirstStage], names: Sequence[str] | None) -> tuple[FirstStage, ...]:
    if names is None:
        return tuple(stages)
    there = {stage.name: stage for stage in stages}
    if isinstance(names, str) or not names or not set(names) <= set(there):
        raise InputError(
            f"stages is {names!r}, but it must name first stages of the collection, which has {list(there) or 'none'}. "
            "To search without one, set exact=True."
        )
    return tuple(there[name] for name in dict.fromkeys(names))
