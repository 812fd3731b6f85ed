from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.errors import InputError, MissingExtraError
from jacolbert_integrations.evaluation.bm25 import BM25
from jacolbert_integrations.evaluation.fusion import fuse_scores, reciprocal_rank, with_bm25
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.evaluation.metrics import metrics_of_ids, metrics_of_scores
from jacolbert_integrations.evaluation.retrieval import evaluate_model, right_columns
from jacolbert_integrations.explaining import Match, find_matches, highlight
from jacolbert_integrations.text.squad import Passage, Question, QuestionSet


def test_metrics_by_hand() -> None:
    others = [str(place) for place in range(20)]
    found = [[*others[: rank - 1], "right"] if rank else others for rank in (1, 2, 0, 11, 5, 10)]
    metrics = metrics_of_ids(found, ["right"] * 6)
    assert metrics.questions == 6
    assert metrics.recall == pytest.approx({1: 1 / 6, 5: 3 / 6, 10: 4 / 6})
    assert metrics.mrr_at_10 == pytest.approx((1 + 1 / 2 + 1 / 5 + 1 / 10) / 6)
    assert metrics_of_ids([[], []], ["a", "b"]).recall == {1: 0, 5: 0, 10: 0}
    for bad in ([], ["right"]):
        with pytest.raises(InputError, match="each has one, and some are asked"):
            metrics_of_ids(found if bad else [], bad)


def test_metrics_of_scores_by_hand() -> None:
    scores = np.array([[3, 1, 2], [1, 1, 1], [0, 5, 5], [9, 8, 7]], np.float32)
    metrics = metrics_of_scores(scores, [0, 2, 1, 2], ks=(1, 2))  # ranks 1, 3, 1, 3: equal ones in their order
    assert metrics.recall == {1: 0.5, 2: 0.5}
    assert metrics.mrr_at_10 == pytest.approx((1 + 1 / 3 + 1 + 1 / 3) / 4)
    with pytest.raises(InputError, match="4 queries have 1 right passages"):
        metrics_of_scores(scores, [0])


def test_fusion_by_hand() -> None:
    first = np.array([[10, 6, 2], [1, 1, 1]], np.float32)
    second = np.array([[0, 1, 4], [0, 5, 10]], np.float32)
    assert fuse_scores(first, second) == pytest.approx(np.array([[0.5, 0.375, 0.5], [0, 0.25, 0.5]]), abs=1e-6)
    weighted = fuse_scores(first, second, weights=[3, 1])
    assert with_bm25(first, second) == pytest.approx(weighted)
    assert weighted[0] == pytest.approx([0.75, 0.4375, 0.25], abs=1e-6)
    ranks = reciprocal_rank(first, second, k=1)
    assert ranks[0] == pytest.approx([1 / 2 + 1 / 4, 1 / 3 + 1 / 3, 1 / 4 + 1 / 2], abs=1e-6)
    assert ranks[1] == pytest.approx([1 / 2 + 1 / 4, 1 / 3 + 1 / 3, 1 / 4 + 1 / 2], abs=1e-6)
    with pytest.raises(InputError, match="fusion takes scores of one shape"):
        fuse_scores(first, second[:1])
    for weights in ([1.0], [-1.0, 2.0], [0.0, 0.0]):
        with pytest.raises(InputError, match="2 scores need as many weights"):
            fuse_scores(first, second, weights=weights)
    with pytest.raises(InputError, match="k is -1"):
        reciprocal_rank(first, k=-1)


def test_bm25_by_hand() -> None:
    """Lucene's BM25: idf * tf / (tf + k1 * (1 - b + b * length / mean length))."""
    scores = BM25(["猫 犬", "猫 猫 鳥 魚"]).score(["猫", "鳥"])
    both, one = np.log(1 + (2 - 2 + 0.5) / (2 + 0.5)), np.log(1 + (2 - 1 + 0.5) / (1 + 0.5))

    def weight(count: float, length: float) -> float:
        return count / (count + 1.2 * (0.25 + 0.75 * length / 3))

    expected = [[both * weight(1, 2), both * weight(2, 4)], [0, one * weight(1, 4)]]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_bm25_on_the_benchmark() -> None:
    """Measured independently on all 4,442 questions: R@1 .875, R@5 .954, R@10 .969, MRR@10 .909."""
    corpus = load_jsquad()
    scores = BM25([p.text for p in corpus.passages]).score([q.text for q in corpus.questions])
    metrics = metrics_of_scores(scores, right_columns(corpus, corpus.questions))
    assert metrics.recall[1] == pytest.approx(0.875, abs=0.003)
    assert metrics.recall[10] == pytest.approx(0.969, abs=0.003)
    assert metrics.mrr_at_10 == pytest.approx(0.909, abs=0.003)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "bm25s":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r'pip install "jacolbert-integrations\[evaluation\]"'):
        BM25(["猫"])


def test_evaluating_a_model(mini: JaColBERT) -> None:
    passages = [Passage("a", "x", "東京は日本の首都である。"), Passage("b", "x", "富士山は日本一高い山である。")]
    questions = [Question("1", "日本の首都は？", "a"), Question("2", "一番高い山は？", "b")]
    metrics = evaluate_model(mini, QuestionSet(passages, questions))
    assert (metrics.questions, metrics.recall[1], metrics.mrr_at_10) == (2, 1.0, 1.0)


def test_matches_are_those_of_maxsim(mini: JaColBERT) -> None:
    document = "ＴＯＫＹＯ、東京は日本の首都である。富士山は高い。"
    matches = find_matches(mini, "東京の首都", document)
    words = {document[match.start : match.end]: match.similarity for match in matches}
    assert {"東京", "首都"} <= words.keys()
    assert all(-1 <= similarity <= 1.0001 for similarity in words.values())
    marked = highlight(document, matches, at_least=0.3)
    assert "【東京】" in marked
    assert marked.replace("【", "").replace("】", "") == document
    assert find_matches(mini, "", document) == []
    assert find_matches(mini, "猫", "") == []


def test_highlighting_by_hand() -> None:
    matches = [Match(0, 1, 0.9), Match(1, 2, 0.8), Match(3, 4, 0.2), Match(4, 5, 0.6)]
    assert highlight("あいうえお", matches, particles=True) == "【あい】うえ【お】"
    assert highlight("あいうえお", matches, particles=True, at_least=0.1, opening="<", closing=">") == "<あい>う<えお>"
    assert highlight("", []) == ""
