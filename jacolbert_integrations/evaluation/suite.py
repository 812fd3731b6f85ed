"""Several benchmarks in one table, with their mean, beside what is published."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from ..text.harmless import harmless
from .evaluation import Evaluation
from .formatting import in_columns, in_markdown
from .named import BENCHMARKS, JQARA, PAPER, PUBLISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Systems on several benchmarks, each by its own measure.

    Attributes:
        names: Of :data:`~.named.BENCHMARKS`, in order.
        evaluations: Of those that could be had.
        missing: Why the others could not.
    """

    names: tuple[str, ...]
    evaluations: Mapping[str, Evaluation]
    missing: Mapping[str, str]

    @property
    def systems(self) -> list[str]:
        """The names of all systems, in the order in which they come."""
        return list(dict.fromkeys(s.name for evaluation in self.evaluations.values() for s in evaluation.systems))

    def value(self, system: str, name: str) -> float | None:
        """Returns what a system is worth on a benchmark; None if it was not measured there."""
        evaluation = self.evaluations.get(name)
        if evaluation is None:
            return None
        rows = zip(evaluation.systems, evaluation.rows, strict=True)
        found = (row.measured.mean(BENCHMARKS[name].measure) for each, row in rows if each.name == system)
        return next(found, None)

    def as_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON can hold it."""
        return {
            "benchmarks": {
                name: {
                    "title": BENCHMARKS[name].title,
                    "measure": BENCHMARKS[name].measure,
                    "differs from published": BENCHMARKS[name].differs,
                    "missing": self.missing.get(name),
                    "evaluation": self.evaluations[name].as_dict() if name in self.evaluations else None,
                }
                for name in self.names
            },
            "means": {system: _mean([self.value(system, name) for name in self.names]) for system in self.systems},
            "published": {system: {name: own.get(name) for name in self.names} for system, own in PUBLISHED.items()},
        }

    def rows(self) -> list[list[str]]:
        """Formats the cells of the table: its head, our rows, and those that are published."""
        head = [f"{BENCHMARKS[name].title} {BENCHMARKS[name].measure}" for name in self.names]
        ours = [_row(harmless(system), [self.value(system, name) for name in self.names]) for system in self.systems]
        published = [
            _row(f"published: {system}", [own.get(name) for name in self.names])
            for system, own in PUBLISHED.items()
            if any(name in PAPER for name in self.names)
        ]
        return [["", *head, "mean"], *ours, *published]

    def as_text(self) -> str:
        """Formats the table in columns, and what is not comparable below."""
        return "\n".join([in_columns(self.rows()), "", *self.notes()])

    def as_markdown(self) -> str:
        """Formats the same as a table of Markdown."""
        return "\n".join([in_markdown(self.rows()), "", *(f"- {note}" for note in self.notes())]) + "\n"

    def as_csv(self) -> str:
        """Formats the same as CSV, ours with all digits."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["system", *(f"{BENCHMARKS[name].title} {BENCHMARKS[name].measure}" for name in self.names)])
        for system in self.systems:
            writer.writerow([harmless(system), *_blank([self.value(system, name) for name in self.names])])
        for system, own in PUBLISHED.items():
            writer.writerow([f"published: {system}", *_blank([own.get(name) for name in self.names])])
        return out.getvalue()

    def notes(self) -> list[str]:
        """Says what is missing, and what is not comparable with published figures, and why."""
        differs = [
            f"{BENCHMARKS[name].title} is not comparable with what is published: {BENCHMARKS[name].differs}."
            for name in self.names
            if BENCHMARKS[name].differs
        ]
        right = ", ".join(f"{system} {value:.3f}" for system, value in JQARA.items())
        projected = [f"JQaRA nDCG@10 with the projection, of its repository: {right}."] if "jqara" in self.names else []
        source = ["Published figures are those of arXiv 2407.20750."] if set(self.names) & set(PAPER) else []
        return [*self.missing.values(), *differs, *projected, *source]


def _row(name: str, values: Sequence[float | None]) -> list[str]:
    return [name, *("–" if value is None else f"{value:.3f}" for value in [*values, _mean(values)])]


def _mean(values: Sequence[float | None]) -> float | None:
    """Computes the mean, if no value is missing."""
    known = [value for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None


def _blank(values: Sequence[float | None]) -> list[float | str]:
    return ["" if value is None else value for value in values]
