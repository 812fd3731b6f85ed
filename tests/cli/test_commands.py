from __future__ import annotations

import json
from pathlib import Path

import pytest

from jacolbert_integrations import __version__, qdrant
from jacolbert_integrations.cli.main import main
from jacolbert_integrations.cli.report import metrics_table
from jacolbert_integrations.errors import MissingExtraError
from jacolbert_integrations.evaluation.metrics import metrics_of_ids


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["demo", "--sample", "40", "--show", "2", "--path", str(tmp_path / "collection")]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "CC BY-SA 4.0" in out
    assert "Indexing: 1,145 passages in" in out
    assert out.count("\nQ: ") == 2
    assert "【" in out
    assert "1.*" in out
    assert "40 questions, chosen at random, over all 1,145 passages" in out
    table = {line.split("  ")[0].strip(): line.split()[-4:] for line in out.splitlines() if line.count("0.") >= 4}
    assert set(table) == {"jacolbert-mini", "BM25 (MeCab words)"}
    assert float(table["jacolbert-mini"][0]) >= 0.7
    assert "A query took" in out

    assert main(arguments) == 0  # the collection is reused, and ranks the same
    again = capsys.readouterr().out
    assert "the collection is there already" in again
    assert [line for line in again.splitlines() if line.startswith("jacolbert-mini")] == [
        line for line in out.splitlines() if line.startswith("jacolbert-mini")
    ]


def test_demo_without_edge(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def missing(name: str) -> object:
        raise MissingExtraError("qdrant-edge-py", "edge")

    monkeypatch.delitem(vars(qdrant), "EdgeStore", raising=False)
    monkeypatch.setattr(qdrant, "__getattr__", missing)
    assert main(["demo", "--sample", "5", "--show", "1"]) == 0
    out = capsys.readouterr().out
    assert "kept in memory, not in Qdrant, and gone at the end. 'qdrant-edge-py' is not installed" in out
    assert "exact MaxSim in memory" in out
    assert "5 questions, chosen at random, over all 1,145 passages" in out


def test_evaluate(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--json", "--sample", "30"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["benchmark"], result["passages"], result["queries"]) == ("JSQuAD valid", 1145, 30)
    mini = result["systems"]["jacolbert-mini"]
    assert mini["measures"]["R@10"]["mean"] > 0.8
    low, high = mini["measures"]["nDCG@10"]["interval"]
    assert low < mini["measures"]["nDCG@10"]["mean"] < high
    assert main(["evaluate", "--query-length", "paper", "--sample", "5"]) == 0
    out = capsys.readouterr().out
    assert "CC BY-SA 4.0" in out
    assert "5 questions over 1,145 passages" in out
    assert "BM25 (MeCab words)" in out


def test_errors_are_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["evaluate", str(tmp_path / "none")]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("jacolbert evaluate: ")
    assert "is no directory" in captured.err
    assert "Traceback" not in captured.err


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"jacolbert {__version__}"
    with pytest.raises(SystemExit, match="2"):
        main([])


def test_a_table_by_hand() -> None:
    table = metrics_table(
        {"one": metrics_of_ids([["a"], []], ["a", "b"]), "other": metrics_of_ids([["x", "a"]] * 2, ["a", "a"])}
    )
    assert table.splitlines() == [
        "          R@1     R@5    R@10   MRR@10",
        "one     0.500   0.500   0.500    0.500",
        "other   0.000   1.000   1.000    0.500",
    ]
