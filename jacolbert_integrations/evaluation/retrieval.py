"""A model's exact ranking of a question set."""

from __future__ import annotations

from collections.abc import Sequence

from ..encoding.encoder import JaColBERT
from ..text.squad import Question, QuestionSet
from ..types import Scores
from .metrics import RetrievalMetrics, metrics_of_scores


def right_columns(question_set: QuestionSet, questions: Sequence[Question]) -> list[int]:
    """Returns for each question the position of its passage."""
    position = {passage.id: index for index, passage in enumerate(question_set.passages)}
    return [position[question.passage_id] for question in questions]


def evaluate_model(
    model: JaColBERT,
    question_set: QuestionSet,
    questions: Sequence[Question] | None = None,
    *,
    show_progress_bar: bool | None = None,
) -> RetrievalMetrics:
    """Ranks all passages for each question by exact MaxSim.

    Args:
        model: The model.
        question_set: The passages, and the questions.
        questions: Some of the questions; None takes all.
        show_progress_bar: None shows one after a second, on a terminal.
    """
    asked = question_set.questions if questions is None else questions
    scores = score_questions(model, question_set, asked, show_progress_bar=show_progress_bar)
    return metrics_of_scores(scores, right_columns(question_set, asked))


def score_questions(
    model: JaColBERT,
    question_set: QuestionSet,
    questions: Sequence[Question],
    *,
    show_progress_bar: bool | None = None,
) -> Scores:
    """Computes exact MaxSim of each question with each passage: (questions, passages) float32."""
    documents = model.encode_document([p.text for p in question_set.passages], show_progress_bar=show_progress_bar)
    queries = model.encode_query([q.text for q in questions], show_progress_bar=show_progress_bar)
    return model.score(queries, documents)
