from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.cli.main import main
from jacolbert_integrations.errors import BenchmarkError, InputError, MissingExtraError
from jacolbert_integrations.evaluation.benchmark import Benchmark
from jacolbert_integrations.evaluation.evaluation import Evaluator
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.evaluation.mteb_tasks import jsquad_task
from jacolbert_integrations.evaluation.named import BENCHMARKS, PAPER, PUBLISHED, load_named
from jacolbert_integrations.text.squad import QuestionSet

from .hub_layout import CANDIDATES, PASSAGES, QUERIES, read_from, write_copy

mteb = pytest.importorskip("mteb")  # it needs Python 3.11
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)

LAYOUTS: dict[str, dict[str, str]] = {
    "miracl-hard": {"config": "ja", "": "dev"},
    "miracl": {"config": "ja", "": "dev"},
    "esci": {"config": "jp"},
    "mrtydi": {"config": "japanese", "corpus": "train"},
}
"""Where a benchmark is for several languages: the name of ours, and splits that are not called test."""

RERANKING = ("jqara", "jacwir", "esci")


def copy_of(name: str, folder: Path) -> Path:
    splits = dict(LAYOUTS.get(name, {}))
    config = splits.pop("config", None)
    return write_copy(folder, config=config, splits=splits, candidates=name in RERANKING)


@pytest.mark.parametrize("name", [name for name, named in BENCHMARKS.items() if named.task is not None])
def test_each_is_read_from_its_layout(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_from(copy_of(name, tmp_path / "copy"), monkeypatch)
    found = load_named(name)
    assert found.name == BENCHMARKS[name].title
    assert found.passages == {passage: f"{title} {text}".strip() for passage, (title, text) in PASSAGES.items()}
    assert found.queries == {query: QUERIES[query] for query in ("q1", "q2")}  # nothing answers the third
    assert found.qrels == {"q1": {"p1": 1, "p2": 0}, "q2": {"p2": 2}}
    expected = {query: CANDIDATES[query] for query in ("q1", "q2")} if name in RERANKING else None
    assert found.candidates == expected


def test_candidates_alone_are_ranked(mini: JaColBERT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_from(copy_of("jqara", tmp_path / "copy"), monkeypatch)
    benchmark = load_named("jqara")
    evaluator = Evaluator(benchmark, measures=["nDCG@10"])
    evaluator.add_model(mini)
    evaluator.add_bm25()
    ours, words = evaluator.result().systems
    for system in (ours, words):
        assert {query: {p for p, _ in own} for query, own in system.run.rankings.items()} == {
            query: set(own) for query, own in (benchmark.candidates or {}).items()
        }
    for query, ranking in ours.run.rankings.items():
        own = [passage for passage, _ in ranking]
        scores = mini.score([benchmark.queries[query]], [benchmark.passages[passage] for passage in own])[0]
        assert [score for _, score in ranking] == pytest.approx(scores.tolist(), abs=1e-4)
        assert sorted(scores, reverse=True) == pytest.approx(scores.tolist(), abs=1e-4)


def test_the_table_of_the_paper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read_from(copy_of("jqara", tmp_path / "copy"), monkeypatch)  # the layout of JaCWIR, too
    arguments = ["evaluate", "--benchmark", "paper", "--sample", "3", "--no-times", "--no-cache"]
    written = {name: tmp_path / f"table.{name}" for name in ("markdown", "csv")}
    assert main([*arguments, *(word for name, file in written.items() for word in (f"--{name}", str(file)))]) == 0
    out = capsys.readouterr().out
    head, ours, *_ = out.splitlines()
    assert head.split("  ")[-1].strip() == "mean"
    assert ours.startswith("jacolbert-mini ")
    assert ours.split()[-5:] == ["–", "1.000", "1.000", "–", "–"]
    assert "published: JaColBERTv2.5" in out
    assert "MIRACL-ja, hard negatives" in out
    assert "cannot be loaded: " in out
    assert "JaCWIR is not comparable with what is published: the paper's figures were made without the models'" in out
    assert "JaColBERTv2.5 0.642" in out
    assert written["markdown"].read_text(encoding="utf-8").startswith("|  | JSQuAD R@3 |")
    assert "jacolbert-mini," in written["csv"].read_text(encoding="utf-8")
    assert main([*arguments, "--json", "--write-runs", str(tmp_path / "runs")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["benchmarks"]["jqara"]["evaluation"]["systems"]["jacolbert-mini"]["measures"]["nDCG@10"]["mean"] == 1
    assert told["means"]["jacolbert-mini"] is None
    assert (tmp_path / "runs" / "jqara" / "jacolbert-mini.txt").is_file()


def test_published_means() -> None:
    """As the paper gives them, but for rounding."""
    means = {name: sum(own.values()) / len(PAPER) for name, own in PUBLISHED.items()}
    expected = {"JaColBERT v1": 0.683, "JaColBERTv2": 0.720, "JaColBERTv2.4": 0.745, "JaColBERTv2.5": 0.752}
    assert {name: means[name] for name in expected} == pytest.approx(expected, abs=6e-4)


def test_one_benchmark_has_all_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert main(["evaluate", "--benchmark", "jsquad", "--sample", "5", "--no-times", "--html", str(page)]) == 0
    out = capsys.readouterr().out
    assert "5 questions over 1,145 passages" in out
    assert "R@3  nDCG@10" in out
    assert "JSQuAD" in page.read_text(encoding="utf-8")


def test_jsquad_in_mteb_measures_the_same(mini: JaColBERT) -> None:
    whole = load_jsquad()
    passages = whole.passages[:20]
    ids = {passage.id for passage in passages}
    part = QuestionSet(passages, [question for question in whole.questions if question.passage_id in ids])
    result = mteb.evaluate(mini.model, jsquad_task(part), cache=None, co2_tracker=False, show_progress_bar=False)
    (scores,) = result[0].scores["validation"]
    evaluator = Evaluator(Benchmark.of_questions("part", part), measures=["nDCG@10", "R@3"], timed=0)
    evaluator.add_model(mini)
    measured = evaluator.result().rows[0].measured
    assert scores["ndcg_at_10"] == pytest.approx(measured.mean("nDCG@10"), abs=1e-4)
    assert scores["recall_at_3"] == pytest.approx(measured.mean("R@3"), abs=1e-4)


def test_what_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="there is no benchmark 'beir'; there are paper, jsquad, "):
        load_named("beir")
    damaged = copy_of("jqara", tmp_path / "damaged")
    lines = (damaged / "top_ranked.jsonl").read_text(encoding="utf-8").replace("p3", "p9")
    (damaged / "top_ranked.jsonl").write_text(lines, encoding="utf-8")
    with monkeypatch.context() as patch:
        read_from(damaged, patch)
        with pytest.raises(BenchmarkError, match=r"JQaRA is not whole: JQaRA: \d candidates are of no passage, .*'p9'"):
            load_named("jqara")
    interrupted = copy_of("jqara", tmp_path / "interrupted")
    (interrupted / "corpus.jsonl").unlink()
    read_from(interrupted, monkeypatch)
    with pytest.raises(BenchmarkError, match=r"cannot be loaded: .*a download that was interrupted goes on"):
        load_named("jqara")
    assert main(["evaluate", "--benchmark", "jqara", "jacwir"]) == 1
    assert "none of 2 benchmarks can be had" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--benchmark", "jsquad", "jsquad"], "a benchmark is named twice"),
        (["--benchmark", "paper", "--html", "a.html"], "--html goes with one benchmark, but 5 are named"),
        (["--benchmark", "jsquad", "--squad", "a.json"], "give either --benchmark, or passages and questions"),
    ],
)
def test_bad_input(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["evaluate", *arguments])
    err = capsys.readouterr().err
    assert message in err
    assert status == (2 if err.startswith("usage: jacolbert") else 1)


def test_without_mteb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(MissingExtraError, match="'mteb' is not installed"):
        load_named("jqara")
    with pytest.raises(MissingExtraError, match="'mteb' is not installed"):
        jsquad_task()
