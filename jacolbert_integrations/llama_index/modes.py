"""LlamaIndex's ways of querying a vector store, over any store of token vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

from ..encoder import JaColBERT
from ..errors import InputError, UnsupportedFilterError, UnsupportedModeError
from ..types import Condition, Filter, Hit, MultiVectorStore, Query, WithIds, WordSearch
from ..vectors import check_top_k
from .diversity import diverse
from .hybrid import reciprocal_ranks, weighted
from .nodes import REF_DOC_KEY, to_store_filter

_PREFETCH_FACTOR = 4.0
_MMR_THRESHOLD = 0.5


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
        """Among how many to choose ``top_k``."""
        if self.mmr_prefetch_k is not None:
            return max(self.mmr_prefetch_k, top_k)
        factor = _PREFETCH_FACTOR if self.mmr_prefetch_factor is None else self.mmr_prefetch_factor
        return max(round(factor * top_k), top_k)


@dataclass(frozen=True, slots=True)
class Search:
    """A checked query on its way to a store.

    Attributes:
        store: Where to look.
        model: What encodes the query.
        text: The query.
        asked: As LlamaIndex asked.
        filter: Which nodes.
        options: What was asked beside.
    """

    store: MultiVectorStore
    model: JaColBERT
    text: str
    asked: VectorStoreQuery
    filter: object | None
    options: ModeOptions

    @property
    def top_k(self) -> int:
        """How many nodes are wanted."""
        return self.asked.similarity_top_k

    def by_maxsim(self) -> list[Hit]:
        """The nodes of highest MaxSim, which is the score of each."""
        return self.store.search(self.query(), top_k=self.top_k, filter=self.filter)

    def by_words(self) -> list[Hit]:
        """The nodes of highest BM25, which is the score of each."""
        return self.words_store().search_words(self.text, top_k=self.top_k, filter=self.filter)

    def by_both(self) -> list[Hit]:
        """The nodes that either ranking has among its best, ranked by both.

        With ``alpha``, all of them get both scores, and the weighted mean of the two decides (:func:`weighted`).
        Without, their ranks decide (:func:`reciprocal_ranks`).
        """
        asked, words_store, query = self.asked, self.words_store(), self.query()
        sparse_top_k = self.top_k if asked.sparse_top_k is None else asked.sparse_top_k
        wanted = self.top_k if asked.hybrid_top_k is None else asked.hybrid_top_k
        dense = self.store.search(query, top_k=self.top_k, filter=self.filter)
        words = words_store.search_words(self.text, top_k=sparse_top_k, filter=self.filter)
        hits = {hit.id: hit for hit in [*words, *dense]}
        if not hits:
            return []
        if asked.alpha is None:
            scores = reciprocal_ranks([hit.id for hit in dense], [hit.id for hit in words])
        else:
            these = Filter([WithIds(frozenset(hits))])
            all_dense = self.store.search(query, top_k=len(hits), filter=these)
            all_words = words_store.search_words(self.text, top_k=len(hits), filter=these)
            scores = weighted(_scores(all_dense), _scores(all_words), asked.alpha)
        best = sorted(scores, key=lambda document: (-scores[document], document))[:wanted]
        return [Hit(document, scores[document], hits[document].payload) for document in best]

    def by_diversity(self) -> list[Hit]:
        """The nodes that MMR chooses among those of highest MaxSim; the score of each is what it was chosen for."""
        given = self.asked.mmr_threshold
        threshold = self.options.mmr_threshold if given is None else given
        threshold = _MMR_THRESHOLD if threshold is None else threshold
        _check_share("mmr_threshold", threshold)
        query = self.query()
        found = self.store.search(query, top_k=self.options.prefetch(self.top_k), filter=self.filter)
        points = self.store.get([hit.id for hit in found])
        hits = [hit for hit in found if hit.id in points]  # but for what has been deleted meanwhile
        if not hits:
            return []
        chosen = diverse(query.vectors, [points[hit.id].vectors for hit in hits], self.top_k, threshold)
        return [Hit(hits[place].id, score, hits[place].payload) for place, score in chosen]

    def query(self) -> Query:
        """The query, encoded."""
        return self.model.query(self.text)

    def words_store(self) -> WordSearch:
        """The store as one that searches by words.

        Raises:
            UnsupportedModeError: If it is none.
        """
        if isinstance(self.store, WordSearch):
            return self.store
        raise UnsupportedModeError(
            f"the query mode {self.asked.mode.value!r} searches by words, which {self.store!r} cannot. Keep the nodes "
            "in a Qdrant collection that has a lexical first stage."
        )


_MODES: Mapping[VectorStoreQueryMode, Callable[[Search], list[Hit]]] = {
    VectorStoreQueryMode.DEFAULT: Search.by_maxsim,
    VectorStoreQueryMode.TEXT_SEARCH: Search.by_words,
    VectorStoreQueryMode.SPARSE: Search.by_words,
    VectorStoreQueryMode.HYBRID: Search.by_both,
    VectorStoreQueryMode.MMR: Search.by_diversity,
}


def answer(store: MultiVectorStore, model: JaColBERT, asked: VectorStoreQuery, **options: Any) -> list[Hit]:
    """The nodes that LlamaIndex asks for, best first.

    Args:
        store: Where they are, bound to the model.
        model: What encodes the query.
        asked: The query, as text: an embedding that comes with it is not looked at.
        **options: For :class:`ModeOptions`.

    Raises:
        InputError: If there is no text, or a number is out of its range, or there is no such option.
        UnsupportedModeError: If there is no such mode, or the store cannot search by words.
        UnsupportedFilterError: If the store cannot apply the filter.
    """
    mode = VectorStoreQueryMode(asked.mode)
    if mode not in _MODES:
        raise UnsupportedModeError(
            f"the query mode {mode.value!r} is not one of late interaction. There are "
            f"{', '.join(repr(known.value) for known in _MODES)}."
        )
    text = _text(asked)
    for number in (asked.similarity_top_k, asked.sparse_top_k, asked.hybrid_top_k):
        if number is not None:
            check_top_k(number)
    if asked.alpha is not None:
        _check_share("alpha", asked.alpha)
    search = Search(store, model, text, asked, query_filter(asked), _mode_options(options))
    return _MODES[mode](search)


def query_filter(asked: VectorStoreQuery) -> object | None:
    """Which nodes a query is about: those that pass its filters, of its documents, and among its nodes.

    Empty lists of documents and nodes do not limit it: LlamaIndex passes them where it means all.

    Raises:
        UnsupportedFilterError: If the filters are the store's own, and documents or nodes are named as well.
    """
    restricted: list[Condition | WithIds | Filter] = []
    if asked.doc_ids:
        restricted.append(Condition(REF_DOC_KEY, "in", list(asked.doc_ids)))
    if asked.node_ids:
        restricted.append(WithIds(frozenset(asked.node_ids)))
    filters = to_store_filter(asked.filters)
    if not restricted:
        return filters
    if filters is None:
        return Filter(restricted)
    if not isinstance(filters, Filter):
        raise UnsupportedFilterError(
            f"a {type(filters).__name__} cannot be joined with doc_ids or node_ids. Put these into the filter."
        )
    return Filter([*restricted, filters])


def _text(asked: VectorStoreQuery) -> str:
    if asked.query_str is None or not asked.query_str.strip():
        raise InputError(
            "the query has no text, so there is nothing to look for. Late interaction takes queries as text "
            "(query_str), not as one embedding."
        )
    return asked.query_str


def _mode_options(options: Mapping[str, Any]) -> ModeOptions:
    known = ModeOptions.__dataclass_fields__
    if unknown := options.keys() - known.keys():
        raise InputError(f"the vector store has no option {sorted(unknown)}. It has {', '.join(known)}.")
    return ModeOptions(**options)


def _check_share(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"{name} is {value!r}, but it must be a number from 0 to 1.")


def _scores(hits: list[Hit]) -> dict[str, float]:
    return {hit.id: hit.score for hit in hits}
