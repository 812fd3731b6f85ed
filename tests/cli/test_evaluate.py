from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.cli.main import main
from jacolbert_integrations.evaluation.trec import read_run

from ..conftest import JAQUAD_EXCERPT
from ..tiny_models import dense_model, save_cross_encoder


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    """Passages and questions of one's own, and judgments."""
    texts = ["東京は日本の首都である。", "富士山は日本一高い山である。", "猫は小さな動物である。", "寿司は料理である。"]
    questions = ["日本の首都は？", "一番高い山は？", "小さな動物は？"]
    for name, rows in (("passages", texts), ("questions", questions)):
        lines = [json.dumps({"id": f"{name[0]}{i}", "text": text}, ensure_ascii=False) for i, text in enumerate(rows)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "qrels.txt").write_text("q0 0 p0 1\nq1 0 p1 2\nq1 0 p0 0\nq2 0 p2 1\n", encoding="utf-8")
    files = {"passages": "passages.jsonl", "queries": "questions.jsonl", "qrels": "qrels.txt"}
    return [word for option, file in files.items() for word in (f"--{option}", str(tmp_path / file))]


def table(out: str) -> dict[str, list[str]]:
    """The cells of each system."""
    rows = [line for line in out.splitlines() if " to " in line and "p: how" not in line]
    return {row.split("  ")[0]: row.split("  ", 1)[1].split() for row in rows}


def untimed(rows: dict[str, list[str]]) -> dict[str, list[str]]:
    """The same without the milliseconds, which are never the same."""
    return {name: cells[:-1] for name, cells in rows.items()}


def test_of_ones_own(own: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["evaluate", *own, "--measures", "Success@1", "MAP", "--write-runs", str(tmp_path / "runs")]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "questions\n3 questions over 4 passages" in out
    rows = table(out)
    assert set(rows) == {"jacolbert-mini", "BM25 (MeCab words)", "jacolbert-mini, BM25 fused"}
    assert rows["BM25 (MeCab words)"][:2] == ["1.000", "1.000"]
    run = read_run(tmp_path / "runs" / "jacolbert-mini.txt")
    assert run.name == "jacolbert-mini"
    assert set(run.rankings) == {"q0", "q1", "q2"}

    theirs = tmp_path / "theirs.txt"
    theirs.write_text("q0 Q0 p3 1 1.0 other\n", encoding="utf-8")
    assert main([*arguments[:-2], "--runs", str(theirs), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["benchmark"], told["passages"], told["queries"]) == ("questions", 4, 3)
    assert told["systems"]["other"]["measures"]["MAP"]["mean"] == 0
    assert told["systems"]["jacolbert-mini"]["measures"]["Success@1"]["p"] is None
    assert 0 < told["systems"]["other"]["measures"]["Success@1"]["p"] <= 1


def test_of_squad_files_and_several_models(capsys: pytest.CaptureFixture[str], mini: JaColBERT, tmp_path: Path) -> None:
    mini.save_pretrained(tmp_path / "again")
    models = ["jacolbert-mini", str(tmp_path / "again")]
    assert main(["evaluate", *models, "--squad", str(JAQUAD_EXCERPT), "--sample", "20", "--json"]) == 0
    systems = json.loads(capsys.readouterr().out)["systems"]
    assert len(systems) == 5
    means = [systems[name]["measures"]["nDCG@10"]["mean"] for name in ("jacolbert-mini", "again")]
    assert means[0] == pytest.approx(means[1], abs=0.02)
    assert systems["again"]["kind"] == "late interaction"
    assert systems["again"]["bytes_per_passage"] > systems["BM25 (MeCab words)"]["bytes_per_passage"] > 0


def test_what_a_threshold_would_do(own: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", *own, "--threshold", "0", "1.01"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "jacolbert-mini, normalised scores" in out
    rows = [line.split() for line in out.splitlines() if line.startswith(("    0.000", "    1.010"))]
    assert rows[0][:2] == ["0.000", "1.000"]
    assert rows[0][-2:] == ["1.000", "4.0"]
    assert rows[1] == ["1.010", "0.000", "0.000", "0.000", "0.0"]
    assert main([*arguments, "--json"]) == 0
    (cuts,) = json.loads(capsys.readouterr().out)["thresholds"].values()
    assert [cut["kept"] for cut in cuts] == [1, 0]


def test_vectors_are_kept(own: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["evaluate", *own, "--measures", "R@1", "--pooling", "sequential-2"]
    assert main([*arguments, "--cache", str(tmp_path / "cache")]) == 0
    first = capsys.readouterr().out
    assert "jacolbert-mini, sequential-2" in table(first)
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(files) == 4  # passages, questions, and the scores of both settings
    assert main([*arguments, "--cache", str(tmp_path / "cache")]) == 0
    assert untimed(table(capsys.readouterr().out)) == untimed(table(first))
    assert main([*arguments, "--no-cache"]) == 0
    assert untimed(table(capsys.readouterr().out)) == untimed(table(first))


def test_settings_and_other_systems(own: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    dense, reranker = tmp_path / "dense", save_cross_encoder(tmp_path / "reranker")
    dense_model().save(str(dense))
    written = {name: tmp_path / "out" / f"table.{name}" for name in ("html", "markdown", "csv")}
    arguments = ["evaluate", *own, "--measures", "R@1", "--no-times", "--dimensions", "32", "--data-types", "int8"]
    arguments += ["--first-stages", "lexical", "mean", "--candidates", "1", "2", "--query-lengths", "fixed"]
    arguments += ["--dense", str(dense), "--rerankers", str(reranker), "--reranked", "2"]
    assert main([*arguments, *(word for name, file in written.items() for word in (f"--{name}", str(file)))]) == 0
    rows = table(capsys.readouterr().out)
    assert list(rows) == [
        "jacolbert-mini",
        "jacolbert-mini, queries fixed",
        "jacolbert-mini, 32 dimensions",
        "jacolbert-mini, int8",
        "jacolbert-mini, 1 candidates by lexical",
        "jacolbert-mini, 2 candidates by lexical",
        "jacolbert-mini, 1 candidates by mean",
        "jacolbert-mini, 2 candidates by mean",
        "BM25 (MeCab words)",
        "jacolbert-mini, BM25 fused",
        str(dense),
        f"{reranker} reranks 2 of jacolbert-mini",
    ]
    assert written["markdown"].read_text(encoding="utf-8").count("\n| jacolbert-mini") == 9
    cells = list(csv.DictReader(written["csv"].read_text(encoding="utf-8").splitlines()))
    assert [cell["system"] for cell in cells] == list(rows)
    assert float(cells[3]["bytes a passage"]) * 4 == float(cells[0]["bytes a passage"])
    assert "<svg" in written["html"].read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--measures", "nDCG@ten"], "'nDCG@ten' is no measure"),
        (["--passages", "a.jsonl"], "give --passages and --queries"),
        (["--qrels", "a.txt"], "give --passages and --queries"),
        (
            ["--squad", "a.json", "--passages", "a.jsonl", "--queries", "b.jsonl"],
            "give either --squad, or --qa-dataset",
        ),
        (["--runs", "none.txt"], "none.txt cannot be read"),
        (["--sample", "1", "--pooling", "half"], "'half' names no pooling"),
        (["jacolbert-mini", "jacolbert-mini", "--sample", "1"], "a model is named twice"),
        (
            ["--sample", "1", "--candidates", "0", "--first-stages", "mean"],
            "candidates is 0, but it must be at least 1",
        ),
        (["--sample", "1", "--dimensions", "128"], "cannot be cut to 128 dimensions: they have 128"),
    ],
)
def test_bad_input(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["evaluate", *arguments])
    err = capsys.readouterr().err
    assert message in err
    assert status == (2 if err.startswith("usage: jacolbert") else 1)
