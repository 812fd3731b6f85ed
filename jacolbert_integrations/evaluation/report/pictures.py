"""The pictures of a comparison: what each system costs, what first stages miss, how long queries are."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from ...text.harmless import harmless
from ..evaluation import Evaluation
from ..query_lengths import QueryLengths
from ..systems import System
from . import charts


def costs(evaluation: Evaluation) -> str:
    """Draws quality against bytes a passage, and against milliseconds a query; what is not known is left out."""
    return _against(evaluation, "bytes", "bytes a passage", lambda system: system.bytes_per_passage) + _against(
        evaluation, "milliseconds", "ms a query, in memory", lambda system: system.milliseconds
    )


def candidates(evaluation: Evaluation) -> str:
    """Draws for each model the recall of its first stages, and its own, at growing numbers of candidates."""
    return "".join(
        _figure(
            charts.curves(
                f"candidates-{place}",
                lines,
                x_name="passages",
                y_name="recall",
                title=f"Recall of {name} and its first stages against the number of passages",
            ),
            f"{name}: the share of relevant passages among the first so many. What a first stage has not found by its "
            "number of candidates, no reranking brings back.",
        )
        for place, (name, lines) in enumerate(evaluation.curves.items())
        if len(lines) > 1
    )


def query_lengths(evaluation: Evaluation) -> str:
    """Draws for each model how long queries are, with what each query-length rule makes of them."""
    return "".join(
        _figure(
            charts.histogram(
                f"lengths-{place}",
                lengths.tokens,
                marked={f"fixed {lengths.maxlen['fixed']}": lengths.maxlen["fixed"]} if lengths.maxlen else {},
                x_name="tokens of a query, control tokens included",
                y_name="queries",
                title=f"How many tokens queries have for {name}",
            )
            + _rules(lengths),
            f"{name}: how long queries are, before any rule fills or cuts them.",
        )
        for place, (name, lengths) in enumerate(evaluation.query_lengths.items())
    )


def _against(evaluation: Evaluation, name: str, x_name: str, cost: Callable[[System], float | None]) -> str:
    first = evaluation.measures[0]
    dots = []
    for place, (system, row) in enumerate(zip(evaluation.systems, evaluation.rows, strict=True), 1):
        spent = cost(system)
        if spent is not None and spent > 0:
            value = row.measured.mean(first)
            title = f"{harmless(system.name)}: {first} {value:.3f}, {spent:,.4g} {x_name}"
            dots.append(charts.Dot(spent, value, str(place), title, harmless(system.model or system.kind)))
    if len(dots) < 2:
        return ""
    drawn = charts.scatter(name, dots, x_name=x_name, y_name=first, title=f"{first} against {x_name}")
    return _figure(drawn, f"{first} against {x_name}. The numbers are those of the table.")


def _rules(lengths: QueryLengths) -> str:
    if not lengths.vectors:
        return ""
    rows = "".join(
        f"<tr><td>{escape(rule)}</td><td>{vectors:.1f}</td><td>{100 * lengths.cut(rule):.1f} %</td></tr>"
        for rule, vectors in lengths.vectors.items()
    )
    head = "<tr><th>rule</th><th>vectors a query</th><th>queries cut</th></tr>"
    return f'<div class="wide"><table class="lengths"><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _figure(drawn: str, caption: str) -> str:
    return f"<figure>{drawn}<figcaption>{escape(caption)}</figcaption></figure>"
