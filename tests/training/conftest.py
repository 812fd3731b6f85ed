"""What tests of the training commands share."""

from __future__ import annotations

import pytest

from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.text.squad import QuestionSet


@pytest.fixture
def small_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load_jsquad()
    ids = {passage.id for passage in whole.passages[:60]}
    part = QuestionSet(whole.passages[:60], [q for q in whole.questions if q.passage_id in ids])
    monkeypatch.setattr("jacolbert_integrations.training.finishing.load_jsquad", lambda: part)
