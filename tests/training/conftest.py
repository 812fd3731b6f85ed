"""What tests of the training commands share."""

from __future__ import annotations

import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.text.squad import QuestionSet

from ..conftest import STANFORD


@pytest.fixture
def small_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    def part(*, titles: bool = False) -> QuestionSet:
        whole = load_jsquad(titles=titles)
        ids = {passage.id for passage in whole.passages[:60]}
        return QuestionSet(whole.passages[:60], [q for q in whole.questions if q.passage_id in ids])

    monkeypatch.setattr("jacolbert_integrations.training.finishing.load_jsquad", part)


@pytest.fixture(scope="module")
def dense() -> SentenceTransformer:
    transformer = Transformer(str(STANFORD))
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="mean")
    return SentenceTransformer(modules=[transformer, pooling], device="cpu")
