from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.cli.main import main
from jacolbert_integrations.explaining import explain

QUERY, PASSAGE = "日本の首都はどこですか。", "東京は日本の首都である。\x1b[2J"


def test_in_the_terminal(capsys: pytest.CaptureFixture[str], mini: JaColBERT) -> None:
    assert main(["explain", QUERY, PASSAGE]) == 0
    marked, _, *lines = capsys.readouterr().out.splitlines()
    explained = explain(mini, QUERY, PASSAGE)
    assert "首都" in marked
    assert "【" in marked
    assert "\x1b" not in marked
    assert lines[0].startswith(f"score {explained.score:.2f} = ")
    assert len(lines) == 1 + len(explained.contributions)


def test_as_json_and_as_a_page(capsys: pytest.CaptureFixture[str], mini: JaColBERT, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert main(["explain", QUERY, PASSAGE, "--json", "--html", str(page), "--pooling", "hierarchical-2"]) == 0
    told = json.loads(capsys.readouterr().out)
    pooled = JaColBERT(mini.model, name="mini", pooling="hierarchical-2")
    assert told["score"] == pytest.approx(explain(pooled, QUERY, PASSAGE).score)
    text = page.read_text(encoding="utf-8")
    assert text.count("<tr>") == 1 + len(told["contributions"])
    assert "<mark" in text


def test_a_passage_from_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("東京は首都。"))
    assert main(["explain", "首都", "-", "--json", "--query-length", "unpadded"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["document"] == "東京は首都。"
    assert told["by_kind"]["mask"] == 0


def test_a_page_that_cannot_be_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["explain", QUERY, PASSAGE, "--html", str(tmp_path / "no" / "page.html")]) == 1
    assert "page.html cannot be written: No such file" in capsys.readouterr().err
