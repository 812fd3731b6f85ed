"""How commands are used wrong: the usage of the command, not of all, and status 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from jacolbert_integrations.cli.main import main

WRONG = [
    (["search", "猫", "--top-n", "3"], "unrecognized arguments: --top-n 3"),
    (["search", "猫", "--top-k", "0"], "'0' is no whole number from 1 on"),
    (["search", "猫", "--limit", "x"], "'x' is no whole number from 1 on"),
    (["search", "猫", "--candidates", "-1"], "'-1' is no whole number from 1 on"),
    (["search", "猫", "--score-threshold", "high"], "invalid float value: 'high'"),
    (["search", "猫", "--json", "--text-only"], "not allowed with argument"),
    (["search", "猫", "--query-length", "long"], "invalid choice: 'long'"),
    (["search"], "ask a question"),
    (["search", "猫", "--header", "A=env:B", "--header", "A=env:C"], "names the same header twice"),
    (["index"], "the following arguments are required: files"),
    (["index", "a.txt", "--batch-tokens", "0"], "'0' is no whole number from 1 on"),
    (["index", "a.txt", "--first-stage", "dense"], "invalid choice: 'dense'"),
    (["delete"], "say which documents"),
    (["reindex", "a"], "name a new collection to write"),
    (["train"], "give one of --squad"),
    (["teach", "--examples", "a", "--output", "b.jsonl", "--teacher", "oracle"], "--teacher oracle is no teacher"),
]


@pytest.mark.parametrize(("command", "said"), WRONG)
def test_usage(
    command: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jacolbert-index").mkdir()
    (tmp_path / "a.txt").write_text("猫", encoding="utf-8")
    try:
        status: object = main(command)
    except SystemExit as ended:
        status = ended.code
    err = capsys.readouterr().err
    assert status == 2
    assert err.startswith(f"usage: jacolbert {command[0]} ")
    assert said in err


@pytest.mark.parametrize("command", [["index", "a.txt"], ["explain", "猫", "猫は鳴く"], ["reindex", "a", "b"]])
def test_a_device_that_is_not_there(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("猫", encoding="utf-8")
    assert main([*command, "--device", "cuda:99"]) == 1
    assert "there is no device 'cuda:99' here" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
