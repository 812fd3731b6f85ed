"""The wheel holds what an installed package needs, and runs from it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_contents(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in (
        *("py.typed", "cli/demo.py", "data/jsquad-valid-v1.3.json.gz"),
        *(f"models/mini/{name}" for name in ("model.safetensors", "vocab.txt", "artifact.metadata", "README.md")),
        *(f"models/small/{name}" for name in ("model.int8.safetensors", "tokenizer.json", "README.md")),
    ):
        assert f"jacolbert_integrations/{needed}" in names
    assert not any(name.startswith(("tests/", "examples/", "benchmarks/")) for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert wheel.stat().st_size < 40_000_000


def test_runs_from_elsewhere(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import jacolbert_integrations as j; assert 'site' in j.__file__; "
        "print(j.JaColBERT.from_pretrained().rank('日本の首都', ['東京は日本の首都', '猫は魚を食べる'])[0].id)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "0"
