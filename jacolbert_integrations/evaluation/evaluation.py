"""A comparison of systems on one benchmark: all that a table and a report say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..encoding.encoder import JaColBERT
from ..errors import InputError, MissingExtraError
from ..types import Scores
from .baselines import Dense, Reranker
from .benchmark import Benchmark
from .bm25 import BM25
from .comparison import Compared, compare
from .curves import recall_curve
from .embeddings import EmbeddingCache
from .first_stages import Words
from .fusion import with_bm25
from .late_interaction import LateInteraction
from .measures import DEFAULT_MEASURES, depth_of
from .query_lengths import QueryLengths
from .rankings import DEPTH, Run
from .settings import STAGE_NAMES, Setting
from .streaming import is_large, late_interaction_run, run_of_rows
from .systems import System, run_of_scores
from .timing import milliseconds

BM25_NAME = "BM25 (MeCab words)"
TIMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Systems beside each other on one benchmark.

    Attributes:
        benchmark: What they are measured on.
        measures: The names of the measures; intervals and p values are of the first.
        systems: The systems.
        rows: What each is worth, in the same order; p values are beside the first.
        models: The late-interaction models, by name.
        normalized: What each of them found, with normalised scores; empty unless the evaluator was asked for it.
        curves: Of each model, names of what finds candidates, ``"MaxSim"`` among them, to recall at growing depths.
        query_lengths: Of each model, how long the queries are.
        notes: What a reader should know, such as what was left out.
    """

    benchmark: Benchmark
    measures: tuple[str, ...]
    systems: tuple[System, ...]
    rows: tuple[Compared, ...]
    models: Mapping[str, JaColBERT] = field(default_factory=dict)
    normalized: Mapping[str, Run] = field(default_factory=dict)
    curves: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]] = field(default_factory=dict)
    query_lengths: Mapping[str, QueryLengths] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Returns all but rankings and curves as JSON can hold it."""
        systems = {
            system.name: {
                "measures": row.as_dict(),
                "kind": system.kind,
                "bytes_per_passage": system.bytes_per_passage,
                "milliseconds": system.milliseconds,
            }
            for system, row in zip(self.systems, self.rows, strict=True)
        }
        return {
            "benchmark": self.benchmark.name,
            "passages": len(self.benchmark.passages),
            "queries": len(self.benchmark.queries),
            "systems": systems,
            "notes": list(self.notes),
        }


class Evaluator:
    """Measures systems on one benchmark.

    Args:
        benchmark: Passages, queries and judgments.
        measures: As :func:`~.measures.measure` takes them.
        cache: Keeps vectors and scores, so that what was stopped goes on; None keeps nothing.
        depth: How many passages of each ranking are kept; None keeps what the measures need.
        normalized: Whether to keep rankings with normalised scores, from which thresholds can be chosen.
        timed: How many queries are asked one after the other to measure the time; 0 measures none.
        show_progress_bar: None shows one after a second, on a terminal.

    Raises:
        InputError: If there is no such measure.
        MissingExtraError: If the ``evaluation`` extra is not installed.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        *,
        measures: Sequence[str] = DEFAULT_MEASURES,
        cache: EmbeddingCache | None = None,
        depth: int | None = None,
        normalized: bool = False,
        timed: int = TIMED,
        show_progress_bar: bool | None = None,
    ) -> None:
        self.benchmark = benchmark
        self.measures = tuple(measures)
        self._large = is_large(benchmark)
        self._depth = min(depth_of(measures) if depth is None else depth, DEPTH)
        self._cache = cache
        self._keep_normalized = normalized
        self._timed = timed
        self._show = show_progress_bar
        self._systems: list[System] = []
        self._scores: dict[str, Scores] = {}
        self._models: dict[str, JaColBERT] = {}
        self._normalized: dict[str, Run] = {}
        self._curves: dict[str, dict[str, Sequence[tuple[int, float]]]] = {}
        self._query_lengths: dict[str, QueryLengths] = {}
        self._notes: list[str] = []

    def add_model(
        self, model: JaColBERT, settings: Sequence[Setting] = (Setting(),), *, name: str | None = None
    ) -> None:
        """Adds a late-interaction model, in several settings.

        Args:
            model: The model.
            settings: How it is used.
            name: What tables call it; None takes the model's own name.

        Raises:
            InputError: If a setting does not fit the model, or two are equal.
        """
        name = model.name if name is None else name
        if self._large:
            self._add_model_in_parts(name, model, settings)
            return
        own = LateInteraction(
            model, self.benchmark, words=lambda: self._words, cache=self._cache, show_progress_bar=self._show
        )
        for setting in settings:
            called = ", ".join(filter(None, [name, str(setting)]))
            scores = own.scores(setting)
            self._add(
                called,
                scores,
                kind="late interaction",
                model=name,
                setting=setting,
                bytes_per_passage=own.bytes_per_passage(setting),
                milliseconds=own.milliseconds(setting, self._timed) if self._timed else None,
            )
            if setting == Setting():
                self._scores[name] = scores
        self._models[name] = model
        if self._keep_normalized:
            self._normalized[name] = run_of_scores(name, own.normalized(Setting()), self.benchmark)
        self._query_lengths[name] = QueryLengths.of(model, list(self.benchmark.queries.values()))
        stages = {setting.first_stage for setting in settings}
        every = {"MaxSim": own.scores(Setting())}
        every |= {stage: own.first_stage_scores(stage) for stage in STAGE_NAMES if stage in stages}
        self._curves[name] = {stage: recall_curve(scores, self.benchmark) for stage, scores in every.items()}

    def add_bm25(self, *, fused: bool = True) -> None:
        """Adds BM25 over MeCab words, and each model so far fused with it; only a note if the extra is missing.

        Args:
            fused: Whether to fuse; of a benchmark that is ranked in parts, nothing is.
        """
        try:
            words = self._words
        except MissingExtraError as error:
            self._notes.append(f"BM25 is left out. {error}")
            return
        if self._large:
            run = run_of_rows(BM25_NAME, words.score, self.benchmark, depth=self._depth)
            self._systems.append(System(run=run, kind="words", bytes_per_passage=words.bytes_per_passage))
            return
        count = len(self.benchmark.queries)
        scores = words.score(range(count))
        taken = milliseconds(lambda place: words.score([place]), min(self._timed, count)) if self._timed else None
        models = [system for system in self._systems if system.setting == Setting()]
        kept = words.bytes_per_passage
        self._add(BM25_NAME, scores, kind="words", bytes_per_passage=kept, milliseconds=taken)
        for system in models if fused else []:
            together = with_bm25(self._scores[system.name], scores)
            self._add(
                f"{system.name}, BM25 fused",
                together,
                kind="fused",
                model=system.model,
                bytes_per_passage=None if system.bytes_per_passage is None else system.bytes_per_passage + kept,
                milliseconds=None if system.milliseconds is None or taken is None else system.milliseconds + taken,
            )

    def add_dense(self, name: str, *, prompts: tuple[str, str] | None = None) -> None:
        """Adds a sentence-transformers model of one vector a text.

        Args:
            name: Its directory or hub id.
            prompts: What comes before queries and before passages; None takes the model's own.

        Raises:
            InputError: If it cannot be loaded.
        """
        dense = Dense(name, self.benchmark, prompts=prompts, cache=self._cache, show_progress_bar=self._show)
        taken = dense.milliseconds(self._timed) if self._timed else None
        run = run_of_rows(name, dense.score, self.benchmark, depth=self._depth)
        kept = dense.bytes_per_passage
        self._systems.append(System(run=run, kind="dense", bytes_per_passage=kept, milliseconds=taken))

    def add_reranker(self, name: str, *, candidates: int = 100) -> None:
        """Adds a cross-encoder that reranks what the first system found.

        Args:
            name: Its directory or hub id.
            candidates: How many passages it reads for a query.

        Raises:
            InputError: If it cannot be loaded, gives more than one score, or there is no system that scores yet.
        """
        if not self._systems or self._systems[0].kind != "late interaction":
            raise InputError("a reranker needs a system that finds passages for it: add a model first.")
        first = self._systems[0]
        reranker = Reranker(name, self.benchmark, cache=self._cache, show_progress_bar=self._show)
        found = self._found(first, candidates)
        taken = None
        if self._timed and first.milliseconds is not None:
            taken = first.milliseconds + reranker.milliseconds(found, min(self._timed, 5))
        run = reranker.run(f"{name} reranks {candidates:,} of {first.name}", found, self.benchmark)
        kept = first.bytes_per_passage
        self._systems.append(System(run=run, kind="reranked", bytes_per_passage=kept, milliseconds=taken))

    def add_run(self, run: Run) -> None:
        """Adds what another system found."""
        self._systems.append(System(run=run, kind="given"))

    def result(self) -> Evaluation:
        """Returns the systems beside each other.

        Raises:
            InputError: If there are none, or two of one name.
        """
        if not self._systems:
            raise InputError("there is nothing to compare: add a model, BM25, or a run.")
        rows = compare(
            [system.run for system in self._systems], self.benchmark.qrels, self.measures, tested=self.measures[:1]
        )
        return Evaluation(
            benchmark=self.benchmark,
            measures=self.measures,
            systems=tuple(self._systems),
            rows=tuple(rows),
            models=self._models,
            normalized=self._normalized,
            curves=self._curves,
            query_lengths=self._query_lengths,
            notes=tuple(self._notes),
        )

    @cached_property
    def _words(self) -> Words:
        return Words(BM25(list(self.benchmark.passages.values())), list(self.benchmark.queries.values()))

    def _add(self, name: str, scores: Scores, **known: Any) -> None:
        run = run_of_scores(name, scores, self.benchmark, depth=self._depth)
        self._systems.append(System(run=run, **known))

    def _add_model_in_parts(self, name: str, model: JaColBERT, settings: Sequence[Setting]) -> None:
        if self._keep_normalized:
            raise InputError(f"{self.benchmark.name} is ranked in parts, which gives no thresholds.")
        for setting in settings:
            run, vectors = late_interaction_run(
                ", ".join(filter(None, [name, str(setting)])),
                model,
                self.benchmark,
                setting,
                depth=DEPTH,  # for a reranker
                cache=self._cache,
                show_progress_bar=self._show,
            )
            kept = vectors * setting.bytes_of(model.dimension)
            self._systems.append(
                System(run=run, kind="late interaction", model=name, setting=setting, bytes_per_passage=kept)
            )
        self._models[name] = model

    def _found(self, system: System, count: int) -> list[list[int]]:
        """Returns the places of the passages that a system has first, for each query."""
        scores = self._scores.get(system.name)
        if scores is not None:
            order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
            return [[int(place) for place in row] for row in order]
        column = {passage: place for place, passage in enumerate(self.benchmark.passages)}
        rankings = (system.run.rankings.get(query, ()) for query in self.benchmark.queries)
        return [[column[passage] for passage, _ in ranking[:count]] for ranking in rankings]
