"""Every example runs, and prints what it is meant to show."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
SHOWN = {
    "quickstart.py": "東京【は日本】の【首都",
    "llama_index_rag.py": "['イエネコ']",
    "rerank_any_retriever.py": "信濃川である。  (before:",
    "stores.py": "was made by the model 'jacolbert-mini', not by 'another-model'",
}


def test_every_example_is_here() -> None:
    assert sorted(file.name for file in EXAMPLES.glob("*.py")) == sorted(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert SHOWN[name] in capsys.readouterr().out
