"""What ranks the passages of a benchmark, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..types import Scores
from .benchmark import Benchmark
from .rankings import DEPTH, Run
from .settings import Setting

Kind = Literal["late interaction", "words", "fused", "dense", "reranked", "given"]


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A system, and what it found.

    Attributes:
        run: What it found. The run's name is the system's.
        kind: What it is; ``"given"`` was read from a file.
        model: The name of its late-interaction model, if it has one.
        setting: How that model is used.
        bytes_per_passage: What its index keeps of a passage, on average; None if that is not known.
        milliseconds: The median time of one query, in memory, from its text to the best passages; None if it was not
            measured.
    """

    run: Run
    kind: Kind
    model: str | None = None
    setting: Setting | None = None
    bytes_per_passage: float | None = None
    milliseconds: float | None = None

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.run.name


def run_of_scores(name: str, scores: Scores, benchmark: Benchmark, *, depth: int = DEPTH) -> Run:
    """Ranks all passages of a benchmark by their scores.

    Args:
        name: What tables call the system.
        scores: (queries, passages). What is -inf was not found.
        benchmark: What they are of.
        depth: How many passages a query keeps.
    """
    return Run.of_scores(name, scores, list(benchmark.queries), list(benchmark.passages), depth=depth)
