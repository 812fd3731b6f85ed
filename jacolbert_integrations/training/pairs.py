"""Training pairs of a question-answer set, or of passages alone."""

from __future__ import annotations

import random
import re
import tempfile
from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from ..text.squad import Passage, QuestionSet
from .data.collection import text_dataset
from .records import Example

_SENTENCE_END = re.compile(r"(?<=[。！？!?])")
_MIN_SENTENCE = 10


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


def question_pairs(questions: QuestionSet) -> list[Example]:
    """Pairs each question with its passage."""
    passages = {passage.id: passage for passage in questions.passages}
    found = [(question, passages[question.passage_id]) for question in questions.questions]
    return [Example(q.text, (p.text,), query_id=q.id, passage_ids=(p.id,), group=p.article) for q, p in found]


def read_passages(file: str | Path) -> QuestionSet:
    """Reads a file of passages, without questions: ``id``, tab and text in each line, or JSON lines.

    Raises:
        TrainingDataError: If lines cannot be used.
        InputError: If the suffix names no format.
        MissingExtraError: If the training extra is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        table = text_dataset(file, cache_dir=folder)
        passages = [Passage(str(row["id"]), str(row["id"]), str(row["text"])) for row in table]
    return QuestionSet(passages, [])


def inverse_cloze_pairs(questions: QuestionSet, count: int, *, cut: float, rng: random.Random) -> list[Example]:
    """Pairs sentences, as queries, with the passages that they are from (arXiv 1906.00300).

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
            query, document = sentences[index].strip(), "".join(rest)
            pairs.append(Example(query, (document,), passage_ids=(passage.id,), group=passage.article))
    return pairs
