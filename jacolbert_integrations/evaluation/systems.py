"""What ranks the passages of a benchmark: late interaction, words, and both fused."""

from __future__ import annotations

import numpy as np

from ..encoding.encoder import JaColBERT
from ..types import Scores
from .benchmark import Benchmark
from .bm25 import BM25
from .rankings import Run


def late_interaction_scores(model: JaColBERT, benchmark: Benchmark, *, show_progress_bar: bool | None = None) -> Scores:
    """Computes exact MaxSim of each query with each passage: (queries, passages) float32.

    Args:
        model: The model.
        benchmark: Passages and queries.
        show_progress_bar: None shows one after a second, on a terminal.
    """
    documents = model.encode_document(list(benchmark.passages.values()), show_progress_bar=show_progress_bar)
    queries = model.encode_query(list(benchmark.queries.values()), show_progress_bar=show_progress_bar)
    return model.score(queries, documents)


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
