"""Teachers: what they score, that no score is lost or asked for twice, and how they are joined."""

from __future__ import annotations

import argparse
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import CrossEncoder, SentenceTransformer

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.cli import teach as command
from jacolbert_integrations.errors import (
    CheckpointNotFoundError,
    InputError,
    TeacherError,
    TrainingDataError,
    TruncationWarning,
)
from jacolbert_integrations.evaluation.bm25 import BM25
from jacolbert_integrations.training.data.examples import read_examples, write_examples
from jacolbert_integrations.training.ensembles import ensemble, ensemble_scores, is_constant, min_max
from jacolbert_integrations.training.records import Example
from jacolbert_integrations.training.teachers import (
    BM25Teacher,
    CrossEncoderTeacher,
    DenseTeacher,
    LateInteractionTeacher,
    Pair,
    PrecomputedTeacher,
    Teacher,
)
from jacolbert_integrations.training.teaching import teach

from ..tiny_models import save_cross_encoder

EXAMPLES = [
    Example("日本の首都", ("東京は日本の首都である。", "猫は寝る。", "大阪は西にある。"), query_id="1"),
    Example("猫", ("猫は寝る。", "東京は日本の首都である。"), query_id="2", group="動物"),
    Example("日本の首都", ("東京は日本の首都である。", "富士山は日本一高い山である。"), query_id="3"),
]
UNIQUE = 6  # of the seven pairs, one comes twice


class Lengths:
    """A teacher who prefers long passages, remembers what it was asked, and may give up."""

    name = "lengths"
    fingerprint = "lengths"

    def __init__(self, answers: dict[str, float] | None = None, fails_after: int | None = None) -> None:
        self.answers = {} if answers is None else answers
        self.fails_after = fails_after
        self.asked: list[list[Pair]] = []

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        if len(self.asked) == self.fails_after:
            raise KeyboardInterrupt
        self.asked.append(list(pairs))
        return [self.answers.get(passage, len(query) + len(passage) / 3) for query, passage in pairs]


def test_scores_are_filled_in_and_each_pair_is_asked_once(tmp_path: Path) -> None:
    teacher = Lengths()
    taught = teach(EXAMPLES, teacher, file=tmp_path / "j", batch_size=4)
    for before, after in zip(EXAMPLES, taught, strict=True):
        assert after.scores == tuple(len(before.query) + len(passage) / 3 for passage in before.passages)
        assert replace(after, scores=None) == before
    asked = [pair for batch in teacher.asked for pair in batch]
    assert len(asked) == len(set(asked)) == UNIQUE
    assert list(map(len, teacher.asked)) == [4, 2]
    again = Lengths(fails_after=0)
    assert teach(taught, again, file=tmp_path / "j") == taught
    more = Lengths()
    teach([*EXAMPLES, Example("鳥", ("鳥は飛ぶ。",))], more, file=tmp_path / "j")
    assert more.asked == [[("鳥", "鳥は飛ぶ。")]]


def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    expected = teach(EXAMPLES, Lengths(), file=whole, batch_size=2)
    with pytest.raises(KeyboardInterrupt):
        teach(EXAMPLES, Lengths(fails_after=2), file=cut, batch_size=2)
    assert len(cut.read_text().splitlines()) == 1 + 2
    teacher = Lengths()
    assert teach(EXAMPLES, teacher, file=cut, batch_size=2) == expected
    assert list(map(len, teacher.asked)) == [2]
    assert cut.read_bytes() == whole.read_bytes()
    for share in range(0, len(whole.read_bytes()), 17):
        cut.write_bytes(whole.read_bytes()[:share])
        assert teach(EXAMPLES, Lengths(), file=cut, batch_size=2) == expected
        assert cut.read_bytes() == whole.read_bytes()


def test_other_teachers_do_not_mix(tmp_path: Path) -> None:
    teach(EXAMPLES, Lengths(), file=tmp_path / "j")
    with pytest.raises(InputError, match=r"teacher is 'lengths' there and 'bm25 k1=1\.2"):
        teach(EXAMPLES, BM25Teacher([p for e in EXAMPLES for p in e.passages]), file=tmp_path / "j")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_no_numbers_stop_the_run_and_lose_nothing(tmp_path: Path, bad: float) -> None:
    with pytest.raises(TeacherError, match=rf"1 of 6 pairs .* first {bad} for the query '猫' .* The 5 good scores"):
        teach(EXAMPLES, Cats(bad), file=tmp_path / "j")
    mended = Lengths()
    mended.fingerprint = Cats.fingerprint
    assert teach(EXAMPLES, mended, file=tmp_path / "j", batch_size=1) == teach(
        EXAMPLES, Lengths(), file=tmp_path / "whole"
    )
    assert mended.asked == [[("猫", "猫は寝る。")]]


class Cats(Lengths):
    """Gives one bad score."""

    fingerprint = "cats"

    def __init__(self, bad: float) -> None:
        super().__init__()
        self.bad = bad

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        scores = super().score(pairs)
        return [self.bad if pair == ("猫", "猫は寝る。") else s for pair, s in zip(pairs, scores, strict=True)]


class Constant(Lengths):
    def score(self, pairs: Sequence[Pair]) -> list[float]:
        return [0.25] * len(pairs)


class Short(Lengths):
    def score(self, pairs: Sequence[Pair]) -> list[float]:
        return super().score(pairs)[1:]


def test_a_constant_teacher_is_an_error_and_its_scores_are_kept(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"teaches nothing: for each of the 3 queries .* \(from 0.25 to 0.25"):
        teach(EXAMPLES, Constant(), file=tmp_path / "j")
    _, scores = (tmp_path / "j").read_text().splitlines()
    assert list(json.loads(scores).values()) == [0.25] * UNIQUE
    with pytest.raises(TeacherError, match="for at most 1 passages"):
        teach([example.take([0]) for example in EXAMPLES], Lengths(), file=tmp_path / "pairs")
    with pytest.raises(TeacherError, match="gave 5 scores for 6 pairs"):
        teach(EXAMPLES, Short(), file=tmp_path / "short")


def test_single_constant_queries_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    alike = Lengths({"猫は寝る。": 1.0, "東京は日本の首都である。": 1.0})
    with caplog.at_level(logging.WARNING):
        taught = teach(EXAMPLES, alike, file=tmp_path / "j")
    assert [is_constant(example) for example in taught] == [False, True, False]
    assert "lengths scores all passages alike for 1 of 3 queries" in caplog.text
    with pytest.raises(TeacherError, match="the query '猫' has no scores"):
        is_constant(EXAMPLES[1])


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no examples to score"):
        teach([], Lengths(), file=tmp_path / "j")
    with pytest.raises(InputError, match="batch_size is 0"):
        teach(EXAMPLES, Lengths(), file=tmp_path / "j", batch_size=0)
    assert not (tmp_path / "j").exists()


def test_min_max_by_hand() -> None:
    assert min_max([2.0, -2.0, 1.0]) == pytest.approx((1.0, 0.0, 0.75), abs=1e-8)
    assert min_max([2.0, -2.0, 1.0])[0] == 4.0 / (4.0 + 1e-8)
    assert min_max([1e-8, 0.0]) == (0.5, 0.0)  # float32 and no epsilon would both say 1
    assert min_max([3.0]) == min_max([3.0, 3.0])[:1] == (0.0,)
    for bad in ([], [1.0, math.nan], [math.inf]):
        with pytest.raises(InputError, match="at least one score, each a finite number"):
            min_max(bad)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_min_max_keeps_order_and_bounds(scores: list[float]) -> None:
    normalized = min_max(scores)
    assert len(normalized) == len(scores)
    assert min(normalized) == 0.0
    assert max(normalized) <= 1.0
    order = np.argsort(scores, kind="stable")
    assert (np.diff(np.array(normalized)[order]) >= 0).all()


def test_ensembles_by_hand() -> None:
    """(1, 0, .5) and (0, 1, .25) after normalisation."""
    assert ensemble_scores([10, 0, 5], [-4, 0, -3]) == pytest.approx((0.5, 0.5, 0.375), abs=1e-7)
    assert ensemble_scores([10, 0, 5], [7, 7, 7]) == pytest.approx((0.5, 0, 0.25), abs=1e-7)  # a constant adds nothing
    example = Example("猫", ("a", "b", "c"), query_id="q")
    first, second = replace(example, scores=(10.0, 0.0, 5.0)), replace(example, scores=(-4.0, 0.0, -3.0))
    (joined,) = ensemble([first], [second])
    assert joined.scores == pytest.approx((0.5, 0.5, 0.375), abs=1e-7)
    assert replace(joined, scores=None) == example
    assert ensemble([first])[0].scores == min_max((10, 0, 5))
    other = Example("猫", ("a", "c", "b"), (1.0, 2.0, 3.0))
    with pytest.raises(InputError, match="example 0 is not the same for all teachers"):
        ensemble([first], [other])
    with pytest.raises(InputError, match=r"equally many examples, but got \[1, 2\]"):
        ensemble([first], [second, second])
    with pytest.raises(InputError, match="equally many examples"):
        ensemble()
    with pytest.raises(TeacherError, match="has no scores"):
        ensemble([first], [example])
    with pytest.raises(InputError, match=r"gave \[2, 3\] scores"):
        ensemble_scores([1, 2], [1, 2, 3])
    with pytest.raises(InputError, match=r"gave \[\] scores"):
        ensemble_scores()


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_cross_encoder(tmp_path_factory.mktemp("rerankers") / "tiny")


PAIRS = [(example.query, passage) for example in EXAMPLES for passage in example.passages]


def test_cross_encoders_give_logits(reranker: Path) -> None:
    model = CrossEncoder(str(reranker), device="cpu")
    logits = CrossEncoderTeacher(reranker, device="cpu").score(PAIRS)
    probabilities = model.predict(PAIRS)  # sentence-transformers' default is a sigmoid
    np.testing.assert_allclose(1 / (1 + np.exp(-np.array(logits))), probabilities, rtol=1e-5)
    np.testing.assert_allclose(CrossEncoderTeacher(model, activation="sigmoid").score(PAIRS), probabilities, rtol=1e-5)
    assert len({round(logit, 4) for logit in logits}) == UNIQUE
    assert logits[0] == pytest.approx(logits[5], abs=1e-5)


def test_cross_encoders_that_are_no_teachers(reranker: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 3 outputs, but a teacher has one"):
        CrossEncoderTeacher(save_cross_encoder(tmp_path / "classifier", outputs=3))
    with pytest.raises(CheckpointNotFoundError, match=r"no cross-encoder .*absent"):
        CrossEncoderTeacher(tmp_path / "absent")
    with pytest.raises(InputError, match="activation is 'tanh'"):
        CrossEncoderTeacher(reranker, activation="tanh")  # type: ignore[arg-type]


def test_dense_teachers_score_the_similarity_that_the_model_defines(dense: SentenceTransformer) -> None:
    scores = DenseTeacher(dense).score(PAIRS)
    queries, passages = zip(*PAIRS, strict=True)
    similarities = dense.similarity(dense.encode_query(list(queries)), dense.encode_document(list(passages)))
    np.testing.assert_allclose(scores, np.diagonal(similarities.numpy()), rtol=1e-5)
    with pytest.raises(CheckpointNotFoundError, match="there is no model '/absent'"):
        DenseTeacher.from_pretrained("/absent")


def test_late_interaction_teachers_score_maxsim(mini: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    original = mini.encode_document

    def count(texts: Sequence[str], **choices: Any) -> Any:
        encoded.extend(texts)
        return original(texts, **choices)

    monkeypatch.setattr(mini, "encode_document", count)
    scores = LateInteractionTeacher(mini).score(PAIRS)
    assert sorted(encoded) == sorted({passage for _, passage in PAIRS})
    monkeypatch.undo()
    for (query, passage), score in zip(PAIRS, scores, strict=True):
        assert score == pytest.approx(mini.score([query], [passage])[0, 0], abs=1e-4)


def test_cut_passages_are_told_of_once(mini: JaColBERT) -> None:
    teacher = LateInteractionTeacher(mini)
    pairs = [("猫", "猫は寝る。" * 200)]
    with pytest.warns(TruncationWarning, match="1 of 1 documents were longer than the 512 tokens"):
        teacher.score(pairs)
    teacher.score(pairs)  # a second warning would be an error here


def test_bm25_teachers_know_the_words_of_their_corpus() -> None:
    corpus = [*dict.fromkeys(passage for _, passage in PAIRS), "犬は走る。"]
    scores = BM25Teacher(corpus).score(PAIRS)
    table = BM25(corpus).score([query for query, _ in PAIRS])
    assert scores == [float(table[row, corpus.index(passage)]) for row, (_, passage) in enumerate(PAIRS)]
    assert scores[0] > scores[6] > scores[2] == 0  # 日本, の and 首都; 日本 alone; no word of the query
    with pytest.raises(TeacherError, match="the passage '鳥は飛ぶ。' is not among the 5"):
        BM25Teacher(corpus).score([("猫", "鳥は飛ぶ。")])
    with pytest.raises(InputError, match="got one string"):
        BM25Teacher("猫")
    with pytest.raises(InputError, match="the 2 passages hold none"):
        BM25Teacher(["", " "])
    assert BM25(corpus).score([" "]).tolist() == [[0.0] * 5]


def test_precomputed_teachers(tmp_path: Path) -> None:
    known: dict[Pair, float] = {pair: float(index) for index, pair in enumerate(dict.fromkeys(PAIRS))}
    teacher = PrecomputedTeacher(known)
    taught = teach(EXAMPLES, teacher, file=tmp_path / "j")
    assert [example.scores for example in taught] == [(0, 1, 2), (3, 4), (0, 5)]
    with pytest.raises(TeacherError, match="no score for 1 of 2 pairs, first for the query '鳥'"):
        teacher.score([PAIRS[0], ("鳥", "猫は寝る。")])
    file = tmp_path / "scores.jsonl"
    write_examples(file, taught)
    read = PrecomputedTeacher.from_file(file)
    assert (read.score(PAIRS), read.fingerprint) == (teacher.score(PAIRS), teacher.fingerprint)
    assert PrecomputedTeacher(known | {PAIRS[0]: 0.5}).fingerprint != teacher.fingerprint
    flat = tmp_path / "flat.jsonl"
    rows = [{"query": q, "document": passage, "score": [score]} for (q, passage), score in known.items()]
    flat.write_text("\n".join(map(json.dumps, rows)))
    assert PrecomputedTeacher.from_file(flat).fingerprint == teacher.fingerprint
    flat.write_text("\n".join(json.dumps(row) for row in [*rows, rows[0] | {"score": [9.0]}]))
    with pytest.raises(TrainingDataError, match=r"example 7 of .* the score 9\.0, but an earlier one gives it 0\.0"):
        PrecomputedTeacher.from_file(flat)
    write_examples(file, EXAMPLES)
    with pytest.raises(TrainingDataError, match=r"example 1 of .* has no scores"):
        PrecomputedTeacher.from_file(file)


def test_fingerprints_tell_teachers_apart(
    reranker: Path, mini: JaColBERT, model: JaColBERT, dense: SentenceTransformer
) -> None:
    def teachers() -> list[Teacher]:
        return [
            CrossEncoderTeacher(reranker, device="cpu"),
            CrossEncoderTeacher(reranker, device="cpu", activation="sigmoid"),
            DenseTeacher(dense),
            LateInteractionTeacher(mini),
            LateInteractionTeacher(model),
            BM25Teacher(["猫"]),
            BM25Teacher(["犬"]),
            PrecomputedTeacher({}),
        ]

    found = [teacher.fingerprint for teacher in teachers()]
    assert len(set(found)) == 8
    assert found == [teacher.fingerprint for teacher in teachers()]


def run_command(tmp_path: Path, *words: str) -> list[Example]:
    parser = argparse.ArgumentParser()
    command.add_command(parser.add_subparsers())
    examples, output = tmp_path / "examples.jsonl", tmp_path / "taught.jsonl"
    write_examples(examples, EXAMPLES)
    arguments = parser.parse_args(["teach", "--examples", str(examples), "--output", str(output), *words])
    arguments.run(arguments)
    return list(read_examples(output))


def test_the_command(
    reranker: Path, dense: SentenceTransformer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lexical = run_command(tmp_path, "--teacher", "bm25")
    corpus = list(dict.fromkeys(passage for _, passage in PAIRS))
    assert [score for e in lexical for score in e.scores or ()] == BM25Teacher(corpus).score(PAIRS)
    assert "bm25: 3 queries scored, 0 with all passages alike" in capsys.readouterr().out
    crossed = run_command(tmp_path, "--teacher", "cross-encoder", str(reranker))
    assert [replace(e, scores=None) for e in crossed] == EXAMPLES
    both = run_command(tmp_path, "--teacher", "bm25", "--teacher", "cross-encoder", str(reranker))
    assert both == ensemble(lexical, crossed)
    assert len(list(tmp_path.glob("taught.jsonl.*.journal"))) == 2
    dense.save(str(tmp_path / "dense"))
    single = run_command(tmp_path, "--teacher", "dense", str(tmp_path / "dense"))
    np.testing.assert_allclose([s for e in single for s in e.scores or ()], DenseTeacher(dense).score(PAIRS), rtol=1e-5)
    assert run_command(tmp_path, "--teacher", "late-interaction", "--normalize") == ensemble(
        run_command(tmp_path, "--teacher", "late-interaction")
    )
    assert run_command(tmp_path, "--teacher", "precomputed", str(tmp_path / "taught.jsonl"))[0].scores is not None


@pytest.mark.parametrize("words", [["oracle"], ["bm25", "x"], ["precomputed"], ["dense"], ["cross-encoder", "a", "b"]])
def test_the_command_explains_bad_teachers(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(InputError, match=f"--teacher {' '.join(words)} is no teacher"):
        run_command(tmp_path, "--teacher", *words)
    assert not list(tmp_path.glob("*.journal"))
