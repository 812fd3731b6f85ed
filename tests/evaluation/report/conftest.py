from __future__ import annotations

import pytest

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.evaluation.benchmark import Benchmark
from jacolbert_integrations.evaluation.evaluation import Evaluation, Evaluator
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.evaluation.settings import settings_of
from jacolbert_integrations.text.squad import QuestionSet


@pytest.fixture(scope="session")
def evaluation(mini: JaColBERT) -> Evaluation:
    """A model in a few settings beside BM25, on some passages of JSQuAD."""
    whole = load_jsquad()
    passages = whole.passages[:40]
    ids = {passage.id for passage in passages}
    part = QuestionSet(passages, [q for q in whole.questions if q.passage_id in ids])
    evaluator = Evaluator(Benchmark.of_questions("JSQuAD <部分>", part), timed=2)
    evaluator.add_model(mini, settings_of(poolings=["sequential-4"], datatypes=["binary"], first_stages=["mean"]))
    evaluator.add_bm25()
    return evaluator.result()
