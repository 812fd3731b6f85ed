"""``jacolbert centroids``, and what it writes in use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.cli.main import main
from jacolbert_integrations.scoring.centroids import FILE, Centroids

from ..conftest import JAQUAD_EXCERPT, MINI


def test_into_the_models_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own"
    shutil.copytree(MINI, own, ignore=shutil.ignore_patterns(FILE))
    assert JaColBERT.from_pretrained(own).centroids is None
    assert main(["centroids", str(JAQUAD_EXCERPT), "--model", str(own), "--count", "64", "--nprobe", "5"]) == 0
    assert f"64 centroids of own, learned from 86 texts, are in {own / FILE}" in capsys.readouterr().out
    before = (own / FILE).read_bytes()
    assert main(["centroids", str(JAQUAD_EXCERPT), "--model", str(own), "--count", "32"]) == 1
    assert "is there already. Write --overwrite" in capsys.readouterr().err
    assert (own / FILE).read_bytes() == before
    found = JaColBERT.from_pretrained(own).centroids
    assert found is not None
    assert len(found) == 64
    assert found.nprobe == 5
    notes = tmp_path / "notes.jsonl"
    notes.write_text("\n".join(json.dumps({"id": str(i), "text": t}) for i, t in enumerate(["猫の話", "富士山の高さ"])))
    place = ["--location", str(tmp_path / "index")]
    assert main(["index", str(notes), *place, "--model", str(own), "--first-stage", "centroids", "lexical"]) == 0
    assert main(["search", "ふじさん", *place, "--model", str(own), "--top-k", "1", "--json"]) == 0
    (hit,) = json.loads(capsys.readouterr().out.splitlines()[-1])["hits"]
    assert hit["id"] == "1"


def test_into_a_file_from_other_files(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("吾輩は猫である。名前はまだ無い。" * 5, encoding="utf-8")
    output = tmp_path / "centroids.safetensors"
    assert main(["centroids", str(texts), "--count", "8", "--nprobe", "2", "--output", str(output)]) == 0
    assert len(Centroids.load(output)) == 8
    replaced = ["--count", "4", "--nprobe", "2", "--output", str(output), "--overwrite"]
    assert main(["centroids", str(texts), *replaced]) == 0
    assert len(Centroids.load(output)) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "say where to write"),
        (["--output", "nowhere/centroids.safetensors"], "there is no folder nowhere"),
        (["--output", "centroids.safetensors", "--count", "100000"], "too few for 100,000 centroids"),
    ],
)
def test_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    status = main(["centroids", str(JAQUAD_EXCERPT), *options])
    err = capsys.readouterr().err
    assert said in err
    assert status == (2 if err.startswith("usage: jacolbert") else 1)
    assert not list(tmp_path.iterdir())
