"""Training pairs of a question-answer set, and batches whose negatives are hard."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sentence_transformers.base.sampler import DefaultBatchSampler

from ..errors import InputError
from ..squad import Passage, QuestionSet

_SENTENCE_END = re.compile(r"(?<=[。！？!?])")
_MIN_SENTENCE = 10


@dataclass(frozen=True, slots=True)
class Pair:
    """A query and the passage that answers it.

    Attributes:
        query: The query.
        document: The passage.
        group: The article that the passage is from.
        passage_id: The passage, so that no batch holds it twice.
    """

    query: str
    document: str
    group: str
    passage_id: str


def windows(questions: QuestionSet, characters: int) -> QuestionSet:
    """Cuts passages into windows of whole sentences, each question keeping the one with its answer.

    Shorter passages train faster, and the neighbours of a window are the hardest of negatives.

    Args:
        questions: Passages and questions; those without the place of an answer are left out.
        characters: A window ends with the sentence that reaches this length.
    """
    passages: list[Passage] = []
    starts: dict[str, list[int]] = {}
    for passage in questions.passages:
        starts[passage.id] = []
        at, window = 0, ""
        for sentence in _SENTENCE_END.split(passage.text):
            window += sentence
            if len(window) >= characters:
                starts[passage.id].append(at)
                passages.append(replace(passage, id=f"{passage.id}.{at}", text=window))
                at, window = at + len(window), ""
        if window.strip():
            starts[passage.id].append(at)
            passages.append(replace(passage, id=f"{passage.id}.{at}", text=window))
    kept = [
        replace(q, passage_id=f"{q.passage_id}.{max(s for s in starts[q.passage_id] if s <= q.answer_start)}")
        for q in questions.questions
        if q.answer_start is not None
    ]
    return QuestionSet(passages, kept)


def question_pairs(questions: QuestionSet) -> list[Pair]:
    """Each question with its passage."""
    passages = {passage.id: passage for passage in questions.passages}
    found = [(question, passages[question.passage_id]) for question in questions.questions]
    return [Pair(question.text, passage.text, passage.article, passage.id) for question, passage in found]


def inverse_cloze_pairs(questions: QuestionSet, count: int, *, cut: float, rng: random.Random) -> list[Pair]:
    """Sentences as queries for the passages that they are from (arXiv 1906.00300).

    Args:
        questions: Where the passages are.
        count: How many pairs; sentences come again with their passage only after all have come once.
        cut: Share of pairs in which the sentence is cut out of its passage. In the others it stays,
            so that the model keeps learning to match words.
        rng: Decides.

    Raises:
        InputError: If no passage has two sentences.
    """
    candidates = [
        (passage, sentences, index)
        for passage in questions.passages
        if len(sentences := [s for s in _SENTENCE_END.split(passage.text) if s.strip()]) > 1
        for index, sentence in enumerate(sentences)
        if len(sentence.strip()) >= _MIN_SENTENCE
    ]
    if not candidates:
        raise InputError("no passage has two sentences of at least 10 characters, so there is nothing to cut out.")
    pairs = []
    for start in range(0, count, len(candidates)):
        for passage, sentences, index in rng.sample(candidates, min(len(candidates), count - start)):
            rest = sentences[:index] + sentences[index + 1 :] if rng.random() < cut else sentences
            pairs.append(Pair(sentences[index].strip(), "".join(rest), passage.article, passage.id))
    return pairs


class ArticleBatchSampler(DefaultBatchSampler):
    """Batches of pairs from as few articles as possible, no passage twice.

    The other passages of an article are about the same things, so that telling them apart takes
    more than the topic: they are hard negatives that cost nothing to find.

    Args:
        pairs: The rows of the dataset, in its order.
        batch_size: Pairs of a batch; batches that cannot be filled are left out.
        seed: Decides the order, together with the epoch.
    """

    def __init__(self, pairs: Sequence[Pair], batch_size: int, seed: int = 0) -> None:
        self.pairs = pairs
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.drop_last = True
        passages = len({pair.passage_id for pair in pairs})
        if passages < batch_size:
            raise InputError(f"a batch of {batch_size} needs as many passages, but there are only {passages}.")

    def set_epoch(self, epoch: int) -> None:
        """Changes the order, as a trainer does before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(1 for _ in self._batches())

    def __iter__(self) -> Iterator[list[int]]:
        yield from self._batches()

    def _batches(self) -> Iterator[list[int]]:
        rng = random.Random(f"{self.seed}-{self.epoch}")
        groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for row, pair in enumerate(self.pairs):
            groups[pair.group][pair.passage_id].append(row)
        for by_passage in groups.values():
            for rows in by_passage.values():
                rng.shuffle(rows)
        open_groups = sorted(groups)
        while open_groups:
            rng.shuffle(open_groups)
            batch: list[int] = []
            for group in open_groups:
                passages = list(groups[group].values())
                rng.shuffle(passages)
                for rows in passages:
                    if rows and len(batch) < self.batch_size:
                        batch.append(rows.pop())
                if len(batch) == self.batch_size:
                    yield batch
                    batch = []
            # What an article still has goes into a later round, so that none is in a batch twice.
            open_groups = [group for group in open_groups if any(groups[group].values())]


def as_columns(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The columns that sentence-transformers' losses take: the query first."""
    return {"query": [pair.query for pair in pairs], "document": [pair.document for pair in pairs]}
