"""What ranks the passages of a benchmark: late interaction, words, and both fused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..encoding.encoder import JaColBERT
from ..encoding.pooling import NO_POOLING, as_pooling
from ..types import Scores
from .benchmark import Benchmark
from .bm25 import BM25
from .embeddings import EmbeddingCache
from .rankings import Run


@dataclass(frozen=True, slots=True)
class LateInteractionScores:
    """What a model makes of a benchmark.

    Attributes:
        by_pooling: MaxSim of each query with each passage, (queries, passages) float32, for each way to pool passages.
        query_vectors: (queries,) how many vectors each query has.
    """

    by_pooling: dict[str, Scores]
    query_vectors: NDArray[np.int64]

    def normalized(self, pooling: str = NO_POOLING) -> Scores:
        """Returns the mean similarity of the query's vectors, at most 1, in place of their sum."""
        return (self.by_pooling[pooling] / self.query_vectors[:, None]).astype(np.float32)


def late_interaction_scores(
    model: JaColBERT,
    benchmark: Benchmark,
    *,
    poolings: Sequence[str] = (NO_POOLING,),
    cache: EmbeddingCache | None = None,
    show_progress_bar: bool | None = None,
) -> LateInteractionScores:
    """Computes exact MaxSim of each query with each passage, of passages pooled in several ways.

    Args:
        model: The model.
        benchmark: Passages and queries.
        poolings: Names of ways to pool passages; ``"none"`` leaves them as the model makes them.
        cache: Keeps what is encoded; None keeps nothing.
        show_progress_bar: None shows one after a second, on a terminal.

    Raises:
        InputError: If there is no such pooling.
    """
    ways = {name: as_pooling(name) for name in poolings}
    passages, queries = list(benchmark.passages.values()), list(benchmark.queries.values())
    if cache is None:
        documents = model.encode_document(passages, show_progress_bar=show_progress_bar)
        asked = model.encode_query(queries, show_progress_bar=show_progress_bar)
    else:
        documents = cache.encode(model, passages, "document", show_progress_bar=show_progress_bar)
        asked = cache.encode(model, queries, "query", show_progress_bar=show_progress_bar)
    scores = {
        name: model.score(asked, documents if pooling is None else pooling.pool(documents))
        for name, pooling in ways.items()
    }
    return LateInteractionScores(scores, np.array([len(vectors) for vectors in asked]))


def bm25_scores(benchmark: Benchmark) -> Scores:
    """Computes BM25 over MeCab words of each query with each passage: (queries, passages) float32.

    Raises:
        MissingExtraError: If the ``evaluation`` extra is not installed.
    """
    return BM25(list(benchmark.passages.values())).score(list(benchmark.queries.values()))


def run_of_scores(name: str, scores: Scores, benchmark: Benchmark) -> Run:
    """Ranks a benchmark's passages by their scores; of a reranking benchmark, each query's candidates.

    Args:
        name: What tables call the system.
        scores: (queries, passages).
        benchmark: What they are of.
    """
    passages = list(benchmark.passages)
    if benchmark.candidates is not None:
        column = {passage: place for place, passage in enumerate(passages)}
        allowed = np.full(scores.shape, -np.inf, np.float32)
        for row, query in enumerate(benchmark.queries):
            places = [column[passage] for passage in benchmark.candidates[query]]
            allowed[row, places] = scores[row, places]
        scores = allowed
    return Run.of_scores(name, scores, list(benchmark.queries), passages)
