"""``jacolbert index``, again and again over files that change: what is counted, what is named, and what is removed."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from jacolbert_integrations import EdgeStore, JaColBERT
from jacolbert_integrations.cli.main import main

RULES = ["一番目の規則は朝礼である。", "二番目の規則は清掃である。", "三番目の規則は報告である。"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "old.txt").write_text("旧料金は月額980円である。", encoding="utf-8")
    (tmp_path / "docs" / "new.txt").write_text("新料金は月額1200円である。", encoding="utf-8")
    write("rules.jsonl", RULES)
    return tmp_path


def write(name: str, texts: list[str]) -> None:
    Path(name).write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")


def index(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["index", *arguments, "--location", "ix", "--collection", "c"])
    out, err = capsys.readouterr()
    return status, out, err


def texts(mini: JaColBERT) -> set[str]:
    with EdgeStore("ix", "c") as store:
        store.bind(mini.identity)
        return {str(point.payload["text"]) for point in store.points()}


def test_what_is_gone_is_named_and_pruned(mini: JaColBERT, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert index(capsys, "docs", "rules.jsonl")[0] == 0
    before = texts(mini)
    assert len(before) == 5
    (folder / "docs" / "old.txt").unlink()
    write("rules.jsonl", RULES[1:])
    status, out, _ = index(capsys, "docs", "rules.jsonl")
    assert status == 0
    assert "0 documents written" in out  # rows that moved up are the same rows
    assert "3 unchanged" in out
    assert "2 documents are still there whose files or rows are gone. --prune removes them." in out
    assert texts(mini) == before
    _, out, _ = index(capsys, str(folder / "docs"), "./rules.jsonl", "--prune")  # however they are named
    assert "2 documents were removed" in out
    assert texts(mini) == {*RULES[1:], "新料金は月額1200円である。"}
    assert "gone" not in index(capsys, "docs", "rules.jsonl", "--prune")[1]


def test_only_what_was_read_is_pruned(mini: JaColBERT, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    index(capsys, "docs", "rules.jsonl")
    (folder / "docs" / "old.txt").unlink()
    assert "removed" not in index(capsys, "rules.jsonl", "--prune")[1]
    (folder / "rules.jsonl").write_text("{\n", encoding="utf-8")  # of a file with faults nothing is known to be gone
    assert "removed" not in index(capsys, "rules.jsonl", "--prune", "--skip-bad-rows")[1]
    assert len(texts(mini)) == 5


def test_a_deleted_file_that_is_named_is_gone(
    mini: JaColBERT, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    index(capsys, "docs/old.txt", "docs/new.txt")
    (folder / "docs" / "old.txt").unlink()
    status, out, err = index(capsys, "docs/old.txt", "docs/new.txt", "--prune")
    assert (status, "1 documents were removed" in out, "old.txt" in err) == (1, True, True)
    assert texts(mini) == {"新料金は月額1200円である。"}


def test_all_that_is_named_is_gone(mini: JaColBERT, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    index(capsys, "docs/old.txt", "docs/new.txt")
    (folder / "docs" / "old.txt").unlink()
    status, out, err = index(capsys, "docs/old.txt")
    assert (status, "old.txt" in err) == (1, True)
    status, out, err = index(capsys, "docs/old.txt", "--skip-bad-rows")
    assert (status, out, err.count("not written")) == (0, "", 1)
    assert len(texts(mini)) == 2
    status, out, err = index(capsys, "docs/old.txt", "--prune")
    assert (status, "1 documents were removed" in out, "old.txt" in err) == (1, True, True)
    assert texts(mini) == {"新料金は月額1200円である。"}


def test_what_another_roots_files_have_left_stays(
    mini: JaColBERT, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    for name, rule in zip("ab", RULES, strict=False):
        (folder / name).mkdir()
        write(f"{name}/data.jsonl", [rule])
        status, out, _ = index(capsys, f"{name}/data.jsonl", "--root", name, "--prune")
        assert (status, "removed" in out) == (0, False)
    assert texts(mini) == set(RULES[:2])


def test_from_another_folder_the_root_is_the_recorded_one(
    mini: JaColBERT, capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(capsys, "docs")
    monkeypatch.chdir(folder / "docs")
    main(["index", "new.txt", "old.txt", "--location", str(folder / "ix"), "--collection", "c"])
    assert "2 unchanged" in capsys.readouterr().out


def test_folders_with_files_of_one_name(mini: JaColBERT, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    years = {"2023": ["東京は首都である。", "猫は動物である。"], "2024": ["大阪は町である。", "猫は動物である。"]}
    for name, rows in years.items():
        (folder / name).mkdir()
        write(f"{name}/data.jsonl", [*rows, rows[0]])
    status, out, _ = index(capsys, "2023", "2024")
    assert status == 0
    assert "2 rows were the same as one before them" in out
    assert "It holds 4 points now." in out


def test_bad_rows_and_files_are_named_and_the_others_written(
    mini: JaColBERT, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    named = [
        ("1", "東京は首都である。"),
        ("2", "旅\ud83d"),
        ("1", "大阪は町である。"),
        ("3", "猫は動物である。"),
        ("4", " "),
    ]
    rows = [{"id": identity, "text": text} for identity, text in named]
    (folder / "a.jsonl").write_text("{\n" + "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "empty.txt").touch()
    status, out, err = index(capsys, "a.jsonl", "empty.txt", "missing.jsonl")
    assert status == 1
    assert "2 documents written" in out
    for told in (
        "'a.jsonl, line 1'",
        "'1': its id was there before",
        "'4': it has no text",
        "'empty.txt': it has no text",
        "'missing.jsonl'",
        "'2': it has a payload that is not JSON-serialisable",
    ):
        assert f"not written: {told}" in err
    assert texts(mini) == {"東京は首都である。", "猫は動物である。"}
    (folder / "a.jsonl").write_text("{\n" + json.dumps(rows[0]) + "\n", encoding="utf-8")
    status, _, err = index(capsys, "a.jsonl", "--skip-bad-rows")
    assert (status, "1 rows or files were left out" in err) == (0, True)


def test_tables_with_other_names(mini: JaColBERT, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "表.CSV").write_text("番号,本文,年\n7,東京は首都である。,2024\n", encoding="cp932")
    status, out, _ = index(capsys, "表.CSV", "--text-key", "本文", "--id-key", "番号")
    assert (status, "1 documents written" in out) == (0, True)
    with EdgeStore("ix", "c") as store:
        store.bind(mini.identity)
        point = store.get(["7"])["7"]
    assert (point.payload["text"], point.payload["年"]) == ("東京は首都である。", "2024")
    assert index(capsys, "表.CSV", "--encoding", "utf-8")[0] == 1


def test_what_takes_the_place_of_another_is_counted(
    mini: JaColBERT, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "one.csv").write_text("id,text\na,一番目の規則である。\nb,二番目の規則である。\n", encoding="utf-8")
    (folder / "two.csv").write_text("id,text\na,別の規則である。\n", encoding="utf-8")
    assert "replaced" not in index(capsys, "one.csv")[1]
    assert "1 documents written" in (out := index(capsys, "two.csv")[1])
    assert "of which 1 replaced what was there under their id" in out
    assert texts(mini) == {"別の規則である。", "二番目の規則である。"}


def test_pruning_keeps_a_file_of_a_decomposed_name(
    mini: JaColBERT, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    name = folder / "docs" / unicodedata.normalize("NFD", "がいど.txt")
    name.write_text("案内である。", encoding="utf-8")
    index(capsys, "docs")
    name.write_bytes(b"\xff\xff\xff")
    index(capsys, "docs", "--prune", "--skip-bad-rows")
    assert "案内である。" in texts(mini)


def test_on_a_terminal_the_time_that_is_left_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "長.txt").write_text("富士山は日本で一番高い山である。" * 600, encoding="utf-8")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("jacolbert_integrations.qdrant.write_progress._DELAY", 0.0)
    assert main(["index", "長.txt", "--batch", "4", "--model", "jacolbert-mini"]) == 0
    captured = capsys.readouterr()
    assert "1 documents written in" in captured.out
    assert "windows" in captured.out
    assert "Writing to Qdrant: 14 passages, " in captured.err
    assert "100 %" in captured.err
    assert "left" in captured.err
