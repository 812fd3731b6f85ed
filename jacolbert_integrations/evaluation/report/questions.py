"""Two systems question by question: how often and how much they differ, and where they differ most."""

from __future__ import annotations

from html import escape

from ...errors import InputError, NoOffsetsError
from ...explaining.explanation import explain
from ...explaining.html import as_html
from ...text.harmless import harmless
from ..evaluation import Evaluation
from ..settings import Setting
from ..systems import System
from . import charts

_SHOWN = 4
"""Questions of each kind: where the one is better, and where the other is."""


def pair_of(evaluation: Evaluation, names: tuple[str, str] | None = None) -> tuple[int, int] | None:
    """Chooses two systems: those that are named, else the first beside another model, or beside what comes next.

    Args:
        evaluation: The comparison.
        names: Of two systems, as the table calls them.

    Returns:
        Their places in the table; None if there is only one.

    Raises:
        InputError: If there is no system of a name, or it is named twice.
    """
    systems = evaluation.systems
    if names is not None:
        known = [system.name for system in systems]
        if unknown := [name for name in names if name not in known]:
            raise InputError(f"no system is called {unknown[0]!r}; there are {', '.join(map(repr, known))}.")
        if names[0] == names[1]:
            raise InputError(f"{names[0]!r} does not differ from itself: name two systems.")
        return known.index(names[0]), known.index(names[1])
    others = [place for place, system in enumerate(systems) if place and system.setting == Setting()]
    words = [place for place, system in enumerate(systems) if place and system.kind != "late interaction"]
    chosen = [*others, *words, *range(1, len(systems))]
    return (0, chosen[0]) if chosen else None


def questions(evaluation: Evaluation, pair: tuple[int, int]) -> str:
    """Draws the differences of two systems, and shows the questions at which they differ most side by side.

    Args:
        evaluation: The comparison.
        pair: The places of the systems in the table.
    """
    first, second = (evaluation.systems[place] for place in pair)
    measure = evaluation.measures[0]
    rows = [evaluation.rows[place].measured for place in pair]
    values = rows[0].values[measure] - rows[1].values[measure]
    names = harmless(first.name), harmless(second.name)
    better, worse = int((values > 0).sum()), int((values < 0).sum())
    drawn = charts.differences(
        "differences",
        values[values != 0].tolist() or [0.0],
        x_name="questions that differ",
        y_name=f"difference of {measure}",
        title=f"{measure} of {names[0]} less that of {names[1]}, question by question",
    )
    caption = (
        f"{measure} of {names[0]} less that of {names[1]}: better for {better:,} questions, worse for {worse:,}, equal "
        f"for {len(values) - better - worse:,}."
    )
    order = values.argsort(kind="stable")
    most = [place for place in order[::-1][:_SHOWN] if values[place] > 0]
    least = [place for place in order[:_SHOWN] if values[place] < 0]
    shown = "".join(
        f"<h3>Better by {escape(harmless(name))}</h3>"
        + "".join(_question(evaluation, rows[0].queries[place], (first, second)) for place in places)
        for name, places in ((first.name, most), (second.name, least))
        if places
    )
    return f"<figure>{drawn}<figcaption>{escape(caption)}</figcaption></figure>{shown}"


def _question(evaluation: Evaluation, query: str, systems: tuple[System, System]) -> str:
    benchmark = evaluation.benchmark
    text = benchmark.queries[query]
    relevant = [passage for passage, grade in benchmark.qrels[query].items() if grade > 0]
    columns = "".join(_found(evaluation, system, query, text, relevant) for system in systems)
    asked = f"<p><strong>{escape(harmless(text))}</strong></p>"
    return f'<section class="question">{asked}<div class="pair">{columns}</div></section>'


def _found(evaluation: Evaluation, system: System, query: str, text: str, relevant: list[str]) -> str:
    """Shows what a system has first, and where it has what is relevant."""
    ranking = system.run.rankings.get(query, ())
    ranks = [rank for rank in (system.run.rank_of(query, passage) for passage in relevant) if rank]
    where = f"relevant at rank {min(ranks)}" if ranks else f"nothing relevant among the first {len(ranking)}"
    head = f"<p>{escape(harmless(system.name))}: {where}</p>"
    if not ranking:
        return f"<article>{head}</article>"
    passage, _ = ranking[0]
    mark = "✓" if passage in relevant else "✗"
    body = _coloured(evaluation, system, text, evaluation.benchmark.passages.get(passage, ""))
    return f"<article>{head}<p>{mark} first: {escape(harmless(passage))}</p>{body}</article>"


def _coloured(evaluation: Evaluation, system: System, query: str, passage: str) -> str:
    model = None if system.model is None else evaluation.models.get(system.model)
    if model is not None:
        try:
            return as_html(passage, explain(model, query, passage).matches)
        except NoOffsetsError:
            pass  # its tokenizer does not say where tokens are from
    return as_html(passage, [])
