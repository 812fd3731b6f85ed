"""An interrupt at any moment ends a command with status 130, without a traceback, and leaves nothing half-done."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest

from jacolbert_integrations import EdgeStore, JaColBERT
from jacolbert_integrations.cli.main import main

_COMMAND = [sys.executable, "-m", "jacolbert_integrations.cli.process"]
_ENDED = {130, -signal.SIGINT}  # a process that an interrupt ended has the status 130, too, in every shell


def _environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("QDRANT_")}
    return {**clean, "PYTHONPATH": str(Path(__file__).parents[2])}


def _interrupted(folder: Path, after: float, *arguments: str) -> tuple[int, str, str]:
    """The status, output and errors of a command that is interrupted after some seconds, if it still runs then."""
    process = subprocess.Popen(
        [*_COMMAND, *arguments],
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(after)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, output, errors


def _points(folder: Path) -> int:
    with EdgeStore(folder, "documents") as store:
        store.bind(JaColBERT.from_pretrained("jacolbert-mini").identity)
        return store.count()


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number}.txt").write_text(f"{number}番の文である。東京は日本の首都である。" * 20, encoding="utf-8")
    return folder


def test_an_index(texts: Path) -> None:
    work = texts.parent
    before = ["texts"]
    for after in (0.3, 2.0, 4.0, 6.0):
        status, output, errors = _interrupted(
            work, after, "index", "texts", "--model", "jacolbert-mini", "--location", "here", "--batch", "20"
        )
        assert status in _ENDED or (status == 0 and after > 1), errors
        assert "Traceback" not in errors
        assert status or "200 points" in output
        left = sorted(path.name for path in work.iterdir())
        if left == before:
            continue
        # What was written is whole: it can be opened, and has the vectors that belong to it.
        assert 0 < _points(work / "here") <= 200
        before = left  # the next one goes on
    status, output, errors = _interrupted(
        work, 100, "index", "texts", "--model", "jacolbert-mini", "--location", "here", "--batch", "20"
    )
    assert status == 0, errors
    assert "It holds 200 points now." in output


@pytest.mark.parametrize("command", ["search", "demo"])
def test_what_only_reads(tmp_path: Path, mini: JaColBERT, command: str) -> None:
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    work.mkdir()
    temporary.mkdir()
    with EdgeStore(work / "here") as store:
        store.bind(mini.identity)
        store.create()
    arguments = ["search", "猫", "--location", "here"] if command == "search" else ["demo"]
    for after in (0.3, 3.0, 7.0):
        status, output, errors = _interrupted(work, after, *arguments, "--model", "jacolbert-mini")
        assert status in _ENDED or (status == 0 and after > 1 and output), errors
        assert "Traceback" not in errors
        assert [path.name for path in work.iterdir()] == ["here"]
    assert main([*arguments[:2], "--location", str(work / "here")] if command == "search" else ["models"]) == 0


def test_before_anything_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys\nclass Interrupt:\n    def find_spec(self, name, *_):\n"
        "        if name == 'jacolbert_integrations.cli.main':\n            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\nfrom jacolbert_integrations.cli.process import run\nsys.exit(run())"
    )
    done = subprocess.run([sys.executable, "-c", program], env=_environment(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"stopped\n")


def test_a_first_index_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "long.txt").write_text("東京は日本の首都である。" * 500, encoding="utf-8")
    command = ["index", "long.txt", "--model", "jacolbert-mini", "--too-long", "refuse", "--location", "here"]
    assert main(command) == 1
    assert "long.txt" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["long.txt"]
    (tmp_path / "here").mkdir()  # a folder of somebody else stays
    assert main(command) == 1
    assert (tmp_path / "here").is_dir()


def test_an_index_that_fails_keeps_what_it_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "long.txt").write_text("東京は日本の首都である。" * 500, encoding="utf-8")
    (tmp_path / "short.txt").write_text("猫", encoding="utf-8")
    command = ["index", "long.txt", "short.txt", "--model", "jacolbert-mini", "--too-long", "refuse"]
    assert main([*command, "--location", "here"]) == 1
    assert _points(tmp_path / "here") == 1


def test_an_unreachable_server_is_told_of_before_a_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("jacolbert_integrations.cli.index.load", load)
    (tmp_path / "a.txt").write_text("猫", encoding="utf-8")
    with socket.socket() as silent:  # takes connections, and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begun = monotonic()
        assert main(["index", str(tmp_path / "a.txt"), "--location", address]) == 1
        assert monotonic() - begun < 10
    said = capsys.readouterr().err
    assert address in said
    assert "Is a Qdrant server running there" in said
