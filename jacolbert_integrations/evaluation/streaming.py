"""Rankings of benchmarks that are too large to have the scores of all queries and passages at once."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from tqdm import tqdm

from ..encoding.encoder import JaColBERT
from ..encoding.pooling import as_pooling
from ..errors import InputError
from ..scoring.maxsim import PackedDocuments, maxsim
from ..types import Scores, TokenVectors
from .benchmark import Benchmark
from .embeddings import EmbeddingCache
from .rankings import Run, ranked
from .settings import Setting
from .shrinking import as_kept, cut, directions

LARGE = 1 << 28
"""Scores of queries and passages of which no more than a few systems have room in memory."""

_PASSAGES = 4_096
_QUERIES = 16


def is_large(benchmark: Benchmark) -> bool:
    """Returns whether a benchmark is ranked in parts: its scores have no room, or each query has its own candidates."""
    return benchmark.candidates is not None or len(benchmark.queries) * len(benchmark.passages) > LARGE


def late_interaction_run(
    name: str,
    model: JaColBERT,
    benchmark: Benchmark,
    setting: Setting,
    *,
    depth: int,
    cache: EmbeddingCache | None = None,
    show_progress_bar: bool | None = None,
) -> tuple[Run, float]:
    """Ranks by MaxSim, with the vectors of some passages in memory at a time.

    Args:
        name: Of the run.
        model: The model.
        benchmark: Of each query, its candidates are ranked; without candidates, all passages.
        setting: How the model is used; neither int8, whose steps are those of all passages, nor a first stage.
        depth: How many passages a query keeps.
        cache: Keeps what is encoded; None keeps nothing.
        show_progress_bar: None shows one after a second, on a terminal.

    Returns:
        The run, and how many vectors a passage has, on average.

    Raises:
        InputError: If the setting does not fit.
    """
    if setting.first_stage is not None or setting.datatype == "int8":
        raise InputError(
            f"{benchmark.name} is ranked in parts, which cannot be done with {setting}: leave it out, or take a "
            "benchmark of fewer passages without candidates."
        )
    asking = model if setting.query_length is None else model.with_query_length(setting.query_length)
    pooling = as_pooling(setting.pooling)
    kept = None if setting.dimension is None else directions(model, setting.dimension)

    def queries(texts: list[str]) -> list[TokenVectors]:
        vectors = asking.encode_query(texts, show_progress_bar=False)
        return vectors if kept is None else cut(vectors, kept)

    def documents(texts: list[str]) -> list[TokenVectors]:
        if cache is None:
            vectors = model.encode_document(texts, show_progress_bar=False)
        else:
            vectors = cache.encode(model, texts, "document", show_progress_bar=False)
        vectors = vectors if pooling is None else pooling.pool(vectors)
        return as_kept(vectors if kept is None else cut(vectors, kept), setting.datatype)

    total = len(benchmark.passages) if benchmark.candidates is None else len(benchmark.queries)
    with tqdm(
        total=total,
        desc=f"{name}: {'passages' if benchmark.candidates is None else 'queries'}",
        disable=None if show_progress_bar is None else not show_progress_bar,
        delay=1.0 if show_progress_bar is None else 0.0,
    ) as bar:
        if benchmark.candidates is None:
            return _all_passages(name, benchmark, queries, documents, depth, bar.update)
        return _candidates(name, benchmark, benchmark.candidates, queries, documents, depth, bar.update)


def run_of_rows(name: str, score: Callable[[Sequence[int]], Scores], benchmark: Benchmark, *, depth: int) -> Run:
    """Ranks by something that scores all passages for some queries at a time.

    Args:
        name: Of the run.
        score: Gives (queries, passages) for the queries at some places.
        benchmark: Of each query, its candidates are ranked; without candidates, all passages.
        depth: How many passages a query keeps.
    """
    passages, queries = list(benchmark.passages), list(benchmark.queries)
    column = {passage: place for place, passage in enumerate(passages)}
    rankings = {}
    for start in range(0, len(queries), _QUERIES):
        places = range(start, min(start + _QUERIES, len(queries)))
        for query, row in zip((queries[place] for place in places), score(places), strict=True):
            if benchmark.candidates is None:
                rankings[query] = Run.of_scores(name, row[None], [query], passages, depth=depth).rankings[query]
            else:
                own = ((passage, float(row[column[passage]])) for passage in benchmark.candidates[query])
                rankings[query] = ranked(own)[:depth]
    return Run(name, rankings)


def _all_passages(
    name: str,
    benchmark: Benchmark,
    queries: Callable[[list[str]], list[TokenVectors]],
    documents: Callable[[list[str]], list[TokenVectors]],
    depth: int,
    update: Callable[[int], object],
) -> tuple[Run, float]:
    asked = queries(list(benchmark.queries.values()))
    best: list[list[tuple[str, float]]] = [[] for _ in asked]
    vectors = 0
    for ids, texts in _parts(benchmark):
        encoded = documents(texts)
        vectors += sum(map(len, encoded))
        scores = PackedDocuments(encoded).score(asked)
        for row, found in enumerate(best):
            count = min(depth, len(ids))
            places = np.argpartition(-scores[row], count - 1)[:count]
            least = scores[row, places].min()
            new = [(ids[place], float(scores[row, place])) for place in np.flatnonzero(scores[row] >= least)]
            best[row] = heapq.nsmallest(depth, [*found, *new], key=lambda each: (-each[1], each[0]))
        update(len(ids))
    rankings = {query: tuple(found) for query, found in zip(benchmark.queries, best, strict=True)}
    return Run(name, rankings), vectors / len(benchmark.passages)


def _candidates(
    name: str,
    benchmark: Benchmark,
    own: Mapping[str, Sequence[str]],
    queries: Callable[[list[str]], list[TokenVectors]],
    documents: Callable[[list[str]], list[TokenVectors]],
    depth: int,
    update: Callable[[int], object],
) -> tuple[Run, float]:
    rankings = {}
    vectors = encoded = 0
    ids = list(benchmark.queries)
    for start in range(0, len(ids), _QUERIES):
        group = ids[start : start + _QUERIES]
        read = list(dict.fromkeys(passage for query in group for passage in own[query]))
        found = dict(zip(read, documents([benchmark.passages[passage] for passage in read]), strict=True))
        vectors += sum(map(len, found.values()))
        encoded += len(found)
        asked = queries([benchmark.queries[query] for query in group])
        for query, matrix in zip(group, asked, strict=True):
            scores = maxsim([matrix], [found[passage] for passage in own[query]])[0]
            rankings[query] = ranked((p, float(s)) for p, s in zip(own[query], scores, strict=True))[:depth]
        update(len(group))
    return Run(name, rankings), vectors / encoded


def _parts(benchmark: Benchmark) -> Iterator[tuple[list[str], list[str]]]:
    ids, texts = list(benchmark.passages), list(benchmark.passages.values())
    for start in range(0, len(ids), _PASSAGES):
        yield ids[start : start + _PASSAGES], texts[start : start + _PASSAGES]
