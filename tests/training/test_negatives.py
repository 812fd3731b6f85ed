"""Hard negatives: which ranks they are from, what the guards remove, and that nothing is left to chance."""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.cli import negatives as command
from jacolbert_integrations.errors import CheckpointNotFoundError, InputError, VectorError
from jacolbert_integrations.text.squad import Passage, QuestionSet, read_squad
from jacolbert_integrations.training.data.examples import read_examples
from jacolbert_integrations.training.negatives import Source, mine_negatives, v1_sources
from jacolbert_integrations.training.pairs import question_pairs
from jacolbert_integrations.training.rankers import (
    BM25Ranker,
    DenseRanker,
    LateInteractionRanker,
    Ranker,
    Ranking,
    check_corpus,
)
from jacolbert_integrations.training.records import Example

from ..conftest import JAQUAD_EXCERPT, STANFORD

CORPUS = [Passage(f"p{rank}", f"article {rank}", "猫" + " 犬" * (rank - 1)) for rank in range(1, 13)]
"""One 猫 each, and the longer the passage the less it weighs: BM25 ranks them p1, p2, … p12 for 猫."""


def example(positive: int, query: str = "猫", **changes: Any) -> Example:
    passage = CORPUS[positive - 1]
    fields = {"query_id": "q", "passage_ids": (passage.id,), "group": passage.article} | changes
    return Example(query, (passage.text,), **fields)


def bm25(**choices: Any) -> Source:
    settings: dict[str, Any] = {"window": (3, 6), "count": 50} | choices
    return Source(ranker=BM25Ranker([p.text for p in CORPUS]), **settings)


class Table:
    """A ranker that reads its scores off a table."""

    name = "table"

    def __init__(self, passages: Sequence[str], table: dict[str, list[float]], fails_after: int | None = None) -> None:
        self.passages = list(passages)
        self.table = table
        self.asked: list[list[str]] = []
        self.fails_after = fails_after

    @property
    def fingerprint(self) -> str:
        return f"table {self.table}"

    def rank(self, queries: Sequence[str], depth: int, own: Sequence[int | None]) -> list[Ranking]:
        if len(self.asked) == self.fails_after:
            raise KeyboardInterrupt
        self.asked.append(list(queries))
        found = []
        for query, column in zip(queries, own, strict=True):
            scores = np.array(self.table[query], np.float32)
            order = np.argsort(-scores, kind="stable")[:depth]
            found.append(Ranking(order, scores[order], None if column is None else float(scores[column])))
        return found


def ids(mined: Example) -> list[str]:
    assert mined.passage_ids is not None
    texts = {passage.id: passage.text for passage in CORPUS}
    assert [texts[i] for i in mined.passage_ids] == list(mined.passages)
    return list(mined.passage_ids)


def test_the_window_is_applied(tmp_path: Path) -> None:
    """Ranks count from 1 in the whole ranking, both ends are in, and nothing outside is ever taken."""
    top = mine_negatives([example(1)], CORPUS, [bm25(sampling="top")], file=tmp_path / "top")
    assert ids(top.examples[0]) == ["p1", "p3", "p4", "p5", "p6"]
    few = mine_negatives([example(1)], CORPUS, [bm25(sampling="top", count=2)], file=tmp_path / "few")
    assert ids(few.examples[0]) == ["p1", "p3", "p4"]
    drawn = set()
    for seed in range(60):
        mined = mine_negatives([example(4)], CORPUS, [bm25(count=2)], seed=seed, file=tmp_path / f"{seed}")
        positive, *negatives = ids(mined.examples[0])
        assert positive == "p4"
        assert len(set(negatives)) == 2
        drawn |= set(negatives)
    assert drawn == {"p3", "p5", "p6"}  # the positive keeps its rank, and nothing moves up into the window


def test_nothing_is_filled_up(tmp_path: Path) -> None:
    first, second = example(1), example(1, query="犬 鳥")  # 犬 is in p2 to p12 only
    mined = mine_negatives([first, second], CORPUS, [bm25(window=(11, 12), count=3)], file=tmp_path / "j")
    assert [sorted(ids(e)) for e in mined.examples] == [["p1", "p11", "p12"], ["p1", ids(mined.examples[1])[1]]]
    assert (mined.wanted, mined.found, mined.short, mined.empty) == (3, 3, 2, 0)
    with pytest.raises(InputError, match="none of the 1 queries got a negative"):
        mine_negatives([example(1, query="鳥")], CORPUS, [bm25()], file=tmp_path / "none")
    mixed = mine_negatives([first, example(1, query="鳥")], CORPUS, [bm25()], file=tmp_path / "mixed")
    assert (mixed.short, mixed.empty, mixed.examples[1].ways) == (2, 1, 1)


def test_the_positive_its_copies_and_its_document_are_removed(tmp_path: Path) -> None:
    corpus = list(CORPUS)
    corpus[3] = Passage("copy", "elsewhere", "猫 犬\u3000犬 犬 犬")  # p5's text, apart from white space
    corpus[5] = Passage("p6", "article 5", CORPUS[5].text)
    texts = [p.text for p in corpus]
    source = Source(ranker=BM25Ranker(texts), window=(3, 8), count=50, sampling="top")
    mined = mine_negatives([example(5)], corpus, [source], file=tmp_path / "strict")
    assert mined.examples[0].passage_ids == ("p5", "p3", "p7", "p8")
    assert mined.removed == {"same_text": 2, "same_document": 1, "margin": 0}
    loose = mine_negatives([example(5)], corpus, [source], file=tmp_path / "loose", same_document=True)
    assert loose.examples[0].passage_ids == ("p5", "p3", "p6", "p7", "p8")
    unnamed = mine_negatives([example(5, group=None, passage_ids=None)], corpus, [source], file=tmp_path / "unnamed")
    assert unnamed.examples[0].passages == mined.examples[0].passages
    assert unnamed.examples[0].group is None


def test_other_positives_of_the_query_are_removed(tmp_path: Path) -> None:
    mined = mine_negatives([example(4), example(6), example(4)], CORPUS, [bm25(sampling="top")], file=tmp_path / "j")
    assert [ids(e) for e in mined.examples] == [["p4", "p3", "p5"], ["p6", "p3", "p5"], ["p4", "p3", "p5"]]


def test_margins_by_hand(tmp_path: Path) -> None:
    texts = [p.text for p in CORPUS]
    ranker = Table(texts, {"猫": [10, 9.5, 9, 8, 7, 0, 0, 0, 0, 0, 0, 0], "犬": [-10, -9, -10.5, -11, *[-12] * 8]})

    def negatives(query: str, **margin: float) -> list[str]:
        source = Source(ranker=ranker, window=(1, 5), count=50, sampling="top", **margin)
        file = tmp_path / f"{query} {margin}"
        return ids(mine_negatives([example(1, query)], CORPUS, [source], file=file).examples[0])[1:]

    assert negatives("猫") == ["p2", "p3", "p4", "p5"]
    assert negatives("猫", absolute_margin=1.0) == ["p3", "p4", "p5"]  # at most 9
    assert negatives("猫", relative_margin=0.2) == ["p4", "p5"]  # at most 8
    assert negatives("猫", absolute_margin=2.5, relative_margin=0.2) == ["p5"]
    assert negatives("犬") == ["p2", "p3", "p4", "p5"]
    assert negatives("犬", absolute_margin=0.0) == ["p3", "p4", "p5"]  # at most -10: p2 beat the positive
    assert negatives("犬", relative_margin=0.1) == ["p4", "p5"]  # at most -11: a share of the magnitude
    source = Source(ranker=ranker, window=(1, 5), absolute_margin=1.0)
    strange = Example("猫", ("鳥",))
    with pytest.raises(InputError, match="1 positives are not in the corpus, first that of '猫'"):
        mine_negatives([strange], CORPUS, [source], file=tmp_path / "strange")
    assert not (tmp_path / "strange").exists()


def test_sources_do_not_repeat_each_other(tmp_path: Path) -> None:
    texts = [p.text for p in CORPUS]
    ranker = Table(texts, {"猫": [0, *range(11, 0, -1)]})
    model = Source(ranker=ranker, window=(1, 4), count=2, sampling="top")
    mined = mine_negatives([example(1)], CORPUS, [model, bm25(count=3, sampling="top")], file=tmp_path / "j")
    assert ids(mined.examples[0]) == ["p1", "p2", "p3", "p4", "p5", "p6"]
    twice = [*CORPUS, Passage("again", "elsewhere", CORPUS[3].text)]
    source = Source(ranker=BM25Ranker([p.text for p in twice]), window=(3, 6), sampling="top")
    assert mine_negatives([example(1)], twice, [source], file=tmp_path / "2").examples[0].passage_ids == (
        "p1", "p3", "p4", "p5",
    )  # fmt: skip


def test_what_is_kept_and_what_is_replaced(tmp_path: Path) -> None:
    given = Example("猫", (CORPUS[0].text, "鳥"), (1.0, 0.0), "q7", ("p1", "x"), "article 1")
    mined = mine_negatives([given], CORPUS, [bm25(sampling="top", count=1)], file=tmp_path / "j").examples[0]
    assert mined == Example("猫", (CORPUS[0].text, CORPUS[2].text), None, "q7", ("p1", "p3"), "article 1")
    assert given.scores == (1.0, 0.0)


def test_v1_takes_25_and_10() -> None:
    ranker = BM25Ranker(["猫"])
    assert [source.count for source in v1_sources(ranker, ranker)] == [25, 10]
    assert Source(ranker=ranker).count == 25


QUERIES = [f"q{i}" for i in range(11)]


def shuffled_table(**choices: Any) -> Table:
    rng = random.Random(5)
    return Table([p.text for p in CORPUS], {query: rng.sample(range(12), 12) for query in QUERIES}, **choices)


def mine_table(ranker: Table, file: Path, seed: int = 1, batch_size: int = 3) -> list[Example]:
    examples = [example(1 + i, query) for i, query in enumerate(QUERIES)]
    source = Source(ranker=ranker, window=(2, 11), count=4)
    return mine_negatives(examples, CORPUS, [source], file=file, seed=seed, batch_size=batch_size).examples


def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    expected = mine_table(shuffled_table(), whole)
    with pytest.raises(KeyboardInterrupt):
        mine_table(shuffled_table(fails_after=2), cut)
    assert 0 < len(cut.read_bytes()) < len(whole.read_bytes())
    ranker = shuffled_table()
    assert mine_table(ranker, cut) == expected
    assert ranker.asked == [QUERIES[6:9], QUERIES[9:]]
    assert cut.read_bytes() == whole.read_bytes()
    cached = shuffled_table()
    assert mine_table(cached, cut) == expected
    assert cached.asked == []


@settings(max_examples=25)
@given(st.floats(0, 1), st.integers(1, 12))
def test_neither_kills_nor_batches_change_anything(
    tmp_path_factory: pytest.TempPathFactory, share: float, batch_size: int
) -> None:
    folder = tmp_path_factory.mktemp("kills")
    expected = mine_table(shuffled_table(), folder / "3")
    assert mine_table(shuffled_table(), folder / "whole", batch_size=batch_size) == expected
    content = (folder / "whole").read_bytes()
    (folder / "cut").write_bytes(content[: int(share * len(content))])
    assert mine_table(shuffled_table(), folder / "cut", batch_size=batch_size) == expected
    assert (folder / "cut").read_bytes() == content


def test_the_seed_decides(tmp_path: Path) -> None:
    first, second = (mine_table(shuffled_table(), tmp_path / f"{seed}", seed) for seed in (1, 2))
    assert first != second
    with pytest.raises(InputError, match="seed is 1 there and 2 here"):
        mine_table(shuffled_table(), tmp_path / "1", 2)
    alone = mine_negatives(
        [example(1 + 7, QUERIES[7])],
        CORPUS,
        [Source(ranker=shuffled_table(), window=(2, 11), count=4)],
        file=tmp_path / "alone",
        seed=1,
    )
    assert alone.examples == [first[7]]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"window": (0, 5)}, r"the window \(0, 5\) is none: ranks count from 1"),
        ({"window": (5, 4)}, r"the window \(5, 4\) is none"),
        ({"count": 0}, "count of negatives is 0"),
        ({"absolute_margin": -0.1}, "absolute_margin is -0.1"),
        ({"relative_margin": float("nan")}, "relative_margin is nan"),
        ({"sampling": "best"}, "sampling is 'best', but it must be 'random' or 'top'"),
    ],
)
def test_bad_sources(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bm25(**choices)


def test_bad_arguments(tmp_path: Path) -> None:
    def fails(match: str, corpus: list[Passage] = CORPUS, sources: Any = None, **choices: Any) -> None:
        sources = [bm25()] if sources is None else sources
        with pytest.raises(InputError, match=match):
            mine_negatives([example(1)], corpus, sources, file=tmp_path / "j", **choices)
        assert not (tmp_path / "j").exists()

    fails("no sources", sources=[])
    fails("batch_size is 0", batch_size=0)
    fails("share an id", corpus=[*CORPUS, CORPUS[0]])
    fails("passage 'e' of the corpus is empty", corpus=[*CORPUS, Passage("e", "", " ")])
    fails("bm25 ranks 12 passages that are not the corpus's 11", corpus=CORPUS[:-1])
    fails("the window begins at rank 13, but the corpus has 12", sources=[bm25(window=(13, 20))])
    with pytest.raises(InputError, match="no examples"):
        mine_negatives([], CORPUS, [bm25()], file=tmp_path / "j")
    with pytest.raises(InputError, match="got one string: '猫'"):
        check_corpus("猫")
    with pytest.raises(InputError, match="no passages"):
        BM25Ranker([])
    with pytest.raises(InputError, match="passage 1 is a int"):
        check_corpus(["猫", 1])  # type: ignore[list-item]


TEXTS = ["東京は日本の首都である。", "富士山は日本一高い山である。", "猫は寝る。", "猫は寝る。", "大阪は西にある。"]


def rankers(dense: SentenceTransformer, mini: JaColBERT) -> list[Ranker]:
    return [BM25Ranker(TEXTS), DenseRanker(dense, TEXTS), LateInteractionRanker(mini, TEXTS)]


def test_rankers_agree_with_their_models(dense: SentenceTransformer, mini: JaColBERT) -> None:
    queries = ["日本の首都", "猫", "鳥 魚"]
    lexical, single, late = [ranker.rank(queries, 5, [0, None, 4]) for ranker in rankers(dense, mini)]
    assert lexical[0].columns.tolist()[:2] == [0, 1]
    assert (lexical[1].columns.tolist(), lexical[2].columns.tolist()) == ([2, 3], [])
    assert [found.own for found in lexical] == [float(lexical[0].scores[0]), None, 0.0]
    similarities = dense.similarity(dense.encode_query(queries), dense.encode_document(TEXTS)).numpy()
    for query, found, expected in [*zip(queries, single, similarities, strict=True)]:
        assert found.columns.tolist() == np.argsort(-expected.round(5), kind="stable").tolist(), query
        np.testing.assert_allclose(found.scores, expected[found.columns], atol=1e-5)
    for query, found in zip(queries, late, strict=True):
        hits = mini.rank(query, TEXTS)
        assert sorted(found.columns.tolist()) == list(range(5))
        np.testing.assert_allclose(found.scores, [hit.score for hit in hits], atol=1e-4)
    assert late[2].own == pytest.approx(mini.score([queries[2]], [TEXTS[4]])[0, 0], abs=1e-4)


def test_equal_scores_keep_the_order_of_the_corpus() -> None:
    ranker = BM25Ranker(["猫 犬", "鳥", "猫 犬", "猫", "猫 犬"])
    for depth, expected in [(1, [3]), (2, [3, 0]), (3, [3, 0, 2]), (9, [3, 0, 2, 4])]:
        assert ranker.rank(["猫"], depth, [None])[0].columns.tolist() == expected
    assert ranker.rank([" "], 3, [None])[0].columns.tolist() == []


def test_fingerprints_tell_rankers_apart(dense: SentenceTransformer, mini: JaColBERT, model: JaColBERT) -> None:
    other: list[Ranker] = [BM25Ranker(TEXTS, k1=0.9), LateInteractionRanker(model, TEXTS)]
    found = [ranker.fingerprint for ranker in [*rankers(dense, mini), *other]]
    assert len(set(found)) == 5
    assert found[:3] == [ranker.fingerprint for ranker in rankers(dense, mini)]


def test_dense_models_of_a_directory(dense: SentenceTransformer, tmp_path: Path) -> None:
    dense.save_pretrained(str(tmp_path / "dense"))
    ranker = DenseRanker.from_pretrained(str(tmp_path / "dense"), TEXTS, device="cpu")
    assert ranker.fingerprint == DenseRanker(dense, TEXTS).fingerprint
    with pytest.raises(CheckpointNotFoundError, match=r"there is no model '.*absent'"):
        DenseRanker.from_pretrained(str(tmp_path / "absent"), TEXTS)


def test_broken_weights_are_no_ranking() -> None:
    transformer = Transformer(str(STANFORD))
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="mean")
    broken = SentenceTransformer(modules=[transformer, pooling], device="cpu")
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    with pytest.raises(VectorError, match="NaN or infinity"):
        DenseRanker(broken, TEXTS).rank(["猫"], 2, [None])


@pytest.fixture(scope="module")
def questions() -> QuestionSet:
    return read_squad([JAQUAD_EXCERPT])


@pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")
def test_on_real_questions(questions: QuestionSet, mini: JaColBERT, tmp_path: Path) -> None:
    examples = question_pairs(questions)[:40]
    texts = [p.text for p in questions.passages]
    model = LateInteractionRanker(mini, texts)
    sources = [
        Source(ranker=model, window=(2, 40), count=6, relative_margin=0.02),
        Source(ranker=BM25Ranker(texts), window=(2, 40), count=3),
    ]
    mined = mine_negatives(examples, questions.passages, sources, file=tmp_path / "a", batch_size=16)
    again = mine_negatives(examples, questions.passages, sources, file=tmp_path / "b", batch_size=7)
    assert mined == again
    assert mined.found > 8 * len(examples)
    article = {p.id: p.article for p in questions.passages}
    for before, after in zip(examples, mined.examples, strict=True):
        assert (after.query, after.passages[0], after.group) == (before.query, before.passages[0], before.group)
        assert after.passage_ids is not None
        assert len(set(after.passages)) == after.ways <= 10
        assert after.group not in {article[i] for i in after.passage_ids[1:]}


def test_the_command(questions: QuestionSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    command.add_command(parser.add_subparsers())
    output = tmp_path / "mined.jsonl"
    squad = ["negatives", "--squad", str(JAQUAD_EXCERPT), "--output", str(output), "--window", "2", "30"]
    arguments = parser.parse_args([*squad, "--model-count", "0", "--bm25", "3"])
    arguments.run(arguments)
    mined = list(read_examples(output))
    assert len(mined) == len(questions.questions)
    assert f"for {len(mined)} queries" in capsys.readouterr().out
    assert {e.ways for e in mined} <= {1, 2, 3, 4}
    first = output.read_bytes()
    arguments.run(arguments)
    assert output.read_bytes() == first
    second = tmp_path / "2.jsonl.gz"
    own = [*squad[:1], "--examples", str(output), "--output", str(second), "--model-count", "0"]
    again = parser.parse_args([*own, "--window", "2", "30"])
    again.run(again)
    assert [e.query for e in read_examples(second)] == [e.query for e in mined]
    arguments.output = tmp_path / "mined.txt"
    with pytest.raises(InputError, match=r"mined\.txt, but it must end with \.jsonl"):
        arguments.run(arguments)
    both = parser.parse_args([*squad, "--model", "a", "--dense", "b"])
    with pytest.raises(InputError, match="--model or --dense, not both"):
        both.run(both)
