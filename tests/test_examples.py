"""Every example runs, and prints what it is meant to show."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import JAQUAD_EXCERPT

EXAMPLES = Path(__file__).parent.parent / "examples"
SHOWN = {
    "quickstart.py": "東京は【日本の首都で】あり",
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


@pytest.mark.parametrize("name", SHOWN)
def test_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert SHOWN[name] in capsys.readouterr().out


def test_post_training(tmp_path: Path) -> None:
    commands = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "STEPS": "2"}
    data = [JAQUAD_EXCERPT, EXAMPLES / "data" / "jaquad-dev-excerpt.json"]
    command = ["bash", str(EXAMPLES / "post_training.sh"), *map(str, data), str(tmp_path / "work")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    merge = json.loads((tmp_path / "work" / "merged" / "merge.json").read_text(encoding="utf-8"))
    assert [member["name"] for member in merge["members"]] == ["base", "post"]
    assert "439 examples, recipe v2.5, starting from base" in done.stdout
    assert done.stdout.splitlines()[-4].startswith("merged ")
