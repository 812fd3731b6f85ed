"""Question-answer sets in SQuAD's JSON layout, as passages and the questions that they answer."""

from __future__ import annotations

import gzip
import json
import tempfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from ..errors import InputError


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage of an article.

    Attributes:
        id: Unique in its set.
        article: The article's title.
        text: The passage, without its title.
    """

    id: str
    article: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the one passage that answers it.

    Attributes:
        id: As in the file.
        text: The question.
        passage_id: The passage.
        answer_start: Where the first answer begins in the passage's text; None if the file does not say.
    """

    id: str
    text: str
    passage_id: str
    answer_start: int | None = None


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """Passages, and questions about them."""

    passages: list[Passage]
    questions: list[Question]


def read_squad(files: Iterable[str | Path], *, separator: str | None = None) -> QuestionSet:
    """Reads SQuAD-style JSON files (plain or gzipped) as one set.

    Passages with the same text are one passage.

    Args:
        files: The files, in order.
        separator: Where a passage's text begins with its title, as in JSQuAD, what stands between
            the two; text up to it is cut off.

    Raises:
        InputError: If a file cannot be read, or is none of that layout.
    """
    passages: dict[str, Passage] = {}
    questions: list[Question] = []
    for file in map(Path, files):
        try:
            opener = gzip.open if file.suffix.lower() == ".gz" else open
            with opener(file, "rt", encoding="utf-8-sig") as stream:
                articles = json.load(stream)["data"]
            for article in articles:
                for paragraph in article["paragraphs"]:
                    cut, passage = _passage(article, paragraph, len(passages), separator)
                    passage = passages.setdefault(passage.text, passage)
                    questions += [_question(qa, passage, cut) for qa in paragraph["qas"]]
        except (OSError, EOFError, zlib.error) as error:  # the last two: a gzipped file that is cut or damaged
            reason = error.strerror if isinstance(error, OSError) else None
            raise InputError(f"{file} cannot be read: {error if reason is None else reason}.") from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"{file} is no SQuAD-style JSON (data / paragraphs / context, qas): {type(error).__name__} {error}."
            ) from None
    return QuestionSet(list(passages.values()), questions)


def write_squad(file: str | Path, questions: QuestionSet) -> None:
    """Writes a set in SQuAD's JSON layout, whole or not at all; gzipped if the name ends with .gz.

    Read again, it has the same texts, and its questions in the order of their passages. Answers get the
    place where they begin, but no text, which a :class:`Question` does not hold.

    Raises:
        InputError: If a question's passage is not in the set, or a text cannot be written as UTF-8.
    """
    asked: dict[str, list[dict[str, Any]]] = {passage.id: [] for passage in questions.passages}
    for q in questions.questions:
        if q.passage_id not in asked:
            raise InputError(f"the passage {q.passage_id!r} of question {q.id!r} is not in the set.")
        answers = [] if q.answer_start is None else [{"answer_start": q.answer_start}]
        asked[q.passage_id].append({"id": q.id, "question": q.text, "answers": answers})
    articles = [
        {"title": title, "paragraphs": [{"context": p.text, "qas": asked[p.id]} for p in passages]}
        for title, passages in groupby(questions.passages, key=lambda passage: passage.article)
    ]
    path = Path(file)
    try:
        content = (json.dumps({"version": "1.1", "data": articles}, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{path} cannot be written as UTF-8: {error}.") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        unfinished = Path(folder) / path.name
        unfinished.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
        unfinished.replace(path)


def _passage(
    article: dict[str, Any], paragraph: dict[str, Any], index: int, separator: str | None
) -> tuple[int, Passage]:
    text = str(paragraph["context"])
    cut = text.index(separator) + len(separator) if separator is not None and separator in text else 0
    return cut, Passage(f"p{index}", str(article["title"]), text[cut:])


def _question(qa: dict[str, Any], passage: Passage, cut: int) -> Question:
    answers = qa.get("answers") or [{}]
    start = answers[0].get("answer_start")
    inside = start is not None and start >= cut
    return Question(str(qa["id"]), str(qa["question"]), passage.id, start - cut if inside else None)
