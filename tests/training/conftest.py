"""What tests of the training commands share."""

from __future__ import annotations

import pytest
from sentence_transformers import SentenceTransformer

from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.text.squad import QuestionSet

from ..tiny_models import dense_model


@pytest.fixture
def small_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    def part(*, titles: bool = False) -> QuestionSet:
        whole = load_jsquad(titles=titles)
        ids = {passage.id for passage in whole.passages[:60]}
        return QuestionSet(whole.passages[:60], [q for q in whole.questions if q.passage_id in ids])

    monkeypatch.setattr("jacolbert_integrations.training.finishing.load_jsquad", part)


@pytest.fixture(scope="module")
def dense() -> SentenceTransformer:
    return dense_model()
