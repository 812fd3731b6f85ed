"""A late-interaction model on a benchmark, in any setting: its scores, its bytes, its time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import numpy as np

from ..encoding.encoder import JaColBERT
from ..encoding.pooling import as_pooling
from ..query_length import QueryLength
from ..scoring.maxsim import PackedDocuments, maxsim
from ..types import Scores, TokenVectors
from .benchmark import Benchmark
from .embeddings import EmbeddingCache
from .first_stages import FirstStage, best, first_stage
from .settings import Setting, StageName
from .shrinking import as_kept, cut, directions
from .timing import milliseconds


class LateInteraction:
    """What a model makes of a benchmark. Passages and queries are encoded once, and scored once in each setting.

    Args:
        model: The model.
        benchmark: Passages and queries.
        words: Builds the first stage by words.
        cache: Keeps what is encoded and scored; None keeps nothing.
        show_progress_bar: None shows one after a second, on a terminal.
    """

    def __init__(
        self,
        model: JaColBERT,
        benchmark: Benchmark,
        *,
        words: Callable[[], FirstStage],
        cache: EmbeddingCache | None = None,
        show_progress_bar: bool | None = None,
    ) -> None:
        self.model = model
        self.benchmark = benchmark
        self._words = words
        self._cache = cache
        self._show = show_progress_bar
        self._texts = list(benchmark.passages.values())
        self._asked = list(benchmark.queries.values())
        self._queries: dict[QueryLength | None, list[TokenVectors]] = {}
        self._first: dict[StageName, tuple[FirstStage, Scores]] = {}
        self._kept: tuple[Setting, list[TokenVectors]] | None = None

    @functools.cached_property
    def documents(self) -> list[TokenVectors]:
        """The vectors of the passages, as the model makes them."""
        if self._cache is not None:
            return self._cache.encode(self.model, self._texts, "document", show_progress_bar=self._show)
        return self.model.encode_document(self._texts, show_progress_bar=self._show)

    def queries(self, rule: QueryLength | None = None) -> list[TokenVectors]:
        """Returns the vectors of the queries, by the model's own rule or another."""
        if rule not in self._queries:
            model = self._by_rule(rule)
            if self._cache is not None:
                found = self._cache.encode(model, self._asked, "query", show_progress_bar=self._show)
            else:
                found = model.encode_query(self._asked, show_progress_bar=self._show)
            self._queries[rule] = found
        return self._queries[rule]

    def scores(self, setting: Setting) -> Scores:
        """Computes MaxSim of each query with each passage: (queries, passages) float32, -inf of no candidate."""
        if setting.first_stage is None:
            return self._exact(setting)
        candidates = best(self.first_stage_scores(setting.first_stage), setting.candidates)
        every = self._exact(replace(setting, first_stage=None))
        found: Scores = np.where(candidates, every, np.float32(-np.inf)).astype(np.float32)
        return found

    def normalized(self, setting: Setting) -> Scores:
        """Returns the mean similarity of the query's vectors, at most 1, in place of their sum."""
        counts = np.array([len(each) for each in self.queries(setting.query_length)])
        means: Scores = (self.scores(setting) / counts[:, None]).astype(np.float32)
        return means

    def first_stage_scores(self, name: StageName) -> Scores:
        """Computes what a first stage makes of each query and each passage: (queries, passages) float32."""
        return self._first_stage(name)[1]

    def vectors_per_passage(self, setting: Setting) -> float:
        """Returns how many vectors a passage has, on average."""
        return sum(map(len, self._documents(setting))) / len(self._texts)

    def bytes_per_passage(self, setting: Setting) -> float:
        """Returns the bytes that the vectors of a passage take, on average, with what its first stage keeps of it."""
        vectors = self.vectors_per_passage(setting) * setting.bytes_of(self.model.dimension)
        return vectors + (
            0 if setting.first_stage is None else self._first_stage(setting.first_stage)[0].bytes_per_passage
        )

    def milliseconds(self, setting: Setting, count: int) -> float:
        """Measures the median time to encode a query and to find the ten best passages in memory.

        Arithmetic is of float32 whatever the setting's data type is.

        Args:
            setting: How passages are kept and found.
            count: How many queries are asked, one after the other; at most all.
        """
        count = min(count, len(self._asked))
        model, documents = self._by_rule(setting.query_length), self._documents(setting)
        kept = None if setting.dimension is None else directions(self.model, setting.dimension)

        def encode(place: int) -> list[TokenVectors]:
            vectors = model.encode_query([self._asked[place]], show_progress_bar=False)
            return vectors if kept is None else cut(vectors, kept)

        if setting.first_stage is None:
            packed = PackedDocuments(documents)
            return milliseconds(lambda place: np.argsort(-packed.score(encode(place))[0])[:10], count)
        stage, _ = self._first_stage(setting.first_stage)

        def in_two(place: int) -> Scores:
            found = np.flatnonzero(best(stage.score([place]), setting.candidates)[0])
            return maxsim(encode(place), [documents[each] for each in found])

        return milliseconds(in_two, count)

    def _exact(self, setting: Setting) -> Scores:
        def compute() -> Scores:
            queries: Sequence[TokenVectors] = self.queries(setting.query_length)
            if setting.dimension is not None:
                queries = cut(queries, directions(self.model, setting.dimension))
            return self.model.score(queries, self._documents(setting))

        if self._cache is None:
            return compute()
        settings = {**asdict(setting), "query_length": self._by_rule(setting.query_length).query_length}
        return self._cache.scores(self.model, settings, self._asked, self._texts, compute)

    def _documents(self, setting: Setting) -> list[TokenVectors]:
        """Returns the vectors of the passages in a setting; those of the last one are kept."""
        key = replace(setting, first_stage=None, query_length=None)
        if self._kept is None or self._kept[0] != key:
            found = self.documents
            if (pooling := as_pooling(setting.pooling)) is not None:
                found = pooling.pool(found)
            if setting.dimension is not None:
                found = cut(found, directions(self.model, setting.dimension))
            self._kept = key, as_kept(found, setting.datatype)
        return self._kept[1]

    def _first_stage(self, name: StageName) -> tuple[FirstStage, Scores]:
        if name not in self._first:
            stage = first_stage(name, self.documents, self.queries(), self._words, lambda: self.model.centroids)
            self._first[name] = stage, stage.score(range(len(self._asked)))
        return self._first[name]

    def _by_rule(self, rule: QueryLength | None) -> JaColBERT:
        return self.model if rule is None else self.model.with_query_length(rule)
