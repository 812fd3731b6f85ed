from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jacolbert_integrations.errors import InputError
from jacolbert_integrations.evaluation.benchmark import Benchmark
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.evaluation.reading import read_benchmark, read_qa_dataset, read_squad_benchmark
from jacolbert_integrations.text.squad import write_squad

PASSAGES = {"p1": "東京は首都である。", "p2": "富士山は高い。"}
QUERIES = {"q1": "首都は？", "q2": "高い山は？"}
QRELS = {"q1": {"p1": 1}, "q2": {"p2": 2, "p1": 0}}


def lines(file: Path, *rows: dict[str, Any]) -> Path:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def benchmark(**changes: Any) -> Benchmark:
    return Benchmark(**{"name": "ours", "passages": PASSAGES, "queries": QUERIES, "qrels": QRELS, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"passages": {}}, "ours has 0 passages and 2 queries"),
        ({"queries": {}}, "ours has 2 passages and 0 queries"),
        ({"qrels": {"q1": {"p1": 1}}}, "1 of 2 queries have no relevant passage, first 'q2'"),
        ({"qrels": {**QRELS, "q1": {"p1": 0}}}, "1 of 2 queries have no relevant passage, first 'q1'"),
        ({"qrels": {**QRELS, "q3": {"p1": 1}}}, "1 of 3 judged queries are not among the 2 queries, first 'q3'"),
        ({"qrels": {**QRELS, "q1": {"p9": 1}}}, "1 of 3 judgments are of a passage that is not among the 2"),
        ({"candidates": {"q1": ["p1"]}}, "1 of 2 queries have no candidates, first 'q2'"),
        ({"candidates": {"q1": ["p1"], "q2": ["p1", "p7"]}}, "1 candidates are of no passage, first 'p7'"),
    ],
)
def test_what_nothing_can_be_measured_on(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        benchmark(**changes)


def test_of_questions() -> None:
    jsquad = load_jsquad()
    whole = Benchmark.of_questions("JSQuAD", jsquad)
    assert (len(whole.passages), len(whole.queries)) == (1145, 4442)
    question = jsquad.questions[7]
    assert whole.qrels[question.id] == {question.passage_id: 1}
    assert len(Benchmark.of_questions("JSQuAD", jsquad, jsquad.questions[:3]).queries) == 3


def test_from_json_lines_with_qrels(tmp_path: Path) -> None:
    passages = lines(tmp_path / "passages.jsonl", *({"id": i, "text": text} for i, text in PASSAGES.items()))
    queries = lines(tmp_path / "topics.jsonl", *({"id": i, "text": text} for i, text in {**QUERIES, "q3": "?"}.items()))
    qrels = tmp_path / "qrels.txt"
    qrels.write_text("q1 0 p1 1\nq2 0 p2 2\nq2 0 p1 0\n", encoding="utf-8")
    read = read_benchmark(passages, queries, qrels)
    assert read == benchmark(name="topics")
    qrels.write_text("q1 0 p1 1\nq2 0 p3 1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"qrels.txt, line 2 is a judgment of the passage 'p3'"):
        read_benchmark(passages, queries, qrels)
    qrels.write_text("q1 0 p1 0\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"qrels.txt: .*1 of 1 queries have no relevant passage"):
        read_benchmark(passages, queries, qrels)


@pytest.mark.parametrize(
    "relevant", [{"passage_id": "p1"}, {"passage_ids": ["p1"]}, {"positives": "p1"}, {"relevant": ["p1"]}]
)
def test_questions_that_say_what_answers_them(tmp_path: Path, relevant: dict[str, Any]) -> None:
    passages = lines(tmp_path / "passages.jsonl", *({"id": i, "text": text} for i, text in PASSAGES.items()))
    queries = lines(tmp_path / "queries.jsonl", {"id": "q1", "text": "首都は？", **relevant})
    assert read_benchmark(passages, queries).qrels == {"q1": {"p1": 1}}


def test_tables_from_windows(tmp_path: Path) -> None:
    passages, queries = tmp_path / "規程.CSV", tmp_path / "質問.csv"
    passages.write_bytes("番号,本文\r\n1,東京は首都である。\r\n2,富士山は高い。\r\n".encode("cp932"))
    queries.write_bytes("番号,本文,passage_ids\r\na,首都は？,1\r\nb,日本について,1 2\r\n".encode("cp932"))
    read = read_benchmark(passages, queries, text_key="本文", id_key="番号", name="社内")
    assert read.passages == {"1": "東京は首都である。", "2": "富士山は高い。"}
    assert read.qrels == {"a": {"1": 1}, "b": {"1": 1, "2": 1}}
    assert read.name == "社内"


def test_bad_files(tmp_path: Path) -> None:
    passages = lines(tmp_path / "passages.jsonl", {"id": "p1", "text": "東京"})
    for row, message in (
        ({"id": "q1", "text": "首都は？"}, "queries.jsonl: the question 'q1' does not say which passages answer it"),
        ({"id": "q1", "text": "首都は？", "passage_id": "p2"}, "queries.jsonl: .*not among the 1 passages, first 'p2'"),
        ({"id": "q1"}, "queries.jsonl, line 1: expected an object with a string under 'text'"),
    ):
        with pytest.raises(InputError, match=message):
            read_benchmark(passages, lines(tmp_path / "queries.jsonl", row))
    with pytest.raises(InputError, match="has the id 'p1' twice"):
        read_benchmark(lines(tmp_path / "twice.jsonl", *[{"id": "p1", "text": t} for t in "ab"]), passages)
    with pytest.raises(InputError, match="holds no rows"):
        read_benchmark(lines(tmp_path / "none.jsonl"), passages)


def test_from_squad(tmp_path: Path) -> None:
    jsquad = load_jsquad()
    write_squad(tmp_path / "jsquad-valid.json.gz", jsquad)
    read = read_squad_benchmark([tmp_path / "jsquad-valid.json.gz"])
    assert read.name == "jsquad-valid"
    assert list(read.queries.values()) == [question.text for question in jsquad.questions]


def test_what_llama_index_has_made_questions_to(tmp_path: Path) -> None:
    file = tmp_path / "questions.json"
    relevant = {query: [passage for passage, grade in own.items() if grade] for query, own in QRELS.items()}
    dataset = {"queries": QUERIES, "corpus": PASSAGES, "relevant_docs": relevant, "mode": "text"}
    file.write_text(json.dumps(dataset), encoding="utf-8")
    assert read_qa_dataset(file).qrels == {"q1": {"p1": 1}, "q2": {"p2": 1}}
    assert read_qa_dataset(file, name="ours").name == "ours"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "is no EmbeddingQAFinetuneDataset"),
        ("{", "is no EmbeddingQAFinetuneDataset"),
        ('{"queries": {"q": "?"}, "corpus": {"p": null}, "relevant_docs": {"q": ["p"]}}', "'p' has no text"),
        (
            '{"queries": {"q": "?"}, "corpus": {"p": "."}, "relevant_docs": {"q": 3}}',
            "is no EmbeddingQAFinetuneDataset",
        ),
        ('{"queries": {"q": "?"}, "corpus": {"p": "."}, "relevant_docs": {"q": ["x"]}}', "questions.json: .*first 'x'"),
    ],
)
def test_what_is_no_such_dataset(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "questions.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_qa_dataset(file)
    with pytest.raises(InputError, match="cannot be read"):
        read_qa_dataset(tmp_path / "none.json")
