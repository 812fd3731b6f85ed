"""What is not installed is named with the line that installs it; and the lowest versions are those of the bounds."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent

WITHOUT: dict[str, tuple[str, str, str]] = {
    "edge": ("qdrant_edge", "edge", "from jacolbert_integrations import EdgeStore"),
    "edge by its place": (
        "qdrant_edge",
        "edge",
        "from jacolbert_integrations.locations import open_store; open_store('x', 'c')",
    ),
    "measures": (
        "ir_measures",
        "evaluation",
        "from jacolbert_integrations.evaluation.measures import parse_measures; parse_measures(['R@1'])",
    ),
    "bm25": ("bm25s", "evaluation", "from jacolbert_integrations.evaluation.bm25 import BM25; BM25(['猫'])"),
}
TRAINING = (
    "from jacolbert_integrations.training.batches import example_dataset; "
    "from jacolbert_integrations.training.records import Example; "
    "example_dataset([Example('問い', ('答え', '別'))], 2, scores=False)"
)


def told(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "MissingExtraError" in done.stderr, done.stderr
    return done.stderr


@pytest.mark.parametrize(("module", "extra", "code"), WITHOUT.values(), ids=WITHOUT.keys())
def test_a_missing_extra_gives_its_install_line(module: str, extra: str, code: str, tmp_path: Path) -> None:
    """As in an environment without it: also where it is installed."""
    error = told(f"import sys; sys.modules[{module!r}] = None; {code}", tmp_path)
    assert f'pip install "jacolbert-integrations[{extra}]"' in error


@pytest.mark.skipif(find_spec("datasets") is not None, reason="`make test-lowest` runs it: datasets is installed here")
def test_training_without_its_extra(tmp_path: Path) -> None:
    assert 'pip install "jacolbert-integrations[training]"' in told(TRAINING, tmp_path)


def test_the_lowest_versions_are_those_of_the_bounds() -> None:
    pyproject = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    bounds = pyproject.split("\ndependencies = [")[1].split("]")[0]
    dependencies = re.findall(r'^    "([a-z-]+)>=([0-9.]+)', bounds, re.MULTILINE)
    lowest = re.findall(
        r"^([a-z-]+)==([0-9.]+)$", (REPOSITORY / "lowest.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert dependencies == lowest
    exact = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    assert {name for name, _ in dependencies} <= set(re.findall(r"^([a-z-]+)==", exact, re.MULTILINE))
