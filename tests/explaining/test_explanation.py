from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.encoding.transformer import Task
from jacolbert_integrations.errors import InputError, NoOffsetsError
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.explaining import Contribution, Explanation, Match, Token, explain, find_matches
from jacolbert_integrations.explaining import explanation as explanation_module
from jacolbert_integrations.text.windows import windows
from jacolbert_integrations.types import TokenVectors

from ..conftest import STANFORD

pytestmark = pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")

PIECES = st.sampled_from(
    [
        "東京",
        "首都",
        "は",
        "、",
        "。",
        "？",
        "Ａ",
        "ab",
        "か\u3099",
        "㍿",
        "👨\u200d👩\u200d👧",
        "\n",
        " ",
        "\x00",
        "\ud83d",
        "𠮷",
        "\u3000",
    ]
)
TEXTS = st.lists(PIECES, max_size=10).map("".join)


@pytest.fixture(scope="module")
def reference_model() -> JaColBERT:
    return JaColBERT.from_pretrained(STANFORD, query_length="released")


@pytest.fixture(scope="module")
def unigram() -> JaColBERT:
    return JaColBERT.from_pretrained("jacolbert-small")


def vectors_by_hand(_model: JaColBERT, text: str, task: Task) -> tuple[TokenVectors, list[Token]]:
    if task == "query":
        tokens = [Token("[CLS]", "control", None), Token("首都", "text", (0, 2)), Token("[MASK]", "mask", None)]
        return np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32), tokens
    assert text == "日本の首都"
    tokens = [Token("[CLS]", "control", None), Token("日本", "text", (0, 2)), Token("首都", "text", (3, 5))]
    return np.array([[-1, 0], [0.8, 0.6], [0, 1]], np.float32), tokens


def test_by_hand(mini: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanation_module, "locate_vectors", vectors_by_hand)
    explained = explain(mini, "首都", "日本の首都")
    assert [each.similarity for each in explained.contributions] == pytest.approx([0.8, 1.0, 0.96])
    assert [[token.piece for token in each.partners] for each in explained.contributions] == [
        ["日本"],
        ["首都"],
        ["日本"],
    ]
    assert explained.score == pytest.approx(2.76)
    assert explained.by_kind == pytest.approx({"text": 1.0, "mask": 0.96, "control": 0.8})
    assert explained.matches == [Match(3, 5, 1.0)]


def test_of_several_tokens_with_one_partner_the_best_is_the_match() -> None:
    partner = (Token("首都", "text", (3, 5)),)
    contributions = tuple(Contribution(Token("首", "text", (i, i + 1)), s, partner) for i, s in enumerate((0.25, 0.5)))
    assert Explanation("首都", "日本の首都", contributions).matches == [Match(3, 5, 0.5)]


def test_it_is_json(mini: JaColBERT) -> None:
    explained = explain(mini, "首都は？", "東京は首都。")
    told = json.loads(json.dumps(explained.as_dict()))
    assert told["score"] == explained.score
    assert sum(told["by_kind"].values()) == pytest.approx(explained.score)
    characters = {each["characters"] for each in told["contributions"]}
    assert {"首都", "は", None} <= characters
    best = next(each for each in told["contributions"] if each["characters"] == "首都")
    assert best["partners"] == [{"piece": "首都", "kind": "text", "span": [3, 5], "characters": "首都"}]


@pytest.mark.parametrize("name", ["mini", "reference_model", "unigram"])
@settings(max_examples=25, deadline=None)
@given(query=TEXTS, document=TEXTS)
def test_the_sum_is_the_score(name: str, request: pytest.FixtureRequest, query: str, document: str) -> None:
    model: JaColBERT = request.getfixturevalue(name)
    explained = explain(model, query, document)
    assert explained.score == pytest.approx(model.rank(query, [document])[0].score, abs=1e-4)
    assert sum(explained.by_kind.values()) == pytest.approx(explained.score)
    assert explained.matches == find_matches(model, query, document)
    for each in explained.contributions:
        assert (each.token.kind == "text") or each.token.span is None
        for token, text in ((each.token, query), (each.partners[0], document)):
            assert token.span is None or 0 <= token.span[0] <= token.span[1] <= len(text)


def test_masks_and_control_tokens_are_told_apart(reference_model: JaColBERT) -> None:
    explained = explain(reference_model, "東京は首都ですか。", "東京")
    kinds = [each.token.kind for each in explained.contributions]
    assert kinds[:2] == ["control", "control"]
    last = kinds.index("mask") - 1
    assert kinds[last] == "control"
    assert set(kinds[2:last]) == {"text"}
    assert set(kinds[last + 1 :]) == {"mask"}
    assert len(kinds) == len(reference_model.encode_query(["東京は首都ですか。"])[0])


@pytest.mark.parametrize("pooling", ["hierarchical-2", "kmeans-3", "sequential-2", "hierarchical-3-protected-0"])
def test_a_pooled_document_is_explained_as_it_is_ranked(pooling: str) -> None:
    model = JaColBERT.from_pretrained(pooling=pooling)
    query, document = "日本の首都はどこですか。", load_jsquad().passages[0].text
    explained = explain(model, query, document)
    assert explained.score == pytest.approx(
        float(model.score(model.encode_query([query]), model.encode_document([document]))[0, 0]), abs=1e-4
    )
    assert max(len(each.partners) for each in explained.contributions) > 1
    assert explained.matches


def test_a_pipeline_that_pools_by_itself(mini: JaColBERT, tmp_path: Path) -> None:
    query, document = "日本の首都はどこですか。", "東京は日本の首都である。大阪はちがう。"
    for factor in (2, 2.5):
        modules = [*mini.model.children(), HierarchicalTokenPooling(factor)]
        model = JaColBERT(MultiVectorEncoder(modules=modules), name="pooling")
        if factor == 2:
            named = JaColBERT(mini.model, name="mini", pooling="hierarchical-2")
            assert explain(model, query, document).contributions == explain(named, query, document).contributions
        else:
            with pytest.raises(NoOffsetsError, match="pools documents by itself"):
                explain(model, query, document)


def test_a_long_document_is_explained_by_its_best_window(mini: JaColBERT) -> None:
    passages = load_jsquad().passages
    document = "\n".join(passage.text for passage in passages[:16])
    query = load_jsquad().questions[-1].text
    spans = windows(document, mini.document_lengths, mini.document_maxlen)
    assert len(spans) > 2
    scores = [
        hit.score for hit in sorted(mini.rank(query, [document[a:b] for a, b in spans]), key=lambda hit: int(hit.id))
    ]
    explained = explain(mini, query, document, too_long="split")
    assert explained.score == pytest.approx(max(scores), abs=1e-4)
    assert explained.window == spans[int(np.argmax(scores))]
    start, end = explained.window
    alone = explain(mini, query, document[start:end])
    assert alone.window is None
    assert [m.similarity for m in explained.matches] == [m.similarity for m in alone.matches]
    assert [document[m.start : m.end] for m in explained.matches] == [
        document[start:end][m.start : m.end] for m in alone.matches
    ]
    cut = explain(mini, query, document)
    assert cut.window is None
    assert explain(mini, query, "短い。", too_long="split").window is None


def test_nothing_to_explain(mini: JaColBERT) -> None:
    explained = explain(mini, "", "")
    assert {each.token.kind for each in explained.contributions} <= {"control", "mask"}
    assert explained.matches == []


def test_bad_input(mini: JaColBERT) -> None:
    with pytest.raises(InputError, match="the query is a NoneType"):
        explain(mini, None, "東京")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the document is a int"):
        explain(mini, "東京", 3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'cut' or 'split'"):
        explain(mini, "東京", "東京", too_long="refuse")  # type: ignore[arg-type]


def test_a_query_of_several_texts_is_their_mean(mini: JaColBERT) -> None:
    texts, document = ["日本の首都は？", "首都は東京である。"], "東京は日本の首都である。"
    explained = explain(mini, texts, document)
    alone = [explain(mini, text, document) for text in texts]
    assert explained.query == "\n".join(texts)
    assert explained.score == pytest.approx(sum(each.score for each in alone) / 2, abs=1e-5)
    words = [
        explained.query[slice(*each.token.span)] for each in explained.contributions if each.token.span is not None
    ]
    assert words == [
        each.query[slice(*part.token.span)] for each in alone for part in each.contributions if part.token.span
    ]
    with pytest.raises(InputError, match="there is no query"):
        explain(mini, [], document)


def test_a_known_window(mini: JaColBERT) -> None:
    document = "東京は日本の首都である。大阪は西日本の都市である。"
    explained = explain(mini, "大阪", document, window=(12, 25))
    assert explained.window == (12, 25)
    assert explained.score == pytest.approx(explain(mini, "大阪", document[12:25]).score)
    assert {document[m.start : m.end] for m in explained.matches} <= set(document[12:25]) | {"大阪", "都市", "西日本"}
    assert min(match.start for match in explained.matches) >= 12


def test_a_long_document_of_white_space_has_no_windows(mini: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mini, "document_lengths", lambda texts: [mini.document_maxlen + 1 if t else 3 for t in texts])
    monkeypatch.setattr(explanation_module, "windows", lambda *_: [])
    explained = explain(mini, "東京", " " * 9, too_long="split")
    assert explained.window is None
    assert explained.matches == []
