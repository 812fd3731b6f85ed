"""``jacolbert models`` and ``jacolbert download``, and what completes commands in a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from jacolbert_integrations.cli.main import main

from .. import hub
from ..conftest import STANFORD


def jacolbert(folder: Path, address: str, *arguments: str, offline: bool = False) -> tuple[int, str, str]:
    """Runs the command with an empty hub cache in a folder, and the hub of an address."""
    environment = {
        **os.environ,
        "HF_HOME": str(folder / "hf"),
        "HF_ENDPOINT": address,
        "HF_HUB_OFFLINE": str(int(offline)),
        "HF_HUB_DISABLE_XET": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "jacolbert_integrations.cli.main", *arguments],
        env=environment, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("weights", ["safetensors", "bin"])
def test_a_model_is_fetched_ahead(tmp_path: Path, weights: str) -> None:
    original = tmp_path / "colbert"
    shutil.copytree(STANFORD, original)
    if weights == "safetensors":
        (original / "pytorch_model.bin").write_bytes(b"as well")  # is not read, so not fetched
    else:
        torch.save(load_file(original / "model.safetensors"), original / "pytorch_model.bin")
        (original / "model.safetensors").unlink()
    (original / "onnx").mkdir()
    (original / "onnx" / "model.onnx").write_bytes(bytes(1000))
    read = sorted(
        file.name
        for file in original.iterdir()
        if file.is_file() and (weights == "bin" or file.suffix != ".bin") and file.name != "README.md"
    )
    with hub.serving(original, "org/colbert") as (address, fetched):
        status, out, err = jacolbert(tmp_path, address, "models")
        assert status == 0, err
        assert "jacolbert-small              bundled" in out
        assert "the default" in out
        assert "answerdotai/JaColBERTv2.5    on the hub             jacolbert download answerdotai/JaColBERTv2.5" in out
        assert "org/colbert" not in out
        status, out, err = jacolbert(tmp_path, address, "models", "org/colbert")
        assert status == 0, err
        assert f"{len(read)} files" in out
        assert "MB to download" in out
        assert fetched == []
        status, out, err = jacolbert(tmp_path, address, "download", "org/colbert")
        assert status == 0, err
        assert "org/colbert                  here" in out
        assert "Stanford ColBERT" in out
        assert sorted(fetched) == read
        assert "all of it is here" in jacolbert(tmp_path, address, "models", "org/colbert")[1]
    status, out, err = jacolbert(tmp_path, address, "models", offline=True)
    assert status == 0, err
    assert "org/colbert                  cached" in out
    status, out, err = jacolbert(tmp_path, address, "explain", "猫", "猫は鳴く", "--model", "org/colbert", offline=True)
    assert status == 0, err


def test_what_cannot_be_had(tmp_path: Path) -> None:
    with hub.serving(tmp_path, "org/colbert") as (address, _):
        for command in ("models", "download"):
            status, _, err = jacolbert(tmp_path, address, command, "org/other")
            assert status == 1
            assert "no such public repository" in err
    status, _, err = jacolbert(tmp_path, address, "models", "org/colbert", offline=True)
    assert status == 1
    assert "'org/colbert' cannot be had: it is not in the local cache" in err


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("first-stage", "location", "muvera"))


def test_completion_in_bash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "jacolbert"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    words = "COMP_WORDS=(jacolbert index --first-stage ce); COMP_CWORD=3"
    asked = f"source {script}; {words}; _shtab_jacolbert; echo ${{COMPREPLY[@]}}"
    done = subprocess.run([bash, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["centroids"]
