"""A benchmark: passages, queries, and which passages answer which query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..errors import InputError
from ..text.squad import Question, QuestionSet

Qrels: TypeAlias = Mapping[str, Mapping[str, int]]
"""TREC's judgments: query to passage to grade. 0 is judged and not relevant; the higher, the more relevant."""

_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """What a ranking is measured on.

    Attributes:
        name: What tables call it.
        passages: Ids of the passages, and their texts, in order.
        queries: Ids of the queries, and their texts, in order.
        qrels: Which passages are relevant to each query, and how much.
        candidates: Of a reranking benchmark: which passages are ranked for each query. None ranks all.

    Raises:
        InputError: If there are no passages or queries, a query has no relevant passage, or an id is of nothing.
    """

    name: str
    passages: Mapping[str, str]
    queries: Mapping[str, str]
    qrels: Qrels
    candidates: Mapping[str, Sequence[str]] | None = None

    def __post_init__(self) -> None:
        if not self.passages or not self.queries:
            raise InputError(
                f"{self.name} has {len(self.passages):,} passages and {len(self.queries):,} queries, but a benchmark "
                "needs some of both."
            )
        check_qrels(self.name, self.qrels, self.queries, self.passages)
        if self.candidates is not None:
            self._check_candidates(self.candidates)

    @classmethod
    def of_questions(cls, name: str, questions: QuestionSet, asked: Sequence[Question] | None = None) -> Benchmark:
        """Builds one of questions that each have one right passage, such as JSQuAD's.

        Args:
            name: What tables call it.
            questions: Passages, and questions about them.
            asked: Some of the questions; None takes all.
        """
        asked = questions.questions if asked is None else asked
        return cls(
            name=name,
            passages={passage.id: passage.text for passage in questions.passages},
            queries={question.id: question.text for question in asked},
            qrels={question.id: {question.passage_id: 1} for question in asked},
        )

    def _check_candidates(self, candidates: Mapping[str, Sequence[str]]) -> None:
        without = [query for query in self.queries if not candidates.get(query)]
        if without:
            raise InputError(
                f"{self.name}: {len(without):,} of {len(self.queries):,} queries have no candidates, first "
                f"{_some(without)}. Each query of a reranking benchmark needs some."
            )
        unknown = [p for own in candidates.values() for p in own if p not in self.passages]
        if unknown:
            raise InputError(
                f"{self.name}: {len(unknown):,} candidates are of no passage, first {_some(unknown)}. There are "
                f"{len(self.passages):,} passages."
            )


def check_qrels(name: str, qrels: Qrels, queries: Mapping[str, str], passages: Mapping[str, str]) -> None:
    """Refuses judgments that are of nothing, and queries that nothing answers.

    Args:
        name: Of the benchmark, for the message.
        qrels: The judgments.
        queries: All queries.
        passages: All passages.

    Raises:
        InputError: If there is one.
    """
    if unknown := [query for query in qrels if query not in queries]:
        raise InputError(
            f"{name}: {len(unknown):,} of {len(qrels):,} judged queries are not among the {len(queries):,} queries, "
            f"first {_some(unknown)}."
        )
    judged = [passage for own in qrels.values() for passage in own]
    if missing := [passage for passage in judged if passage not in passages]:
        raise InputError(
            f"{name}: {len(missing):,} of {len(judged):,} judgments are of a passage that is not among the "
            f"{len(passages):,} passages, first {_some(missing)}."
        )
    if unanswered := [query for query in queries if max(qrels.get(query, {}).values(), default=0) <= 0]:
        raise InputError(
            f"{name}: {len(unanswered):,} of {len(queries):,} queries have no relevant passage, first "
            f"{_some(unanswered)}. Nothing can be measured with them: leave them out, or judge them."
        )


def _some(ids: Sequence[str]) -> str:
    return ", ".join(repr(each) for each in list(dict.fromkeys(ids))[:_SHOWN])
