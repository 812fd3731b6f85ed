"""What is wrong with a command is said before a model is loaded, or torch imported, which takes seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jacolbert_integrations import EdgeStore, JaColBERT


@pytest.fixture
def without_torch(tmp_path: Path) -> dict[str, str]:
    """An environment in which whoever imports torch fails."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "torch.py").write_text("raise AssertionError('torch was imported')")
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(blocked), root])}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["index", "nosuch.txt"], "nosuch.txt"),
        (["index", "page.docx"], ".docx"),
        (["index", "rows.jsonl", "--text-key", "body"], "'body'"),
        (["search", "猫", "--location", "nowhere"], "there is no folder nowhere"),
        (["search", "猫", "--location", "here", "--collection", "nosuch"], "there is no collection 'nosuch'"),
        (["stats", "nosuch", "--location", "here"], "there is no collection 'nosuch'"),
    ],
)
def test_said_at_once(
    tmp_path: Path, mini: JaColBERT, without_torch: dict[str, str], command: list[str], said: str
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "page.docx").write_bytes(b"PK")
    (work / "rows.jsonl").write_text('{"text": "猫"}\n', encoding="utf-8")
    with EdgeStore(work / "here") as store:
        store.bind(mini.identity)
        store.create()
    before = sorted(work.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "jacolbert_integrations.cli.main", *command],
        cwd=work,
        env=without_torch,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert "torch was imported" not in done.stderr
    assert sorted(work.iterdir()) == before


def test_torch_is_looked_for(without_torch: dict[str, str], tmp_path: Path) -> None:
    """The test above would notice an import."""
    done = subprocess.run(
        [sys.executable, "-c", "import torch"], cwd=tmp_path, env=without_torch, capture_output=True, check=False
    )
    assert b"torch was imported" in done.stderr
