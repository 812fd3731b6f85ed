"""The model that comes with the package: small, of the released layout, and good enough to try things with."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.checkpoints.hub import BUNDLED_MODEL
from jacolbert_integrations.checkpoints.layouts import Layout, inspect_checkpoint
from jacolbert_integrations.encoding.sources import ModelSource
from jacolbert_integrations.errors import UnknownLayoutError
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.evaluation.retrieval import evaluate_model


def test_size_layout_and_card() -> None:
    assert sum(file.stat().st_size for file in Path(BUNDLED_MODEL).iterdir()) < 10_000_000
    assert inspect_checkpoint(BUNDLED_MODEL).layout is Layout.STANFORD
    card = (BUNDLED_MODEL / "README.md").read_text(encoding="utf-8")
    for part in (
        "JaQuAD",
        "CC BY-SA 3.0",
        "| contrastive: steps |",
        "| seed |",
        "| JSQuAD valid | 4,442 |",
        "How to make it again",
    ):
        assert part in card
    log = json.loads((BUNDLED_MODEL / "training-log.json").read_text(encoding="utf-8"))
    assert JaColBERT.from_pretrained().fingerprint != log["merged"]["fingerprint"]  # that is before float16
    assert log["run"]["recipe"]["name"] == "contrastive"
    assert [member["name"] for member in log["merged"]["members"]] == ["checkpoint-260", "checkpoint-520"]


@pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")
def test_retrieval_on_real_questions(mini: JaColBERT) -> None:
    """The card has the figures for all 4,442 questions; here are 400 of them, to notice a regression."""
    corpus = load_jsquad()
    metrics = evaluate_model(mini, corpus, random.Random(0).sample(corpus.questions, 400))
    assert metrics.recall[1] >= 0.86
    assert metrics.recall[10] >= 0.94


def test_bundled_models_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jacolbert-mini").mkdir()
    named, unnamed = JaColBERT.from_pretrained("jacolbert-mini"), JaColBERT.from_pretrained()
    assert (named.name, named.fingerprint) == (unnamed.name, unnamed.fingerprint)
    assert ModelSource.of(named).model == "jacolbert-mini"
    assert ModelSource.of(named).load().fingerprint == named.fingerprint
    with pytest.raises(UnknownLayoutError, match="jacolbert-mini"):
        JaColBERT.from_pretrained("./jacolbert-mini")
