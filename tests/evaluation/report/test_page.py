from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from jacolbert_integrations.errors import InputError
from jacolbert_integrations.evaluation.evaluation import Evaluation, Evaluator
from jacolbert_integrations.evaluation.rankings import Run
from jacolbert_integrations.evaluation.report.page import as_html
from jacolbert_integrations.evaluation.report.questions import pair_of


class Elements(HTMLParser):
    """Whether all elements are closed in order, and what addresses they name."""

    EMPTY = ("meta", "circle", "rect", "line", "path", "polyline")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag


def test_one_file_without_a_network(evaluation: Evaluation) -> None:
    page = as_html(evaluation, source="JSQuAD, CC BY-SA 4.0")
    elements = Elements(page)
    assert not elements.open
    assert not elements.addresses
    assert "url(" not in page
    assert "<script" not in page
    assert "JSQuAD &lt;部分&gt;" in page
    assert "CC BY-SA 4.0" in page
    assert [
        page.count(f'id="{name}"') for name in ("systems", "bytes", "milliseconds", "candidates-0", "lengths-0")
    ] == [1] * 5
    rows = re.findall(r"<tr><td>(\d+)</td><td>(.*?)</td>", page)
    assert [name for _, name in rows] == [system.name for system in evaluation.systems]


def test_what_pictures_show(evaluation: Evaluation) -> None:
    page = as_html(evaluation)
    for system, row in zip(evaluation.systems, evaluation.rows, strict=True):
        value = row.measured.mean("nDCG@10")
        assert (
            f"<title>{system.name}: nDCG@10 {value:.3f}, {system.bytes_per_passage:,.4g} bytes a passage</title>"
            in page
        )
        assert (
            f"<title>{system.name}: nDCG@10 {value:.3f}, {system.milliseconds:,.4g} ms a query, in memory</title>"
            in page
        )
    lines = evaluation.curves["jacolbert-mini"]
    assert list(lines) == ["MaxSim", "mean"]
    assert f"<title>mean: {dict(lines['mean'])[10]:.3f} at 10</title>" in page
    assert "fixed 32" in page
    cut = sum(length > 32 for length in evaluation.query_lengths["jacolbert-mini"].tokens)
    assert f"<td>{100 * cut / len(evaluation.benchmark.queries):.1f} %</td>" in page


def test_questions_that_differ_most_come_first(evaluation: Evaluation) -> None:
    page = as_html(evaluation, pair=("jacolbert-mini", "BM25 (MeCab words)"))
    first, second = (evaluation.rows[place].measured for place in (0, 4))
    values = first.values["nDCG@10"] - second.values["nDCG@10"]
    better, worse = (values > 0).sum(), (values < 0).sum()
    assert f"better for {better} questions, worse for {worse}, equal for {len(values) - better - worse}." in page
    shown = re.findall(r'<section class="question"><p><strong>(.*?)</strong>', page)
    texts = evaluation.benchmark.queries
    assert shown[0] == texts[first.queries[int(values.argmax())]]
    assert texts[first.queries[int(values.argmin())]] in shown
    assert page.count("<mark") > 3
    assert "✓ first:" in page


def test_which_two_are_compared(evaluation: Evaluation) -> None:
    assert pair_of(evaluation) == (0, 4)
    assert pair_of(evaluation, ("BM25 (MeCab words)", "jacolbert-mini")) == (4, 0)
    with pytest.raises(InputError, match="no system is called 'other'; there are 'jacolbert-mini', "):
        pair_of(evaluation, ("jacolbert-mini", "other"))
    with pytest.raises(InputError, match="does not differ from itself"):
        pair_of(evaluation, ("jacolbert-mini", "jacolbert-mini"))
    alone = replace(evaluation, systems=evaluation.systems[:1], rows=evaluation.rows[:1])
    assert pair_of(alone) is None
    assert "Question by question" not in as_html(alone)


def test_runs_of_others_have_neither_bytes_nor_times(evaluation: Evaluation) -> None:
    evaluator = Evaluator(evaluation.benchmark, measures=["R@1"], timed=0)
    evaluator.add_run(Run("a \x1b[31m<b>", dict.fromkeys(evaluation.benchmark.queries, (("nothing", 1.0),))))
    evaluator.add_run(replace(evaluation.systems[0].run, name="ours"))
    page = as_html(evaluator.result())
    assert "a ␛[31m&lt;b&gt;" in page
    assert 'id="bytes"' not in page
    assert Elements(page).count["svg"] == 1  # the differences


def test_systems_that_do_not_differ(evaluation: Evaluation) -> None:
    evaluator = Evaluator(evaluation.benchmark, measures=["R@1"], timed=0)
    for name in ("a", "b"):
        evaluator.add_run(replace(evaluation.systems[0].run, name=name))
    assert "better for 0 questions, worse for 0, equal for" in as_html(evaluator.result())
