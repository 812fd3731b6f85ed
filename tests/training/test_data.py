from __future__ import annotations

import gzip
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacolbert_integrations.errors import InputError, RecipeError, TrainingDataError
from jacolbert_integrations.text.squad import Passage, Question, QuestionSet, read_squad, write_squad
from jacolbert_integrations.training.data.arrow import cached_table
from jacolbert_integrations.training.data.collection import text_dataset, write_texts
from jacolbert_integrations.training.data.columns import file_dataset, from_dataset, to_dataset
from jacolbert_integrations.training.data.examples import read_examples, write_examples
from jacolbert_integrations.training.data.nway import nway_dataset, read_nway, write_nway
from jacolbert_integrations.training.data.rows import BadRows
from jacolbert_integrations.training.records import Example

from ..conftest import JAQUAD_EXCERPT

TRICKY = '改行\nタブ\t"引用"\u2028\u2029\x85\r\n全角　🍣'
PAIR = Example("富士山の高さは？", ("富士山は3776メートル。",))
TRIPLET = Example("日本の首都は？", ("首都は東京。", "大阪は商都。"))
NWAY = Example("猫とは", ("猫はネコ科。", "犬はイヌ科。", TRICKY), (9.5, -1.25, 0.1), "q1", ("p1", "p2", "7"), "動物")

texts = st.text(min_size=1, max_size=30).filter(str.strip)
scores = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def examples(draw: st.DrawFn) -> Example:
    passages = draw(st.lists(texts, min_size=1, max_size=4))
    n = len(passages)
    teacher = draw(st.none() | st.lists(scores, min_size=n, max_size=n))
    ids = draw(st.none() | st.lists(texts, min_size=n, max_size=n))
    return Example(
        draw(texts),
        tuple(passages),
        None if teacher is None else tuple(teacher),
        draw(st.none() | texts),
        None if ids is None else tuple(ids),
        draw(st.none() | texts),
    )


def write(file: Path, *rows: Any) -> Path:
    """A line for each row: text as it is, anything else as JSON."""
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    file.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return file


def problems(file: Path, **options: Any) -> list[tuple[int, str]]:
    with pytest.raises(TrainingDataError) as caught:
        read_examples(file, **options)
    return caught.value.problems


# Examples with their texts


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"query": "問", "passages": ["答"]}, [Example("問", ("答",))]),
        ({"query": "問", "passages": ["答", "外"], "scores": [2, -1.5], "query_id": 3, "passage_ids": [4, "x"],
          "group": "記事"}, [Example("問", ("答", "外"), (2.0, -1.5), "3", ("4", "x"), "記事")]),
        ({"query": "問", "documents": ["答", "外"], "scores": None}, [Example("問", ("答", "外"))]),
        ({"anchor": "問", "positive": "答"}, [Example("問", ("答",))]),
        ({"anchor": "問", "positive": "答", "negative": "外"}, [Example("問", ("答", "外"))]),
        ({"query": "問", "positive": "答", "negative": ["外", "他"], "prompt": "?"},
         [Example("問", ("答", "外", "他"))]),
        ({"query": "問", "positive": "答", "negative_2": "他", "negative_1": "外"},
         [Example("問", ("答", "外", "他"))]),
        ({"query": "問", "document": "答"}, [Example("問", ("答",))]),
        ({"query": "問", "document_2": "外", "document_1": "答", "label": [1, 0]},
         [Example("問", ("答", "外"), (1.0, 0.0))]),
        ({"query": "問", "pos": ["答", "解"], "neg": ["外"]},
         [Example("問", ("答", "外")), Example("問", ("解", "外"))]),
        ({"query": "問", "pos": ["答", "解"], "neg": ["外"], "pos_scores": [3, 2], "neg_scores": [1]},
         [Example("問", ("答", "外"), (3.0, 1.0)), Example("問", ("解", "外"), (2.0, 1.0))]),
        ({"query": "問", "positives": ["答"], "negatives": []}, [Example("問", ("答",))]),
    ],
)  # fmt: skip
def test_keys_of_json_lines(row: dict[str, Any], expected: list[Example], tmp_path: Path) -> None:
    read = read_examples(write(tmp_path / "rows.jsonl", row))
    assert list(read) == expected
    assert len(read) == len(expected)


def test_tab_separated_pairs_and_triplets(tmp_path: Path) -> None:
    content = "日本の首都は？\t首都は東京。\t大阪は商都。\r\n\n富士山の高さは？\t富士山は3776メートル。".encode()
    (tmp_path / "triples.tsv").write_bytes(b"\xef\xbb\xbf" + content)
    assert list(read_examples(tmp_path / "triples.tsv")) == [TRIPLET, PAIR]
    (tmp_path / "triples.tsv.gz").write_bytes(gzip.compress(content))
    assert list(read_examples(tmp_path / "triples.tsv.gz")) == [TRIPLET, PAIR]
    (tmp_path / "triples.txt").write_bytes(content)
    assert list(read_examples(tmp_path / "triples.txt", format="tsv")) == [TRIPLET, PAIR]
    with pytest.raises(InputError, match=r"triples\.txt ends with '\.txt', which names no format"):
        read_examples(tmp_path / "triples.txt")


def test_parquet(tmp_path: Path) -> None:
    to_dataset([TRIPLET, TRIPLET]).to_parquet(tmp_path / "rows.parquet")
    assert list(read_examples(tmp_path / "rows.parquet")) == [TRIPLET, TRIPLET]
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(TrainingDataError, match=r"rows\.parquet is no Parquet file"):
        read_examples(tmp_path / "rows.parquet")


@given(st.lists(examples(), min_size=1, max_size=4), st.sampled_from(["rows.jsonl", "rows.jsonl.gz"]))
@settings(max_examples=40)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, written: list[Example], name: str) -> None:
    file = tmp_path_factory.getbasetemp() / name
    write_examples(file, written)
    read = read_examples(file)
    assert list(read) == list(read) == written
    assert len(read) == len(written)


def test_writing_is_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "new" / "rows.jsonl"
    write_examples(file, [NWAY])

    def failing() -> Any:
        yield PAIR
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_examples(file, failing())
    with pytest.raises(InputError, match="row 2 cannot be written as UTF-8: 'utf-8' codec can't encode"):
        write_examples(file, [PAIR, Example("\ud800", ("x",))])
    assert list(read_examples(file)) == [NWAY]
    assert [f.name for f in file.parent.iterdir()] == ["rows.jsonl"]
    assert file.stat().st_mode & 0o777 == 0o644
    with pytest.raises(InputError, match=r"rows\.json: give a name that ends with \.jsonl"):
        write_examples(tmp_path / "rows.json", [NWAY])


def test_squad(tmp_path: Path) -> None:
    read = list(read_examples(JAQUAD_EXCERPT))
    questions = read_squad([JAQUAD_EXCERPT])
    assert len(read) == len(questions.questions) == 211
    first, passage = questions.questions[0], questions.passages[0]
    assert read[0] == Example(first.text, (passage.text,), None, first.id, (passage.id,), passage.article)
    for name in ("copy.json", "copy.json.gz"):
        write_squad(tmp_path / name, questions)
        assert read_squad([tmp_path / name]) == questions
    assert sorted(f.name for f in tmp_path.iterdir()) == ["copy.json", "copy.json.gz"]
    passages = [Passage("p0", "題", "文。"), Passage("p1", "題", " ")]
    broken = QuestionSet(passages, [Question("a", "問", "p0", 0), Question("b", "", "p0"), Question("c", "問", "p1")])
    write_squad(tmp_path / "broken.json", broken)
    assert [line for line, _ in problems(tmp_path / "broken.json")] == [2, 3]
    with pytest.raises(InputError, match="the passage 'p9' of question 'a' is not in the set"):
        write_squad(tmp_path / "x.json", QuestionSet([], [Question("a", "問", "p9")]))
    (tmp_path / "cut.json.gz").write_bytes((tmp_path / "copy.json.gz").read_bytes()[:-200])
    with pytest.raises(TrainingDataError, match=r"cut\.json\.gz cannot be read: Compressed file ended"):
        read_examples(tmp_path / "cut.json.gz")


# Bad rows


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"query": "問"}, r"none of the keys \['query'\] holds passages"),
        ({"query": "問", "passages": []}, "there is no passage"),
        ({"query": "問", "pos": [], "neg": ["外"]}, "there is no positive passage: 'pos' is an empty list"),
        ({"passages": ["答"]}, "there is no query"),
        ({"query": " ", "passages": ["答"]}, "the query is empty"),
        ({"query": "問", "passages": ["答", ""]}, "passage 1 is empty"),
        ({"query": "問", "positive": ""}, "passage 0 is empty"),
        ({"query": "問", "passages": ["答", "外"], "scores": [1.0]}, "got 1 scores for 2 passages"),
        ({"query": "問", "passages": ["答"], "label": 1}, "label is a number, expected a list with one score for each"),
        ({"query": "問", "passages": ["答"], "scores": [float("nan")]}, "the score of passage 0 is nan"),
        ('{"query": "問", "passages": ["答"], "scores": [1e999]}', "the score of passage 0 is inf"),
        ('{"query": "問", "passages": ["答"], "scores": [1%s]}' % ("0" * 400), "the score of passage 0 is inf"),
        (
            {"query": "問", "passages": ["答"], "scores": [True]},
            "an entry of scores is true or false, expected a number",
        ),
        ({"query": "問", "passages": ["答"], "passage_ids": ["a", "b"]}, "got 2 passage ids for 1 passages"),
        ({"query": "問", "passages": ["答"], "query_id": 1.5}, "query_id is a number, expected a string or a whole"),
        ({"query": 7, "passages": ["答"]}, "query is a number, expected a string"),
        ({"query": "問", "passages": "答"}, "passages is a string, expected a list"),
        ({"query": "問", "passages": [None]}, "an entry of passages is null, expected a string"),
        ({"query": "問", "pos": "答", "positive": "答"}, "both 'positive' and 'pos' are given"),
        ({"query": "問", "passages": ["答"], "positive": "答"}, "both 'passages' and 'positive' hold passages"),
        ({"query": "問", "document_1": "答", "document_3": "外"}, "'document_2' is missing among 2 keys document_"),
        ({"query": "問", "pos": ["答", "解"], "scores": [1, 2]}, "2 positives share one list of 'scores'"),
        ({"query": "問", "pos": ["答"], "pos_scores": [1, 2]}, "got 2 'pos_scores' for 1 positives"),
        ('{"query": "\\ud800", "passages": ["答"]}', "query holds half of a surrogate pair"),
        ([1, [2, 0.5]], "expected an object, but got a list"),
        ("null", "expected an object, but got null"),
        ('{"query": "問", "pass', "not JSON: Unterminated string"),
        ("[" * 100_000, "not JSON that can be read"),
        ("1" * 5000, "not JSON that can be read"),
    ],
)
def test_bad_rows_are_shown_with_their_lines(row: Any, reason: str, tmp_path: Path) -> None:
    good = {"query": "問", "passages": ["答"]}
    file = write(tmp_path / "rows.jsonl", good, "", row, good)
    with pytest.raises(TrainingDataError, match=rf"1 of 3 rows cannot be used:\n  rows\.jsonl:3: .*{reason}") as caught:
        read_examples(file)
    assert [line for line, _ in caught.value.problems] == [3]
    skipped = BadRows()
    assert list(read_examples(file, skipped=skipped)) == [Example("問", ("答",))] * 2
    assert (skipped.rows, skipped.count, skipped.problems[0].line) == (3, 1, 3)


def test_bad_lines_of_tab_separated_files(tmp_path: Path) -> None:
    file = tmp_path / "rows.tsv"
    file.write_bytes("問\t答\n問\n問\t\t外\n\t\t\na\tb\tc\td\n".encode() + b"\xff\t\x80\n")
    assert [(line, reason.split(".")[0]) for line, reason in problems(file)] == [
        (2, "got 1 fields between tabs, expected query, positive and perhaps negative"),
        (3, "passage 0 is empty"),
        (4, "the query is empty"),
        (5, "got 4 fields between tabs, expected query, positive and perhaps negative"),
        (6, "byte 0 is not UTF-8"),
    ]


def test_damaged_gzip(tmp_path: Path) -> None:
    file = tmp_path / "rows.tsv.gz"
    packed = gzip.compress(b"".join(f"query {n}\tpassage {n * 7919}\n".encode() for n in range(5000)), mtime=0)
    damaged = {"cut": packed[:-2000], "changed": packed[:-2000] + b"\0" * 2000, "none": b"not gzip at all"}
    for name, content in damaged.items():
        file.write_bytes(content)
        ((line, reason),) = problems(file)
        assert reason.startswith("the file is damaged from here on (")
        assert (line == 1) == (name == "none")
    file.write_bytes(packed[:-2000])
    skipped = BadRows()
    read = list(read_examples(file, skipped=skipped))
    assert read[-1].query == f"query {len(read) - 1}"
    assert skipped.problems[0].line == len(read) + 1 > 1000


def test_all_bad_rows_are_counted_and_ten_are_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(tmp_path / "rows.jsonl", {"query": "問", "passages": ["答"]}, *["{"] * 1199)
    with pytest.raises(TrainingDataError, match=r"1,199 of 1,200 rows") as caught:
        read_examples(file)
    assert str(caught.value).count("\n  rows.jsonl:") == 10
    assert "… and 1,189 more" in str(caught.value)
    assert "give a BadRows as `skipped`" in str(caught.value)
    assert len(caught.value.problems) == 1000
    skipped = BadRows()
    with caplog.at_level(logging.WARNING):
        assert len(read_examples(file, skipped=skipped)) == 1
    assert "1,199 of 1,200 rows cannot be used" in caplog.text
    read_examples(file, skipped=skipped)
    assert (skipped.rows, skipped.count, len(skipped.problems)) == (2400, 2398, 1000)
    with pytest.raises(TrainingDataError, match=r"rows\.jsonl has no row to train on: 2 of 2 rows cannot be used"):
        read_examples(write(tmp_path / "rows.jsonl", "{", "{"), skipped=skipped)
    with pytest.raises(TrainingDataError, match=r"rows\.jsonl has no row to train on: it is empty"):
        read_examples(write(tmp_path / "rows.jsonl", ""), skipped=skipped)
    with pytest.raises(TrainingDataError, match=r"absent\.jsonl cannot be read: No such file"):
        read_examples(tmp_path / "absent.jsonl")


def test_a_file_that_turns_bad_after_it_was_checked(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", {"query": "問", "passages": ["答"]})
    read = read_examples(file)
    write(file, {"query": "問", "passages": ["答"]}, "{")
    with pytest.raises(TrainingDataError, match=r"rows\.jsonl:2: not JSON"):
        list(read)


# n-way tuples by ids

QUERIES = [("10", "猫とは"), ("11", "犬とは")]
PASSAGES = [("0", "猫はネコ科。"), ("1", "犬はイヌ科。"), ("2", TRICKY), ("abc", "鳥は飛ぶ。")]
SCORED = [[10, [0, 9.5], [1, 0.1], ["2", -3]], ["11", [1, 8], ["abc", 0], [0, 7.25]]]


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Any]:
    write_texts(tmp_path / "queries.tsv", QUERIES)
    write_texts(tmp_path / "collection.jsonl.gz", PASSAGES)
    return {
        "queries": tmp_path / "queries.tsv",
        "collection": tmp_path / "collection.jsonl.gz",
        "cache_dir": tmp_path / "cache",
    }


def test_scored_tuples(tmp_path: Path, sources: dict[str, Any]) -> None:
    dataset = nway_dataset(write(tmp_path / "triples.json", *SCORED), **sources, ways=3)
    first = {"query": "猫とは", "document_1": "猫はネコ科。", "document_2": "犬はイヌ科。", "document_3": TRICKY}
    assert dataset[0] == first | {"scores": [9.5, 0.1, -3.0]}
    assert list(dataset[0]) == ["query", "document_1", "document_2", "document_3", "scores"]
    assert dataset[1]["document_2"] == "鳥は飛ぶ。"
    assert dataset.select([1, 0, 1])[:]["query"] == ["犬とは", "猫とは", "犬とは"]
    two = nway_dataset(tmp_path / "triples.json", **sources, ways=2)
    assert two[1] == {"query": "犬とは", "document_1": "犬はイヌ科。", "document_2": "鳥は飛ぶ。", "scores": [8.0, 0.0]}
    with pytest.raises(TrainingDataError, match="32 ways were asked for, but there are only 3 passages") as caught:
        nway_dataset(tmp_path / "triples.json", **sources)
    assert [line for line, _ in caught.value.problems] == [1, 2]
    with pytest.raises(RecipeError, match="ways is 0"):
        nway_dataset(tmp_path / "triples.json", **sources, ways=0)


@pytest.mark.parametrize(
    ("row", "has_scores"),
    [
        ([10, 0, 1], False),
        (["10", "0", "1"], False),
        ([10, [0, 2.5], [1, 0.5]], True),
        ({"query_id": 10, "pos_id": 0, "neg_ids": [1], "pos_score": 2.5, "neg_scores": [0.5]}, True),
        ({"query_id": 10, "pos_id": 0, "neg_ids": [1]}, False),
        ({"query_id": "10", "document_ids": ["0", "1"], "scores": [2.5, 0.5]}, True),
        ({"query_id": "10", "passage_ids": [0, 1]}, False),
    ],
)
def test_layouts_of_tuples(row: Any, has_scores: bool, tmp_path: Path, sources: dict[str, Any]) -> None:
    expected = Example("猫とは", ("猫はネコ科。", "犬はイヌ科。"), (2.5, 0.5) if has_scores else None, "10", ("0", "1"))
    assert list(read_nway(write(tmp_path / "rows.jsonl", row), **sources)) == [expected]
    assert ("scores" in nway_dataset(tmp_path / "rows.jsonl", **sources, ways=2)[0]) is has_scores
    if isinstance(row, dict):
        from datasets import Dataset

        Dataset.from_list([row]).to_parquet(tmp_path / "rows.parquet")
        assert list(read_nway(tmp_path / "rows.parquet", **sources)) == [expected]
    elif not has_scores:
        tuples = write(tmp_path / "rows.tsv", "\t".join(map(str, row)))
        assert list(read_nway(tuples, **sources)) == [expected]


def test_bad_tuples(tmp_path: Path, sources: dict[str, Any]) -> None:
    rows = {
        "[99, 0, 1]": "the query id '99' is not in queries.tsv",
        "[10, 0, 77]": "the passage id '77' is not in collection.jsonl.gz",
        "[10, 0]": "2 ways were asked for, but there are only 1 passages",
        "[10]": "there is no passage",
        "[]": "expected a list [qid, [pid, score], …] or an object, but got a list",
        "{}": "got the keys []",
        '{"query_id": 10, "pos_id": 0, "neg_ids": [1], "pos_score": 1, "neg_scores": []}': "got 1 scores for 2",
        '{"query_id": 10, "pos_id": 0, "neg_ids": [1], "neg_scores": [1]}': "got 1 scores for 2",
        "[10, [0, NaN], [1, 0]]": "the score of passage 0 is nan",
        "[10, [0, 1], 1]": "expected [pid, score] for every passage of a scored tuple, but got 1",
        "[10, [0, 1], [1, 2, 3]]": "expected [pid, score] for every passage of a scored tuple, but got [1, 2, 3]",
        '[10, [0, "1"], [1, 0]]': "score is a string, expected a number",
        "[10, 0.5, 1]": "passage id is a number, expected a string or a whole number",
        "[true, 0, 1]": "query id is true or false",
        '[10, "", 1]': "passage id is empty",
        "[10, [0, 1], [1, 0]]": "this row has scores, but the rows before it have none",
        "oops": "not JSON",
    }
    file = write(tmp_path / "rows.jsonl", [10, 0, 1], *rows, [11, 1, "abc"])
    with pytest.raises(TrainingDataError, match=r"17 of 19 rows cannot be used") as caught:
        nway_dataset(file, **sources, ways=2)
    assert [line for line, _ in caught.value.problems] == list(range(2, 19))
    for (_, reason), expected in zip(caught.value.problems, rows.values(), strict=True):
        assert reason.startswith(expected)
    skipped = BadRows()
    dataset = nway_dataset(file, **sources, ways=2, skipped=skipped)
    assert dataset[:]["query"] == ["猫とは", "犬とは"]
    assert (skipped.rows, skipped.count) == (19, 17)
    with pytest.raises(TrainingDataError, match="17 of 19 rows"):  # skipping once allows nothing later
        nway_dataset(file, **sources, ways=2)


@given(st.lists(st.tuples(texts, st.lists(st.tuples(texts, scores), min_size=2, max_size=4)), min_size=1, max_size=4))
@settings(max_examples=15)
def test_written_tuples_are_read(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[str, list[tuple[str, float]]]]
) -> None:
    folder = tmp_path_factory.mktemp("nway")
    passages = {text: str(n) for n, text in enumerate(dict.fromkeys(text for _, row in drawn for text, _ in row))}
    written = [
        Example(query, tuple(t for t, _ in row), tuple(s for _, s in row), f"q{n}", tuple(passages[t] for t, _ in row))
        for n, (query, row) in enumerate(drawn)
    ]
    write_nway(folder / "rows.jsonl.gz", written)
    write_texts(folder / "queries.jsonl", [(f"q{n}", query) for n, (query, _) in enumerate(drawn)])
    write_texts(folder / "collection.jsonl", [(key, text) for text, key in passages.items()])
    read = read_nway(
        folder / "rows.jsonl.gz", folder / "queries.jsonl", folder / "collection.jsonl", cache_dir=folder / "cache"
    )
    assert list(read) == list(read) == written
    assert len(read) == len(written)


def test_tuples_are_written_as_colbert_reads_them(tmp_path: Path) -> None:
    scored = Example("問", ("答", "外"), (1.5, 0.25), "3", ("007", "12"))
    write_nway(tmp_path / "rows.json", [scored, Example("問", ("答",), None, "q", ("0",))])
    assert (tmp_path / "rows.json").read_text() == '[3, ["007", 1.5], [12, 0.25]]\n["q", 0]\n'
    with pytest.raises(InputError, match="example 1 has no ids"):
        write_nway(tmp_path / "rows.json", [PAIR])
    with pytest.raises(InputError, match=r"rows\.tsv: give a name that ends with \.jsonl or \.json"):
        write_nway(tmp_path / "rows.tsv", [scored])


# Collections


def test_collections(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    file = write(tmp_path / "collection.tsv", "0\t本文\r", "x\t本文二\t題")
    assert text_dataset(file, cache_dir=cache)[:] == {"id": ["0", "x"], "text": ["本文", "題 | 本文二"]}
    rows = [{"_id": "a", "text": TRICKY}, {"pid": 1, "passage": "b"}, {"query_id": "c", "query": "d"}]
    assert text_dataset(write(tmp_path / "c.jsonl", *rows), cache_dir=cache)["id"][:] == ["a", "1", "c"]
    bad = {
        "1\t": "the text of id '1' is empty",
        "0\tzwei": "the id '0' has come before",
        "\ttext": "the id is empty",
        "2": "got 1 fields, expected id, text and perhaps title",
    }
    with pytest.raises(TrainingDataError, match=r"bad\.tsv: 4 of 5 rows") as caught:
        text_dataset(write(tmp_path / "bad.tsv", "0\tnull", *bad), cache_dir=cache)
    assert [line for line, _ in caught.value.problems] == [2, 3, 4, 5]
    for (_, reason), expected in zip(caught.value.problems, bad.values(), strict=True):
        assert reason.startswith(expected)
    for row, reason in [
        ({"id": 1}, r"got only \['id'\], expected one key for the text"),
        ({"id": 1, "text": "x", "passage": "x"}, "got both 'text' and 'passage'"),
        ("7", "got something else"),
    ]:
        with pytest.raises(TrainingDataError, match=reason):
            text_dataset(write(tmp_path / "c.jsonl", row), cache_dir=cache)


def test_writing_collections(tmp_path: Path) -> None:
    write_texts(tmp_path / "c.tsv.gz", PASSAGES[:2])
    assert gzip.decompress((tmp_path / "c.tsv.gz").read_bytes()).decode() == "0\t猫はネコ科。\n1\t犬はイヌ科。\n"
    with pytest.raises(InputError, match=r"the text of id '2' holds a tab or a line break\. Write a \.jsonl"):
        write_texts(tmp_path / "c.tsv", PASSAGES)
    with pytest.raises(InputError, match="the text of id 'x' is empty"):
        write_texts(tmp_path / "c.jsonl", [("x", " ")])
    with pytest.raises(InputError, match=r"give a name that ends with \.tsv or \.jsonl"):
        write_texts(tmp_path / "c.parquet", PASSAGES)
    assert [f.name for f in tmp_path.iterdir()] == ["c.tsv.gz"]


# Tables on disk


def test_tables_are_made_once_and_anew_when_a_source_changes(tmp_path: Path, sources: dict[str, Any]) -> None:
    file = write(tmp_path / "rows.jsonl", *SCORED)

    def tables() -> dict[str, int]:
        return {f.parent.name: f.stat().st_mtime_ns for f in Path(sources["cache_dir"]).glob("*/rows.arrow")}

    nway_dataset(file, **sources, ways=2)
    once = tables()
    assert sorted(name.split("-")[0] for name in once) == ["nway", "texts", "texts"]
    nway_dataset(file, **sources, ways=2)
    assert tables() == once
    nway_dataset(file, **sources, ways=3)
    assert len(tables()) == 4
    write(file, *SCORED[:1])
    assert len(nway_dataset(file, **sources, ways=2)) == 1
    assert len(tables()) == 5
    write_texts(sources["queries"], [("10", "変更"), ("11", "犬とは")])
    assert nway_dataset(file, **sources, ways=2)[:]["query"] == ["変更"]
    assert len(tables()) == 7
    os.utime(file, ns=(1, 1))
    nway_dataset(file, **sources, ways=2)
    assert len(tables()) == 8
    file.unlink()
    with pytest.raises(TrainingDataError, match=r"rows\.jsonl cannot be read: No such file"):
        nway_dataset(file, **sources, ways=2)


def test_a_table_that_two_processes_make_at_once_is_that_of_the_first_to_be_done(tmp_path: Path) -> None:
    from datasets import Features, Value

    source, cache = write(tmp_path / "rows.jsonl", {}), tmp_path / "cache"

    def table(rows: Callable[[], list[dict[str, str]]]) -> Any:
        features = Features({"text": Value("string")})
        return cached_table(cache, "table", [source], {}, features, lambda _: rows())[0]

    def made_elsewhere_meanwhile() -> list[dict[str, str]]:
        table(lambda: [{"text": "first"}])
        return [{"text": "second"}]

    assert table(made_elsewhere_meanwhile)["text"][:] == ["first"]
    assert table(list)["text"][:] == ["first"]
    (folder,) = cache.iterdir()
    assert sorted(file.name for file in folder.iterdir()) == ["bad_rows.json", "rows.arrow"]


def test_file_dataset(tmp_path: Path) -> None:
    rows = [{"query": "問", "pos": ["答", "解"], "neg": ["外"]}, {"query": "問", "passages": ["a", "b", "c"]}]
    file = write(tmp_path / "rows.jsonl", *rows)
    dataset = file_dataset(file, ways=2, cache_dir=tmp_path / "cache")
    assert dataset.column_names == ["query", "document_1", "document_2"]
    assert dataset["document_1"][:] == ["答", "解", "a"]
    assert file_dataset(file, ways=1, cache_dir=tmp_path / "cache").column_names == ["query", "document"]
    skipped = BadRows()
    assert len(file_dataset(file, ways=3, cache_dir=tmp_path / "cache", skipped=skipped)) == 1
    assert skipped.problems[0].reason.startswith("3 ways were asked for, but there are only 2 passages")
    write(file, *rows, {"query": "問", "passages": ["a", "b"], "scores": [1, 2]})
    with pytest.raises(TrainingDataError, match=r"rows\.jsonl:3: this row has scores, but the rows before it have"):
        file_dataset(file, ways=2, cache_dir=tmp_path / "cache")
    with pytest.raises(RecipeError, match="ways is 0"):
        file_dataset(file, ways=0, cache_dir=tmp_path / "cache")


def test_datasets_in_memory() -> None:
    dataset = to_dataset([NWAY, NWAY])
    assert dataset.column_names == ["query", "document_1", "document_2", "document_3", "scores"]
    assert dataset[1]["document_3"] == TRICKY
    assert dataset[0]["scores"] == [9.5, -1.25, 0.1]
    assert to_dataset([PAIR, TRIPLET], ways=1).column_names == ["query", "document"]
    with pytest.raises(TrainingDataError, match=r"1 of 2 examples .* example 2: 2 ways .* only 1 passages"):
        to_dataset([TRIPLET, PAIR])
    with pytest.raises(TrainingDataError, match="example 2: this row has scores, but the rows before it have none"):
        to_dataset([TRIPLET, NWAY], ways=2)
    with pytest.raises(TrainingDataError, match="there is no example"):
        to_dataset([])
    with pytest.raises(RecipeError, match="ways is 0"):
        to_dataset([PAIR], ways=0)


@given(st.lists(examples(), min_size=1, max_size=4))
@settings(max_examples=25)
def test_datasets_and_back(drawn: list[Example]) -> None:
    for example in drawn:
        plain = Example(example.query, example.passages, example.scores)
        assert list(from_dataset(to_dataset([example, example]))) == [plain, plain]


def test_from_dataset_shows_bad_rows() -> None:
    from datasets import Dataset

    dataset = Dataset.from_dict({"anchor": ["問", "", "問"], "positive": ["答", "答", None], "negative": ["外"] * 3})
    with pytest.raises(TrainingDataError, match="the dataset: 2 of 3 rows cannot be used") as caught:
        from_dataset(dataset)
    assert [line for line, _ in caught.value.problems] == [2, 3]
    assert list(from_dataset(dataset, skipped=BadRows())) == [Example("問", ("答", "外"))]


_MEASURE = """
import json, os, sys
from pathlib import Path
from jacolbert_integrations.training.data.nway import nway_dataset

WAYS, TEXTS = 32, 2000

def anonymous():  # memory of our own, in MiB: pages of mapped files are the system's to drop
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024

def tuples(count):
    for n in range(count):
        yield [n % TEXTS, *([(n * 31 + k * 7) % TEXTS, n / 7 - k] for k in range(WAYS))]

def peak(count):
    file = Path(sys.argv[1]) / f"{count}.jsonl"
    with file.open("w") as stream:
        stream.writelines(json.dumps(row) + "\\n" for row in tuples(count))
    start = highest = anonymous()
    dataset = nway_dataset(file, texts, texts, ways=WAYS, cache_dir=sys.argv[1])
    highest = max(highest, anonymous())
    assert len(dataset) == count
    for n, batch in enumerate(dataset.shuffle(seed=1).iter(batch_size=64)):
        highest = max(highest, anonymous())
        if n == 50:
            break
    return highest - start

texts = Path(sys.argv[1]) / "texts.tsv"
texts.write_text("".join(f"{n}\\tpassage {n}\\n" for n in range(TEXTS)))
peak(100)  # what is imported and allocated once
few, many = peak(1000), peak(12000)
start = anonymous()
rows = list(tuples(12000))
print(json.dumps({"few": few, "many": many, "list": anonymous() - start}))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured as Linux tells it")
def test_memory_stays_flat(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _MEASURE, str(tmp_path)], capture_output=True, text=True, check=True)
    grown = json.loads(done.stdout)
    assert grown["list"] > 40  # what the 12,000 tuples would take in memory
    assert grown["many"] - grown["few"] < grown["list"] / 4  # allocators take memory in pieces of some MiB
