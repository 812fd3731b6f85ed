"""JSQuAD as a task of mteb, which has none: ``mteb.evaluate(model.model, jsquad_task())``."""

from __future__ import annotations

from typing import Any

from ..errors import MissingExtraError
from ..text.squad import QuestionSet
from .jsquad import load_jsquad


def jsquad_task(questions: QuestionSet | None = None) -> Any:
    """Builds the task.

    Args:
        questions: None takes all of JSQuAD valid, which comes with the package.

    Returns:
        An ``mteb.AbsTaskRetrieval``.

    Raises:
        MissingExtraError: If the ``evaluation`` extra is not installed, or without mteb, which needs Python 3.11.
    """
    try:
        from datasets import Dataset
        from mteb import TaskMetadata
        from mteb.abstasks import AbsTaskRetrieval
    except ImportError as error:
        raise MissingExtraError("mteb", "evaluation") from error
    asked = load_jsquad() if questions is None else questions

    class JSQuADRetrieval(AbsTaskRetrieval):  # type: ignore[misc, unused-ignore]
        """JSQuAD valid: which of 1,145 passages of Wikipedia answers a question."""

        metadata = TaskMetadata(
            name="JSQuADRetrieval",
            description="JSQuAD valid of JGLUE 1.3: which of the passages of Japanese Wikipedia answers a question.",
            reference="https://github.com/yahoojapan/JGLUE",
            dataset={"path": "yahoojapan/JGLUE", "revision": "v1.3.0"},
            type="Retrieval",
            category="t2t",
            modalities=["text"],
            eval_splits=["validation"],
            eval_langs=["jpn-Jpan"],
            main_score="recall_at_3",
            date=("2022-01-01", "2022-12-31"),
            domains=["Encyclopaedic", "Written"],
            task_subtypes=["Question answering"],
            license="cc-by-sa-4.0",
            annotations_creators="human-annotated",
            dialect=[],
            sample_creation="found",
            bibtex_citation="",
        )

        def load_data(self, num_proc: int | None = None, *, timer: Any = None, **kwargs: Any) -> None:  # noqa: ARG002 - mteb's
            """Takes the passages and questions; nothing is downloaded."""
            data: Any = {
                "corpus": Dataset.from_list([{"id": p.id, "title": "", "text": p.text} for p in asked.passages]),
                "queries": Dataset.from_list([{"id": q.id, "text": q.text} for q in asked.questions]),
                "relevant_docs": {q.id: {q.passage_id: 1} for q in asked.questions},
                "top_ranked": None,
            }
            self.dataset = {"default": {"validation": data}}
            self.data_loaded = True

    return JSQuADRetrieval()
