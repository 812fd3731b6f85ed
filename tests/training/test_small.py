"""jacolbert-small's trainer, from a small file of pretrained weights to a checkpoint, on a small piece of JaQuAD."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.checkpoints.files import INT8_FILE
from jacolbert_integrations.checkpoints.layouts import Layout, inspect_checkpoint
from jacolbert_integrations.errors import TrainingDataError
from jacolbert_integrations.text.squad import QuestionSet, read_squad
from jacolbert_integrations.training import __main__ as command
from jacolbert_integrations.training.merging.members import PROVENANCE_FILE
from jacolbert_integrations.training.pretrained.reading import read_pretrained
from jacolbert_integrations.training.pretrained.student import Student
from jacolbert_integrations.training.small.making import train_small
from jacolbert_integrations.training.small.plan import CONTRASTIVE, DISTILLED, SmallPlan

from ..conftest import JAQUAD_EXCERPT
from .pretrained_file import weights_file

SMALL = SmallPlan(
    student=Student(vocabulary_size=None, layers=(0, 2), dimension=8, document_maxlen=60, query_length="unpadded"),
    sampled=20,
    window=60,
    contrastive=CONTRASTIVE.change(batch_size=8, group_size=4, steps=12, warmup_steps=2, document_maxlen=60),
    distilled=DISTILLED.change(batch_size=4, steps=8, warmup_steps=2, document_maxlen=60),
    mined=40,
    ranks=(1, 10),
    checkpoint_steps=4,
)


@pytest.fixture(scope="module")
def questions() -> QuestionSet:
    return read_squad([JAQUAD_EXCERPT])


@pytest.fixture(scope="module")
def pretrained(questions: QuestionSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    characters = sorted({letter for passage in questions.passages for letter in passage.text} - set(" \n"))
    pieces = [("▁", -3.0), ("▁query", -9.0), ("▁passage", -9.5), *((letter, -6.0) for letter in characters)]
    file = tmp_path_factory.mktemp("weights") / "e5-small-q4.bin"
    file.write_bytes(weights_file([*pieces, ("<mask>", 0.0)]))
    return file


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")
def test_a_stopped_run_goes_on_to_the_same_model(questions: QuestionSet, pretrained: Path, tmp_path: Path) -> None:
    weights = read_pretrained(pretrained)
    whole = train_small(questions, weights, SMALL, tmp_path / "whole")
    parts = tmp_path / "parts"
    left = ("merged", "model", "distilled", "checkpoint-12", "negatives.jsonl", "scores-dense.jsonl")
    shutil.copytree(tmp_path / "whole", parts, ignore=shutil.ignore_patterns(*left))
    assert sorted(path.name for path in (parts / "contrastive").iterdir()) == ["checkpoint-8"]
    assert train_small(questions, weights, SMALL, parts).fingerprint == whole.fingerprint
    for stage, members in (
        ("contrastive", ["checkpoint-8", "checkpoint-12"]),
        ("distilled", ["checkpoint-4", "checkpoint-8"]),
    ):
        provenance = json.loads((parts / stage / "merged" / PROVENANCE_FILE).read_text(encoding="utf-8"))
        assert [member["name"] for member in provenance["members"]] == members


def test_questions_about_long_windows_are_left_out(questions: QuestionSet, pretrained: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="no examples to train on"):
        train_small(questions, read_pretrained(pretrained), replace(SMALL, longest=10), tmp_path)


@pytest.mark.usefixtures("small_benchmark")
@pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")
def test_the_entry_point_writes_a_checkpoint_of_one_byte_a_weight(
    pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "small"
    arguments = [str(JAQUAD_EXCERPT), "--dev", str(JAQUAD_EXCERPT), "--output", str(output), "--precision", "float32"]
    monkeypatch.setattr("sys.argv", ["training", *arguments, "--pretrained", str(pretrained)])
    monkeypatch.setattr(command, "SmallPlan", lambda: SMALL)
    assert command.main() == 0
    assert inspect_checkpoint(output).layout is Layout.STANFORD
    assert (output / INT8_FILE).is_file()
    assert not (output / "model.safetensors").exists()
    model = JaColBERT.from_pretrained(output)
    assert (model.dimension, model.query_length) == (8, "unpadded")
    encoder: Any = model.model[0]
    assert len(encoder.auto_model.encoder.layer) == 2
    card = (output / "README.md").read_text(encoding="utf-8")
    assert card in capsys.readouterr().out
    assert "| JSQuAD valid |" in card
    assert "| JSQuAD valid, passages with their titles |" in card
    assert "| JaQuAD dev | 211 |" in card
    assert "| contrastive: group_size | 4 |" in card
    assert "base_model: intfloat/multilingual-e5-small" in card
    log = json.loads((output / "training-log.json").read_text(encoding="utf-8"))
    assert log["plan"]["student"]["layers"] == [0, 2]
    assert [entry["run"]["recipe"]["name"] for entry in (*log["earlier"], log)] == ["contrastive", "distilled"]
    assert any("eval_mrr_at_10" in entry for entry in log["run"]["history"])
    assert "| distilled: normalization | both |" in card


def test_the_entry_point_explains_a_bad_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(JAQUAD_EXCERPT), "--output", str(tmp_path / "out"), "--pretrained", str(tmp_path / "no.whl")]
    monkeypatch.setattr("sys.argv", ["training", *arguments])
    assert command.main() == 1
    assert "no.whl" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
