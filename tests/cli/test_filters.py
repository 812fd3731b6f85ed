"""``--filter``, in a search and for deleting, and questions from elsewhere."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from jacolbert_integrations.cli.filters import filter_of
from jacolbert_integrations.cli.main import main
from jacolbert_integrations.errors import InputError
from jacolbert_integrations.types import Condition, Filter

ROWS = [
    {"id": "tokyo", "text": "東京は日本の首都である。", "payload": {"year": 2020, "kind": "都市", "code": "007"}},
    {"id": "fuji", "text": "富士山は日本で一番高い山である。", "payload": {"year": 2021, "kind": "山"}},
    {"id": "biwa", "text": "琵琶湖は日本で一番大きな湖である。", "payload": {"year": 2022, "kind": "湖", "deep": True}},
]


@pytest.fixture
def indexed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QDRANT_URL", raising=False)
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS), encoding="utf-8")
    assert main(["index", "rows.jsonl"]) == 0
    capsys.readouterr()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("year=2020", Condition("year", "==", 2020)),
        ("share >= -0.5", Condition("share", ">=", -0.5)),
        ("code=007", Condition("code", "==", "007")),
        ('code="7"', Condition("code", "==", "7")),
        ('said=""quoted""', Condition("said", "==", '"quoted"')),
        ("deep!=true", Condition("deep", "!=", True)),
        ("day<2020-01-31", Condition("day", "<", "2020-01-31")),
        ("title~a=b", Condition("title", "text_match", "a=b")),
        ("source.file=a.txt", Condition("source.file", "==", "a.txt")),
        ("kind=", Condition("kind", "is_empty")),
    ],
)
def test_what_is_meant(text: str, expected: Condition) -> None:
    assert filter_of([text]) == Filter([expected])


def test_none_and_several() -> None:
    assert filter_of([]) is None
    assert filter_of(["a=1", "b=2"]) == Filter([Condition("a", "==", 1), Condition("b", "==", 2)])
    for text in ("year", "", "=2020", "年"):
        with pytest.raises(InputError, match="--filter takes KEY=VALUE"):
            filter_of([text])


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["year>=2021"], {"fuji", "biwa"}),
        (["year>=2021", "kind!=湖"], {"fuji"}),
        (["code=007"], {"tokyo"}),
        (["deep=true"], {"biwa"}),
        (["kind~都"], {"tokyo"}),
        (["deep="], {"tokyo", "fuji"}),
    ],
)
def test_in_a_search(indexed: Path, capsys: pytest.CaptureFixture[str], filters: list[str], expected: set[str]) -> None:
    given = [part for text in filters for part in ("--filter", text)]
    assert main(["search", "日本", "--json", *given]) == 0
    assert {hit["id"] for hit in json.loads(capsys.readouterr().out)["hits"]} == expected


def test_questions_from_elsewhere(
    indexed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (indexed / "questions.txt").write_text("首都は？\r\n\r\n高い山は？\r\n", encoding="utf-8-sig", newline="")
    assert main(["search", "大きな湖は？", "--questions-from", "questions.txt", "--top-k", "1", "--json"]) == 0
    found: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["question"], each["hits"][0]["id"]) for each in found] == [
        ("大きな湖は？", "biwa"),
        ("首都は？", "tokyo"),
        ("高い山は？", "fuji"),
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO("首都は？\n"))
    assert main(["search", "--questions-from", "-", "--top-k", "1", "--text-only"]) == 0
    assert capsys.readouterr().out == "東京は日本の首都である。\n"


def test_delete(indexed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["delete", "--filter", "year<2021"]) == 0
    assert "1 points were removed from documents; it holds 2 points now." in capsys.readouterr().out
    assert main(["delete", "fuji", "no-such-id"]) == 0
    assert "it holds 1 points now" in capsys.readouterr().out
    assert main(["search", "日本", "--json"]) == 0
    assert [hit["id"] for hit in json.loads(capsys.readouterr().out)["hits"]] == ["biwa"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["search"], "ask a question"),
        (["search", "猫", " "], "a question is empty"),
        (["search", "--questions-from", "nosuch.txt"], "nosuch.txt cannot be read"),
        (["search", "猫", "--filter", "year"], "--filter takes KEY=VALUE"),
        (["delete"], "by their ids, or by --filter"),
        (["delete", "fuji", "--filter", "year=2021"], "by their ids, or by --filter"),
        (["delete", "fuji", "--collection", "nosuch"], "there is no collection 'nosuch'"),
    ],
)
def test_bad_input(indexed: Path, capsys: pytest.CaptureFixture[str], command: list[str], said: str) -> None:
    status = main(command)
    err = capsys.readouterr().err
    assert said in err
    assert status == (2 if err.startswith("usage: jacolbert") else 1)
