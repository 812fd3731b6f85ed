"""Every example runs, and prints what it is meant to show."""

from __future__ import annotations

import json
import os
import runpy
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from jacolbert_integrations import JaColBERT, __version__
from jacolbert_integrations.cli.main import main
from jacolbert_integrations.training.outcome import TrainingResult
from jacolbert_integrations.training.recipes import Recipe
from jacolbert_integrations.training.records import Example
from jacolbert_integrations.training.run import train

from ..conftest import JAQUAD_EXCERPT

EXAMPLES = Path(__file__).parents[2] / "examples"
SHOWN = {
    "quickstart.py": "東京は【日本】の【首都】であり",
    "rag.py": "青函トンネル: 2016年3月には北海道新幹線が開業",
    "hybrid_reranking.py": "信濃川: 全長は367キロメートルで、日本で一番長い。\nMaxSim",
    "chat_with_filters.py": "社員: 給与はいつ支払われますか。 -> 休暇規程",
    "rerank_any_retriever.py": "信濃川である。  (before:",
    "train.py": "199 questions that it was not trained on:",
    "stores.py": "was made by the model 'jacolbert-mini', not by 'another-model'",
}


def test_every_example_is_here() -> None:
    elsewhere = ["ray_indexing.py"]  # test_ray.py, for those who have Ray
    assert sorted(file.name for file in EXAMPLES.glob("*.py")) == sorted([*SHOWN, *elsewhere])
    assert [file.name for file in EXAMPLES.glob("*.sh")] == ["post_training.sh"]


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """An example that trains learns little here; how well models learn is seen in test_training_run.py."""

    def briefly(model: JaColBERT, examples: Sequence[Example], folder: str, recipe: Recipe) -> TrainingResult:
        return train(model, examples, folder, recipe.change(steps=4, warmup_steps=1))

    monkeypatch.setattr("jacolbert_integrations.training.run.train", briefly)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("name", SHOWN)
def test_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert SHOWN[name] in capsys.readouterr().out


ASKING = """#!/usr/bin/env bash
printf '%q ' "$PWD" "$@" >&$ASK && echo >&$ASK && read -r status <&$ANSWER && exit $status
"""


def test_post_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Bash runs the script, and this process its commands, so that torch is not loaded for each of them."""
    old, new = articles(JAQUAD_EXCERPT, 3, 6), articles(EXAMPLES / "data" / "jaquad-dev-excerpt.json", 0, 2)
    (tmp_path / "old.json").write_text(json.dumps(old), encoding="utf-8")
    (tmp_path / "new.json").write_text(json.dumps(new), encoding="utf-8")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "jacolbert").write_text(ASKING)
    (tmp_path / "bin" / "jacolbert").chmod(0o755)
    asked, ask = os.pipe()
    answer, answered = os.pipe()
    environment = os.environ | {"ASK": str(ask), "ANSWER": str(answer), "STEPS": "2"}
    environment["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{environment['PATH']}"
    command = ["bash", str(EXAMPLES / "post_training.sh")]
    command += [str(tmp_path / name) for name in ("old.json", "new.json", "work")]
    output, ran = tmp_path / "output.txt", []
    with (
        output.open("wb") as said,
        subprocess.Popen(command, env=environment, pass_fds=(ask, answer), stdout=said, stderr=said) as script,
    ):
        os.close(ask)
        os.close(answer)
        with os.fdopen(asked) as questions, os.fdopen(answered, "w", buffering=1) as answers:
            for question in questions:
                where, *arguments = shlex.split(question)
                monkeypatch.chdir(where)
                ran.append(arguments[0])
                print(main(arguments), file=answers)
    shown = capsys.readouterr()
    assert script.returncode == 0, output.read_text(encoding="utf-8") + shown.err
    assert ran == ["train", "negatives", "negatives", "teach", "teach", "train", "merge", "evaluate"]
    merge = json.loads(output.read_text(encoding="utf-8"))  # what the script shows of it
    assert [member["name"] for member in merge["members"]] == ["base", "post"]
    assert "102 examples, recipe pairs, starting from jacolbert-mini" in shown.out
    assert "47 examples, recipe v2.5, starting from base" in shown.out  # 43, and a tenth as many of the old
    assert [line.split()[0] for line in shown.out.splitlines()[-5:-2]] == ["merged", "BM25", "merged,"]


def articles(file: Path, first: int, end: int) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content | {"data": content["data"][first:end]}


def test_the_command_is_installed() -> None:
    command = Path(sys.executable).parent / "jacolbert"
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"jacolbert {__version__}\n"
