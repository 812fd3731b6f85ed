"""The scores of nodes for a reranker, each with the least effort: by a store, or by the model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from llama_index.core.schema import BaseNode

from ...encoding.encoder import JaColBERT
from ...stores.memory import MemoryStore
from ...types import MultiVectorStore, Query, ScoresById, TokenVectors
from ..passage_text import PassageText
from ..stores import using_store
from .passages import NodeScore, PassageEncoder, passage_texts
from .stored import scores_by_store
from .vector_cache import Passage, VectorCache


def score_nodes(
    model: JaColBERT,
    queries: Sequence[TokenVectors],
    nodes: Sequence[Sequence[BaseNode]],
    *,
    cache: VectorCache,
    store: MultiVectorStore | None,
    window_size: int | None,
) -> list[list[NodeScore]]:
    """Scores the nodes of each query by exact MaxSim.

    Vectors in the cache come first. What is not there, the store scores, if it holds it and can
    (:class:`~jacolbert_integrations.types.ScoresById`). All others are encoded in one call. A store in this memory is
    not asked for scores but for vectors: they are here already, and the cache has them for the next query.

    Args:
        model: Encodes, and scores what the store does not.
        queries: The queries' vectors.
        nodes: The nodes of each query.
        cache: Vectors that were computed before.
        store: Vectors that were written before.
        window_size: Most tokens that are read at once; None is what the model reads.

    Raises:
        InputError: If a node has no text.
    """
    scoring = None if store is None or isinstance(store, MemoryStore) or not isinstance(store, ScoresById) else store
    encoder = PassageEncoder(model, cache, store if scoring is None else None, window_size)
    texts = iter(passage_texts([node for own in nodes for node in own]))
    scores = [
        _by_store(scoring, Query(query), own, [next(texts) for _ in own], encoder)
        for query, own in zip(queries, nodes, strict=True)
    ]
    left = [
        node
        for own, found in zip(nodes, scores, strict=True)
        for node, score in zip(own, found, strict=True)
        if score is None
    ]
    passages = iter(encoder.encode(left))
    complete = []
    for query, found in zip(queries, scores, strict=True):
        by_model = iter(_score_passages(model, query, [next(passages) for score in found if score is None]))
        complete.append([next(by_model) if score is None else score for score in found])
    return complete


def _by_store(
    store: MultiVectorStore | None,
    query: Query,
    nodes: Sequence[BaseNode],
    texts: Sequence[PassageText],
    encoder: PassageEncoder,
) -> list[NodeScore | None]:
    """Has the store score a query's nodes, but for those that the cache has."""
    scores: list[NodeScore | None] = [None for _ in nodes]
    if store is None or not isinstance(store, ScoresById):
        return scores
    places = [place for place, kept in enumerate(encoder.kept(texts)) if not kept]
    with using_store(store):
        found = scores_by_store(
            partial(store.score, query), [nodes[p] for p in places], [texts[p] for p in places], encoder.pieces
        )
    for place, score in zip(places, found, strict=True):
        scores[place] = score
    return scores


def _score_passages(model: JaColBERT, query: TokenVectors, passages: Sequence[Passage]) -> list[NodeScore]:
    """Scores each passage by the MaxSim of its best window."""
    if not passages:
        return []
    scores = model.score([query], [matrix for passage in passages for matrix in passage.vectors])[0]
    found: list[NodeScore] = []
    first = 0
    for passage in passages:
        own = scores[first : first + len(passage.vectors)]
        found.append(NodeScore.best(own.tolist(), passage.spans, "client"))
        first += len(passage.vectors)
    return found
