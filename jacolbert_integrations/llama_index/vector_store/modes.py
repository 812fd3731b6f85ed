"""LlamaIndex's ways of querying a vector store, over any store of token vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from llama_index.core.schema import QueryBundle
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

from ...errors import InputError, UnsupportedModeError
from ...scoring.vectors import check_top_k
from ...text.windows import SPAN_KEY
from ...types import ComparesById, DenseSearch, Filter, Hit, Hits, MultiVectorStore, Query, WithIds, WordSearch
from ..best_per_node import best_per_node, node_id_of
from ..fusion import reciprocal_ranks, weighted
from ..provenance import ScoredBy, ScoreKind
from ..queries import encode_queries
from ..selection import checked_ids, joined, of_documents, of_nodes
from .connection import Connection
from .diversity import diverse
from .diversity_there import diverse_there
from .embedding import NoVector

_PREFETCH_FACTOR = 4.0
_MMR_THRESHOLD = 0.5
_COMPARED = 64
"""Most candidates that a store compares with each other; of more, the vectors are read."""


@dataclass
class TextsQuery(VectorStoreQuery):
    """LlamaIndex's query with the texts to search by, where a query transform such as HyDE has made several.

    Attributes:
        search_strs: They take the place of ``query_str`` for MaxSim, whose mean over them is the score. Words are
            searched by ``query_str``.
    """

    search_strs: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeOptions:
    """What LlamaIndex passes beside a query, as ``vector_store_kwargs``.

    Attributes:
        mmr_threshold: 1 is relevance alone, 0 avoids what is like what was chosen before. The query's own comes first.
        mmr_prefetch_k: Among how many of the best MMR chooses.
        mmr_prefetch_factor: The same, for each node that is wanted.

    Raises:
        InputError: If one is out of its range, or both prefetches are given.
    """

    mmr_threshold: float | None = None
    mmr_prefetch_k: int | None = None
    mmr_prefetch_factor: float | None = None

    def __post_init__(self) -> None:
        if self.mmr_prefetch_k is not None and self.mmr_prefetch_factor is not None:
            raise InputError("give either mmr_prefetch_k or mmr_prefetch_factor.")
        if self.mmr_prefetch_k is not None:
            check_top_k(self.mmr_prefetch_k)
        if self.mmr_prefetch_factor is not None and not self.mmr_prefetch_factor >= 1:
            raise InputError(f"mmr_prefetch_factor is {self.mmr_prefetch_factor!r}, but it must be 1 or more.")

    def prefetch(self, top_k: int) -> int:
        """Returns how many candidates ``top_k`` nodes are chosen from."""
        if self.mmr_prefetch_k is not None:
            return max(self.mmr_prefetch_k, top_k)
        factor = _PREFETCH_FACTOR if self.mmr_prefetch_factor is None else self.mmr_prefetch_factor
        return max(round(factor * top_k), top_k)


class Found(NamedTuple):
    """What a search found, best first, and who computed the scores."""

    hits: Hits
    scored_by: ScoredBy = "store"


@dataclass(frozen=True, slots=True)
class Search:
    """A checked query on its way to a store.

    Attributes:
        store: Where to look.
        query: The query, encoded if its mode needs that.
        texts: Of how many texts its vectors are.
        words: What to search by words.
        asked: As LlamaIndex asked.
        filter: Which nodes.
        options: What was asked beside.
    """

    store: MultiVectorStore
    query: Query
    texts: int
    words: str
    asked: VectorStoreQuery
    filter: object | None
    options: ModeOptions

    @property
    def top_k(self) -> int:
        """How many nodes are wanted."""
        return self.asked.similarity_top_k

    @property
    def _sparse_top_k(self) -> int:
        given = self.asked.sparse_top_k
        return self.top_k if given is None else given

    def by_maxsim(self) -> Found:
        """Finds the nodes of highest MaxSim, which is the score of each."""
        found = self._near(self.top_k)
        return Found(Hits((_node_hit(hit, hit.score / self.texts) for hit in found), approximate=found.approximate))

    def by_words(self) -> Found:
        """Finds the nodes of highest BM25, which is the score of each; in mode ``sparse``, ``sparse_top_k`` of them."""
        sparse = VectorStoreQueryMode(self.asked.mode) is VectorStoreQueryMode.SPARSE
        found = self._sharing_words(self._sparse_top_k if sparse else self.top_k)
        return Found(Hits((_node_hit(hit, hit.score) for hit in found), approximate=found.approximate))

    def by_both(self) -> Found:
        """Finds the best nodes of both rankings, MaxSim and BM25, and ranks them by the fused score.

        MaxSim's best are found without words, where the store can (:class:`~jacolbert_integrations.types.DenseSearch`).
        With ``alpha``, all of them get both scores, and the weighted mean of the two decides (:func:`weighted`).
        Without, their ranks decide (:func:`reciprocal_ranks`).
        """
        asked = self.asked
        wanted = self.top_k if asked.hybrid_top_k is None else asked.hybrid_top_k
        words = self._sharing_words(self._sparse_top_k)
        dense = self._near_without_words(self.top_k)
        hits = {_node_id(hit): hit for hit in [*words, *dense]}
        if not hits:
            return Found(Hits(approximate=dense.approximate))
        if asked.alpha is None:
            scores = reciprocal_ranks([_node_id(hit) for hit in dense], [_node_id(hit) for hit in words])
        else:
            points = frozenset(hit.id for hit in [*words, *dense])
            these = Filter([WithIds(points)])
            all_dense = self.store.search(self.query, top_k=len(points), filter=these)
            all_words = self._words_store().search_words(self.words, top_k=len(points), filter=these)
            scores = weighted(_scores(all_dense), _scores(all_words), asked.alpha)
        best = sorted(scores, key=lambda node_id: (-scores[node_id], node_id))[:wanted]
        return Found(Hits((_node_hit(hits[i], scores[i]) for i in best), approximate=dense.approximate))

    def by_diversity(self) -> Found:
        """Chooses nodes by MMR among those of highest MaxSim; the score of each is the value that it was chosen for."""
        given = self.asked.mmr_threshold
        threshold = self.options.mmr_threshold if given is None else given
        threshold = _MMR_THRESHOLD if threshold is None else threshold
        _check_share("mmr_threshold", threshold)
        found = self._near(self.options.prefetch(self.top_k))
        hits, chosen = list(found), self._diverse_there(found, threshold)
        scored_by: ScoredBy = "store"
        if chosen is None:
            scored_by = "client"
            points = self.store.get([hit.id for hit in found])
            hits = [hit for hit in found if hit.id in points]  # but for what has been deleted meanwhile
            vectors = [points[hit.id].vectors for hit in hits]
            chosen = diverse(self.query.vectors, vectors, self.top_k, threshold) if hits else []
        best = Hits((_node_hit(hits[place], score) for place, score in chosen), approximate=found.approximate)
        return Found(best, scored_by)

    def _diverse_there(self, hits: Hits, threshold: float) -> list[tuple[int, float]] | None:
        """Chooses by what the store says of its documents' likeness; None if it says nothing, or they are too many."""
        store = self.store
        if not isinstance(store, ComparesById) or not 0 < len(hits) <= _COMPARED:
            return None
        relevance = np.array([hit.score for hit in hits], np.float32) / np.float32(len(self.query.vectors))
        return diverse_there(store, [hit.id for hit in hits], relevance, self.top_k, threshold)

    def _near(self, wanted: int) -> Hits:
        return best_per_node(lambda top_k: self.store.search(self.query, top_k=top_k, filter=self.filter), wanted)

    def _near_without_words(self, wanted: int) -> Hits:
        store = self.store
        if not isinstance(store, DenseSearch):
            return self._near(wanted)
        return best_per_node(lambda top_k: store.search_dense(self.query, top_k=top_k, filter=self.filter), wanted)

    def _sharing_words(self, wanted: int) -> Hits:
        store = self._words_store()
        return best_per_node(lambda top_k: store.search_words(self.words, top_k=top_k, filter=self.filter), wanted)

    def _words_store(self) -> WordSearch:
        if isinstance(self.store, WordSearch):
            return self.store
        raise UnsupportedModeError(
            f"the query mode {self.asked.mode.value!r} searches by words, which {self.store!r} cannot. Keep the nodes "
            "in a Qdrant collection that has a lexical first stage."
        )


_MODES: Mapping[VectorStoreQueryMode, tuple[Callable[[Search], Found], ScoreKind]] = {
    VectorStoreQueryMode.DEFAULT: (Search.by_maxsim, "maxsim"),
    VectorStoreQueryMode.TEXT_SEARCH: (Search.by_words, "bm25"),
    VectorStoreQueryMode.SPARSE: (Search.by_words, "bm25"),
    VectorStoreQueryMode.HYBRID: (Search.by_both, "hybrid"),
    VectorStoreQueryMode.MMR: (Search.by_diversity, "mmr"),
}
_BY_WORDS = (VectorStoreQueryMode.TEXT_SEARCH, VectorStoreQueryMode.SPARSE)


class Answer(NamedTuple):
    """What a store says to a query.

    Attributes:
        hits: The nodes, best first.
        score_kind: What kind of number their scores are.
        scored_by: Who computed these.
        store: Where they are.
        vectors: How many a text of the query has: what to divide MaxSim by for the mean over them.
    """

    hits: Hits
    score_kind: ScoreKind
    scored_by: ScoredBy
    store: MultiVectorStore
    vectors: float = 1.0


def answer(connection: Connection, asked: VectorStoreQuery, **options: Any) -> Answer:
    """Finds the nodes that LlamaIndex asks for.

    Args:
        connection: Where they are, and what encodes the query.
        asked: The query, as text: no numbers of an embedding that comes with it are looked at. A query that is an
            empty text with an embedding in its stead, and filters, is the one that ``VectorIndexAutoRetriever`` has for
            "all that pass them": MaxSim of no tokens is 0 with each.
        **options: For :class:`ModeOptions`.

    Raises:
        InputError: If there is no text, or a number is out of its range, or there is no such option.
        UnsupportedModeError: If there is no such mode, or the store cannot search by words.
        UnsupportedFilterError: If the store cannot apply the filter.
    """
    mode = _mode(asked)
    check_top_k(asked.similarity_top_k)
    for number in (asked.sparse_top_k, asked.hybrid_top_k):
        if number is not None:
            check_top_k(number)
    if asked.alpha is not None:
        _check_share("alpha", asked.alpha)
    filter, checked_options = query_filter(asked), _mode_options(options)
    if mode is VectorStoreQueryMode.DEFAULT and filter is not None and _asks_for_all(asked):
        with connection.using() as store:
            return Answer(_passing(store, filter, asked.similarity_top_k), "maxsim", "store", store)
    texts = searched_texts(asked)
    if mode in _BY_WORDS:
        query, number_of_texts = Query(np.empty((0, 0), np.float32)), 0
    else:
        bundle = QueryBundle(texts[0], custom_embedding_strs=texts)
        ((query, number_of_texts),) = encode_queries(connection.model, [bundle])
    find, score_kind = _MODES[mode]
    with connection.using() as store:
        words = asked.query_str or " ".join(texts)
        found = find(Search(store, query, number_of_texts, words, asked, filter, checked_options))
    parts = len(query.vectors) / number_of_texts if len(query.vectors) else 1.0
    return Answer(found.hits, score_kind, found.scored_by, store, parts)


def query_filter(asked: VectorStoreQuery) -> object | None:
    """Builds the filter of a query: its filters, its documents and its nodes.

    Empty lists of documents and nodes do not limit it: LlamaIndex passes them where it means all.

    Raises:
        UnsupportedFilterError: If the filters are the store's own, and documents or nodes are named as well.
    """
    restricted: list[WithIds | Filter] = []
    if asked.doc_ids:
        restricted.append(of_documents(checked_ids(asked.doc_ids, "doc_ids")))
    if asked.node_ids:
        restricted.append(of_nodes(checked_ids(asked.node_ids, "node_ids")))
    return joined(restricted, asked.filters)


def _mode(asked: VectorStoreQuery) -> VectorStoreQueryMode:
    try:
        mode = VectorStoreQueryMode(asked.mode)
    except ValueError:
        mode = None
    if mode is None or mode not in _MODES:
        raise UnsupportedModeError(
            f"the query mode {asked.mode if mode is None else mode.value!r} is not one of late interaction. There are "
            f"{', '.join(repr(known.value) for known in _MODES)}."
        )
    return mode


def _asks_for_all(asked: VectorStoreQuery) -> bool:
    instead = asked.query_embedding
    return asked.query_str == "" and instead is not None and not isinstance(instead, NoVector)


def _passing(store: MultiVectorStore, filter: object, wanted: int) -> Hits:
    """Returns a number of nodes that pass a filter, in the store's order."""
    found: dict[str, Hit] = {}
    for point in store.points(filter=filter, with_vectors=False):
        payload = {key: value for key, value in point.payload.items() if key != SPAN_KEY}  # no window is its best
        node_id = node_id_of(point.id, payload)
        found.setdefault(node_id, Hit(node_id, 0.0, payload))
        if len(found) == wanted:
            break
    return Hits(found.values())


def searched_texts(asked: VectorStoreQuery) -> list[str]:
    """Returns what MaxSim searches by: the query, or the texts that a query transform has put in its place.

    Raises:
        InputError: If there is no text.
    """
    several: Sequence[str] = asked.search_strs if isinstance(asked, TextsQuery) else []
    if not several and isinstance(asked.query_embedding, NoVector):
        several = asked.query_embedding.texts
    found = [text for text in several or [asked.query_str or ""] if text.strip()]
    if not found:
        raise InputError(
            "the query has no text, so there is nothing to look for. Late interaction takes queries as text "
            "(query_str), not as one embedding."
        )
    return found


def _mode_options(options: Mapping[str, Any]) -> ModeOptions:
    known = ModeOptions.__dataclass_fields__
    if unknown := options.keys() - known.keys():
        raise InputError(f"the vector store has no option {sorted(unknown)}. It has {', '.join(known)}.")
    return ModeOptions(**options)


def _check_share(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"{name} is {value!r}, but it must be a number from 0 to 1.")


def _node_id(hit: Hit) -> str:
    return node_id_of(hit.id, hit.payload)


def _node_hit(hit: Hit, score: float) -> Hit:
    return Hit(_node_id(hit), score, hit.payload)


def _scores(hits: Sequence[Hit]) -> dict[str, float]:
    scores: dict[str, float] = {}
    for hit in hits:  # best first, so that a node has its best window's
        scores.setdefault(_node_id(hit), hit.score)
    return scores
