"""A comparison as a table: for the terminal, in Markdown, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from ..text.harmless import harmless
from .evaluation import Evaluation
from .formatting import in_columns, in_markdown


def as_text(evaluation: Evaluation) -> str:
    """Formats one line a system, in columns, with what p means below."""
    return f"{in_columns(table_of(evaluation))}\n\n{explained(evaluation)}"


def as_markdown(evaluation: Evaluation) -> str:
    """Formats the same as a table of Markdown."""
    return f"{in_markdown(table_of(evaluation))}\n\n{explained(evaluation)}\n"


def as_csv(evaluation: Evaluation) -> str:
    """Formats the same, with all digits, as CSV."""
    first = evaluation.measures[0]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ["system", "kind", *evaluation.measures, f"{first} low", f"{first} high", f"{first} p"]
    writer.writerow([*head, "bytes a passage", "ms a query"])
    for system, row in zip(evaluation.systems, evaluation.rows, strict=True):
        means = [row.measured.mean(name) for name in evaluation.measures]
        known = [*row.intervals[first], row.p_values.get(first), system.bytes_per_passage, system.milliseconds]
        writer.writerow([_harmless_cell(system.name), system.kind, *means, *["" if v is None else v for v in known]])
    return out.getvalue()


def explained(evaluation: Evaluation) -> str:
    """Says what the columns mean."""
    return (
        f"p: how likely so great a difference of {evaluation.measures[0]} from the first line is by chance (paired "
        "randomisation)"
    )


def table_of(evaluation: Evaluation) -> list[list[str]]:
    """Formats the cells of the table: its head, and a row a system."""
    first = evaluation.measures[0]
    costs = _costs(evaluation)
    rows = [["", *evaluation.measures, f"{first}, 95 %", "p", *[name for name, _ in costs]]]
    for place, (system, row) in enumerate(zip(evaluation.systems, evaluation.rows, strict=True)):
        low, high = row.intervals[first]
        p = f"{row.p_values[first]:.4f}" if row.p_values else ""
        means = [f"{row.measured.mean(name):.3f}" for name in evaluation.measures]
        rows.append([harmless(system.name), *means, f"{low:.3f} to {high:.3f}", p, *[own[place] for _, own in costs]])
    return rows


def _costs(evaluation: Evaluation) -> list[tuple[str, list[str]]]:
    """Formats the columns of bytes and time, each if it is known of any system."""
    found: list[tuple[str, Sequence[float | None], str]] = [
        ("bytes/passage", [system.bytes_per_passage for system in evaluation.systems], ",.0f"),
        ("ms/query", [system.milliseconds for system in evaluation.systems], ",.1f"),
    ]
    return [
        (name, ["" if value is None else format(value, digits) for value in values])
        for name, values, digits in found
        if any(value is not None for value in values)
    ]


def _harmless_cell(text: str) -> str:
    """Makes a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
