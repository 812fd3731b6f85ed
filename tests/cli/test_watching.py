"""``jacolbert index --watch``: what has changed is indexed again, and an interrupt ends it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jacolbert_integrations import EdgeStore, JaColBERT
from jacolbert_integrations.cli import index, watching
from jacolbert_integrations.cli.main import main
from jacolbert_integrations.cli.watching import Seen, changes, seen


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "猫.txt").write_text("猫は魚を食べる。", encoding="utf-8")
    return notes


def test_what_is_seen(notes: Path, tmp_path: Path) -> None:
    before = seen([notes])
    assert list(before) == [str(notes / "猫.txt")]
    assert seen([tmp_path / "nosuch"]) == {}
    (notes / "猫.txt").write_text("猫は肉も食べる。たくさん。", encoding="utf-8")
    assert seen([notes]) != before


def test_a_change_is_told_once_it_has_settled(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = iter(["一", "一二", "一二三"])

    def passes(_: float) -> None:  # in each second, somebody goes on writing for a while
        if (text := next(written, None)) is not None:
            (notes / "犬.txt").write_text(text, encoding="utf-8")

    monkeypatch.setattr(watching, "sleep", passes)
    told = changes([notes], seen([notes]))
    now = next(told)
    assert now[str(notes / "犬.txt")][1] == len("一二三".encode())


def test_watch(
    notes: Path, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []

    def changed(paths: list[Path], before: Seen) -> Iterator[Seen]:
        assert paths == [Path("notes")]
        assert list(before) == [str(Path("notes", "猫.txt"))]
        (notes / "犬.txt").write_text("犬は散歩が好きだ。", encoding="utf-8")
        yield {}
        said.append(capsys.readouterr().out)
        (notes / "悪.txt").write_bytes(b"\xff\xfe\x00\xd8bad")  # half a file
        (notes / "猫.txt").unlink()
        yield {}
        raise KeyboardInterrupt

    monkeypatch.setattr(index, "changes", changed)
    status = main(["index", "notes", "--watch", "--prune", "--model", "jacolbert-mini", "--batch-tokens", "256"])
    captured = capsys.readouterr()
    assert status == 130
    assert "stopped" in captured.err
    assert "Watching for changes" in said[0]
    assert "It holds 2 points now." in said[0]
    assert "1 documents were removed: their files or rows are gone." in captured.out
    with EdgeStore("jacolbert-index", "documents") as store:
        store.bind(mini.identity)
        assert [point.payload["text"] for point in store.points(with_vectors=False)] == ["犬は散歩が好きだ。"]
