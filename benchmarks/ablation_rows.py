"""Rows of an ablation: computed once, kept as they come, and shown as one table over all seeds."""

from __future__ import annotations

import json
import random
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from jacolbert_integrations.text.squad import QuestionSet


class Rows:
    """The rows of one seed, in a folder of its own.

    Args:
        work: Where the folders of all seeds are.
        seed: Which.
    """

    def __init__(self, work: Path, seed: int) -> None:
        self.seed = seed
        self.folder = work / f"seed-{seed}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = self.folder / "results.json"
        self.results: dict[str, float] = json.loads(self._file.read_text()) if self._file.exists() else {}

    def path(self, name: str) -> Path:
        """The folder of a row's training run."""
        return Path(self.folder, "".join(c if c.isalnum() else "-" for c in name))

    def row(self, name: str, compute: Callable[[], float]) -> None:
        """Computes a row, unless it is there, and keeps it."""
        if name in self.results:
            return
        begun = perf_counter()
        self.results[name] = compute()
        self._file.write_text(json.dumps(self.results, ensure_ascii=False, indent=2) + "\n")
        print(f"seed {self.seed}  {self.results[name]:.4f}  {name}  ({perf_counter() - begun:.0f} s)", file=sys.stderr)


def some(questions: QuestionSet, count: int) -> QuestionSet:
    """Some of the passages, drawn at random, and their questions."""
    passages = random.Random(0).sample(questions.passages, min(count, len(questions.passages)))
    ids = {passage.id for passage in passages}
    return QuestionSet(passages, [question for question in questions.questions if question.passage_id in ids])


def table(work: Path, measured: str = "MRR@10") -> str:
    """Mean and spread over the seeds, in Markdown."""
    found = [json.loads(file.read_text()) for file in sorted(work.glob("seed-*/results.json"))]
    names = list(dict.fromkeys(name for results in found for name in results))
    lines = [f"| {len(found)} seeds | {measured} | each |", "|---|---|---|"]
    for name in names:
        values = [results[name] for results in found if name in results]
        spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
        each = " ".join(f"{value:.3f}" for value in values)
        lines.append(f"| {name} | {statistics.mean(values):.3f}{spread} | {each} |")
    return "\n".join(lines)
