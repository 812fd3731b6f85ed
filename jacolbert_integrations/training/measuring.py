"""What a model that is being made is measured by: a development sample on the way, whole question sets at the end."""

from __future__ import annotations

import random

from ..encoding.encoder import JaColBERT
from ..evaluation.bm25 import BM25
from ..evaluation.fusion import with_bm25
from ..evaluation.metrics import RetrievalMetrics, metrics_of_scores
from ..evaluation.retrieval import evaluate_model, right_columns, score_questions
from ..text.squad import QuestionSet
from .run import Measure


def development_measure(development: QuestionSet, sample: int) -> Measure:
    """Returns a measure of a model while it is trained: MRR@10 and recall on some questions, the same every time.

    Args:
        development: Held-out questions; all of their passages are ranked.
        sample: How many questions are asked.
    """
    asked = random.Random(0).sample(development.questions, min(sample, len(development.questions)))

    def measure(model: JaColBERT) -> dict[str, float]:
        found = evaluate_model(model, development, asked, show_progress_bar=False)
        return {"mrr_at_10": found.mrr_at_10, **{f"recall_at_{k}": value for k, value in found.recall.items()}}

    return measure


def measure_whole(name: str, model: JaColBERT, questions: QuestionSet) -> dict[str, RetrievalMetrics]:
    """Measures the model, BM25, and both with their scores fused, on all questions of a set.

    Returns:
        The set's name, with what else took part, to what was measured.
    """
    right = right_columns(questions, questions.questions)
    own = score_questions(model, questions, questions.questions)
    words = BM25([p.text for p in questions.passages]).score([q.text for q in questions.questions])
    scores = {name: own, f"{name}, BM25 (MeCab words)": words, f"{name}, both fused": with_bm25(own, words)}
    return {label: metrics_of_scores(each, right) for label, each in scores.items()}
