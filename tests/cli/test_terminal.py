"""Strangers' text on a terminal: no command prints anything of it that a terminal would act on."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacolbert_integrations.cli.main import main
from jacolbert_integrations.cli.terminal import HarmlessFormatter, say, say_json
from jacolbert_integrations.text.harmless import harmless

# clears the screen, sets the clipboard, colours, turns text around, sets the title ...
EVIL = "\x1b[2J\x1b]52;c;cm0gLXJm\x07\x9b31m\x00\x08\r\x7f\x85\u2028\u202e逆\u2066\u200f\u061c\ufeff\x1b]0;題\x1b\\"
ACTED_ON = {
    *map(chr, [*range(0x09), 0x0B, 0x0C, *range(0x0D, 0x20), *range(0x7F, 0xA0)]),
    *"\u061c\u200e\u200f\u2028\u2029\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
}


def clean(output: str) -> bool:
    return not ACTED_ON & set(output)


@given(st.text(st.characters(min_codepoint=0, max_codepoint=0x2070) | st.sampled_from("\ud800猫\ufeff")))
def test_harmless_text_keeps_its_length_and_the_rest(text: str) -> None:
    shown = harmless(text)
    assert clean(shown)
    assert len(shown) == len(text)
    shown.encode("utf-8")
    assert all(a == b or a in ACTED_ON or "\ud800" <= a <= "\udfff" for a, b in zip(text, shown, strict=True))
    assert harmless(shown) == shown


def test_what_is_seen_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[31mb\tc\nd\x7f\x9b")
    assert capsys.readouterr().out == "a␛[31mb\tc\nd␡\ufffd\n"


@given(st.text(), st.text())
def test_json_stays_exact(key: str, value: str) -> None:
    import io
    from contextlib import redirect_stdout

    written = io.StringIO()
    with redirect_stdout(written):
        say_json({key: [value, EVIL]})
    assert clean(written.getvalue())
    assert json.loads(written.getvalue()) == {key: [value, EVIL]}


def test_log_lines() -> None:
    record = logging.LogRecord("name", logging.WARNING, "file", 1, "the point %s", (EVIL,), None)
    assert clean(HarmlessFormatter().format(record))


def test_every_command_that_shows_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        {
            "id": f"記事{EVIL}{i}",
            "text": f"東京は日本の首都である。{EVIL}" + "長い文である。" * 5,
            "payload": {f"k{EVIL}": EVIL},
        }
        for i in range(3)
    ]
    rows.append({"id": f"bad{EVIL}", "text": "", "payload": {}})
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    printed = {}

    def run(name: str, *arguments: str) -> int:
        status = main([*arguments])
        captured = capsys.readouterr()
        printed[name] = captured.out + captured.err
        return status

    assert run("index", "index", "rows.jsonl", "--location", "ix", "--collection", "c") == 1  # one row has no text
    assert run("search", "search", f"首都はどこですか{EVIL}", "--location", "ix", "--collection", "c") == 0
    assert run("stats", "stats", "--location", "ix") == 0
    assert run("export", "export", "--location", "ix", "--collection", "c", "--output", "a.zip") == 0
    assert run("import", "import", "a.zip", "--location", "ix", "--collection", "d") == 0
    assert run("reindex", "reindex", "c", "e", "--location", "ix") == 0
    assert run("missing", "search", "首都", "--location", f"none{EVIL.replace(chr(0), '')}") == 1
    assert run("json", "search", f"首都{EVIL}", "--location", "ix", "--collection", "c", "--json") == 0
    assert {name: text for name, text in printed.items() if not clean(text)} == {}
    assert json.loads(printed["json"])["question"] == f"首都{EVIL}"
    assert json.loads(printed["json"])["hits"][0]["payload"][f"k{EVIL}"] == EVIL
    assert "␛[2J" in printed["search"]
    assert "not written: 'bad" in printed["index"]
