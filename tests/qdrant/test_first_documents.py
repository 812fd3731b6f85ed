"""What first stages measure in the first documents of a collection: hardly anything depends on which these are."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jacolbert_integrations import EdgeStore, Point, Query
from jacolbert_integrations.errors import StatisticsWarning
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.qdrant import FixedDimensional, Lexical, QdrantBM25
from jacolbert_integrations.text.lexical import LexicalEncoder
from jacolbert_integrations.text.squad import Passage, Question

from ..stores.samples import FLOAT32, IDENTITY, vectors

NOTE = "test"


@pytest.fixture(scope="module")
def part() -> tuple[list[Passage], list[Question]]:
    """300 passages of JSQuAD valid, and 300 of the questions that they answer."""
    whole, chance = load_jsquad(), random.Random(5)
    passages = chance.sample(whole.passages, 300)
    ids = {passage.id for passage in passages}
    return passages, chance.sample([q for q in whole.questions if q.passage_id in ids], 300)


def recall(passages: list[Passage], questions: list[Question], average_words: float) -> float:
    """R@1 of BM25 over words, with vectors as a collection has them."""
    encoder = LexicalEncoder(average_words)
    documents = [encoder.encode_document(passage.text) for passage in passages]
    numbers = {word: i for i, word in enumerate({word for document in documents for word in document})}
    matrix = np.zeros((len(documents), len(numbers)), np.float32)
    for row, document in enumerate(documents):
        matrix[row, [numbers[word] for word in document]] = list(document.values())
    having = (matrix > 0).sum(axis=0)
    idf = np.log1p((len(documents) - having + 0.5) / (having + 0.5))
    right = 0
    for question in questions:
        words = {numbers[w]: n for w, n in encoder.encode_query(question.text).items() if w in numbers}
        scores = matrix[:, list(words)] @ (np.array(list(words.values())) * idf[list(words)])
        right += passages[int(scores.argmax())].id == question.passage_id
    return right / len(questions)


def point(text: str, name: str = "p") -> Point:
    return Point(name, vectors(len(text), 1), {}, text)


@pytest.mark.parametrize("kind", [Lexical, QdrantBM25])
def test_ten_orders_find_as_much(part: tuple[list[Passage], list[Question]], kind: type[Lexical | QdrantBM25]) -> None:
    passages, questions = part
    texts = [passage.text for passage in passages]
    encoder = LexicalEncoder(1.0)
    best = recall(passages, questions, float(np.mean([len(encoder.words(text)) for text in texts])))
    firsts: list[list[str]] = [[NOTE], [NOTE, *texts], texts, [min(texts, key=len)], [max(texts, key=len)]]
    for seed in range(5):  # one document, or some
        order = random.Random(seed).sample(texts, len(texts))
        firsts.append(order[: [1, 1, 2, 10, 64][seed]])
    averages = [kind().measured([point(text) for text in first]).average_words or 0.0 for first in firsts]
    extremes = {min(averages), max(averages), *averages[5:7]}
    assert all(recall(passages, questions, average) >= best - 0.01 for average in extremes)
    assert recall(passages, questions, 5.0) < best - 0.05  # as it was, after a short note


def test_inserted_one_by_one_after_a_note(part: tuple[list[Passage], list[Question]], tmp_path: Path) -> None:
    passages, asked = part
    found = []
    for name, first in (("note", [point(NOTE, "note")]), ("together", [])):
        with EdgeStore(tmp_path / name, first_stage=Lexical(), vector_options=FLOAT32) as store:
            store.bind(IDENTITY)
            store.upsert([*first] or [point(p.text, p.id) for p in passages])
            for passage in passages if first else []:
                store.upsert([point(passage.text, passage.id)])
            found.append([store.search_words(q.text, top_k=1)[0].id == q.passage_id for q in asked])
    assert np.mean(found[0]) >= np.mean(found[1]) - 0.01


@pytest.fixture
def small(tmp_path: Path) -> Iterator[EdgeStore]:
    with EdgeStore(tmp_path, first_stage=Lexical(average_words=3.0), vector_options=FLOAT32) as store:
        store.bind(IDENTITY)
        yield store


def test_a_collection_that_has_drifted_away_is_pointed_out_once(small: EdgeStore) -> None:
    texts = [passage.text for passage in load_jsquad().passages[:220]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small.upsert(point(text, f"p{i}") for i, text in enumerate(texts[:90]))
    with pytest.warns(StatisticsWarning, match=r"documents of 3.*reindex.*Lexical\(average_words=\d+\)"):
        small.upsert(point(text, f"q{i}") for i, text in enumerate(texts[90:]))
    small.upsert(point(text, f"r{i}") for i, text in enumerate(texts))


def test_what_fits_is_not_warned_of(tmp_path: Path) -> None:
    with EdgeStore(tmp_path, first_stage=Lexical(), vector_options=FLOAT32) as store:
        store.bind(IDENTITY)
        store.upsert([point(NOTE)])
        store.upsert(point(passage.text, passage.id) for passage in load_jsquad().passages[:150])


def test_the_center_of_a_few_vectors_is_pointed_out() -> None:
    with pytest.warns(StatisticsWarning, match=r"the mean of only 4 token vectors.*reindex"):
        FixedDimensional().measured([Point("a", vectors(1, 4))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FixedDimensional().measured([Point("a", vectors(1, 100))])
        FixedDimensional(center=()).measured([Point("a", vectors(1, 4))])


def test_muvera_finds_as_much_whichever_passage_was_first(mini: object) -> None:
    from jacolbert_integrations import JaColBERT

    assert isinstance(mini, JaColBERT)
    whole, chance = load_jsquad(), random.Random(1)
    passages = chance.sample(whole.passages, 150)
    ids = {passage.id: i for i, passage in enumerate(passages)}
    questions = chance.sample([q for q in whole.questions if q.passage_id in ids], 60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        documents = mini.encode_document([p.text[:300] for p in passages])
    queries = mini.encode_query([q.text for q in questions])
    points = [Point(p.id, matrix) for p, matrix in zip(passages, documents, strict=True)]

    def found(first: list[Point]) -> float:
        stage = FixedDimensional().measured(first)
        encodings = np.array(stage.encode_points(points))
        right = [ids[q.passage_id] for q in questions]
        scores = np.array([stage.encode_query(Query(q)) for q in queries]) @ encodings.T
        own = scores[np.arange(len(right)), right]
        return float(np.mean((scores > own[:, None]).sum(axis=1) < 50))

    best = found(points)
    assert all(found([points[i]]) >= best - 0.04 for i in range(0, 150, 15))  # one question is .017
