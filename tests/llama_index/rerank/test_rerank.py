"""The reranker: long nodes, what it keeps of vectors, many queries at once, and copies of it."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core import QueryBundle
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, LlamaDebugHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.schema import ImageNode, IndexNode, MetadataMode, NodeWithScore, TextNode
from pydantic import ValidationError
from qdrant_client import QdrantClient

from jacolbert_integrations import JaColBERT, JaColBERTRerank, MemoryStore, QdrantStore
from jacolbert_integrations.errors import CheckpointNotFoundError, InputError, ModelMismatchError, TruncationWarning
from jacolbert_integrations.llama_index import ScoredNode, VectorCache
from jacolbert_integrations.llama_index.fusion import interpolated, min_max
from jacolbert_integrations.llama_index.passage_text import PassageText
from jacolbert_integrations.llama_index.rerank.vector_cache import Passage
from jacolbert_integrations.llama_index.writing import node_points

from ...conftest import STANFORD

QUESTION = "日本で一番高い山は？"
FILLER = "この文は長さのためだけにある。" * 70
ANSWER = "富士山は日本で一番高い山である。"


def with_scores(*texts: str, **metadata: Any) -> list[NodeWithScore]:
    return [
        NodeWithScore(node=TextNode(id_=f"n{i}", text=t, metadata=metadata), score=0.5) for i, t in enumerate(texts)
    ]


# Long nodes


def test_a_long_node_is_scored_by_its_best_window(mini: JaColBERT, encoded: list[str]) -> None:
    text = FILLER + ANSWER + FILLER
    (node,) = JaColBERTRerank(mini).postprocess_nodes(with_scores(text), query_str=QUESTION)
    assert isinstance(node, ScoredNode)
    assert ANSWER in node.best_window
    start, end = node.provenance.window or (0, 0)
    assert node.best_window == text[start:end] != text
    assert "".join(encoded) == text  # the windows meet, and leave nothing out
    assert max(mini.document_lengths(encoded)) <= mini.document_maxlen
    np.testing.assert_allclose(node.get_score(), mini.score([QUESTION], encoded).max(), atol=1e-4)
    np.testing.assert_allclose(node.get_score(), mini.score([QUESTION], [node.best_window])[0, 0], atol=1e-4)


def test_windows_can_be_shorter_than_what_the_model_reads(mini: JaColBERT, encoded: list[str]) -> None:
    text = "猫は魚を食べる。" + ANSWER
    cache = VectorCache(1 << 20)
    rerank = JaColBERTRerank(mini, window_size=mini.document_lengths([ANSWER])[0], cache=cache)
    (ranked,) = rerank.postprocess_nodes(with_scores(text), query_str=QUESTION)
    assert isinstance(ranked, ScoredNode)
    assert encoded == ["猫は魚を食べる。", ANSWER]
    assert ranked.provenance.window == (8, len(text))
    assert ranked.get_score() == pytest.approx(float(mini.score([QUESTION], [ANSWER])[0, 0]), abs=1e-4)
    whole = JaColBERTRerank(mini, cache=cache).postprocess_nodes(with_scores(text), query_str=QUESTION)[0]
    assert encoded[-1] == text  # vectors of windows are not taken for those of the whole
    assert whole.get_score() == pytest.approx(float(mini.score([QUESTION], [text])[0, 0]), abs=1e-4)
    for size in (3, mini.document_maxlen + 1):
        with pytest.raises(InputError, match=f"window_size is {size}, but jacolbert-mini reads 512 tokens"):
            JaColBERTRerank(mini, window_size=size)
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        JaColBERTRerank(mini, window_size=0)


def test_a_short_node_is_its_own_window(mini: JaColBERT) -> None:
    (node,) = JaColBERTRerank(mini).postprocess_nodes(with_scores(ANSWER, title="山"), query_str=QUESTION)
    assert isinstance(node, ScoredNode)
    assert node.provenance.window is None
    assert node.best_window == ANSWER


@pytest.mark.parametrize("text", [FILLER + ANSWER + FILLER, "\n  " + FILLER + ANSWER + FILLER + " \n"])
def test_each_window_has_the_metadata(mini: JaColBERT, encoded: list[str], text: str) -> None:
    nodes = with_scores(text, title="日本の山")
    (node,) = JaColBERTRerank(mini).postprocess_nodes(nodes, query_str=QUESTION)
    assert isinstance(node, ScoredNode)
    assert len(encoded) > 1
    assert all(piece.startswith("title: 日本の山\n\n") for piece in encoded)
    assert any(piece.endswith(node.best_window) for piece in encoded)
    assert max(mini.document_lengths(encoded)) <= mini.document_maxlen
    assert ANSWER in node.best_window


def test_texts_that_are_embedded_alike_have_windows_of_their_own(mini: JaColBERT) -> None:
    """What is metadata of the one is text of the other."""
    apart = TextNode(id_="apart", text=FILLER + ANSWER, metadata={"title": "山"})
    whole = TextNode(id_="whole", text="title: 山\n\n" + FILLER + ANSWER)
    nodes = [NodeWithScore(node=apart), NodeWithScore(node=whole)]
    ranked = JaColBERTRerank(mini).postprocess_nodes(nodes, query_str=QUESTION)
    assert {node.node_id for node in ranked} == {"apart", "whole"}
    for node in ranked:
        (alone,) = JaColBERTRerank(mini).postprocess_nodes([NodeWithScore(node=node.node)], query_str=QUESTION)
        assert isinstance(node, ScoredNode)
        assert isinstance(alone, ScoredNode)
        assert node.best_window.endswith(ANSWER)
        assert node.provenance.window == alone.provenance.window


def test_metadata_longer_than_a_window_are_cut_as_the_text_is(mini: JaColBERT, encoded: list[str]) -> None:
    nodes = with_scores(ANSWER, summary=FILLER)
    (node,) = JaColBERTRerank(mini).postprocess_nodes(nodes, query_str=QUESTION)
    assert isinstance(node, ScoredNode)
    assert "".join(encoded) == nodes[0].node.get_content(metadata_mode=MetadataMode.EMBED)
    assert node.best_window == ANSWER
    assert node.provenance.window == (0, len(ANSWER))


def test_a_cut_stored_vector_does_not_stand_for_a_long_node(mini: JaColBERT, encoded: list[str]) -> None:
    store = MemoryStore()
    store.bind(mini.identity)
    long, short = with_scores(FILLER + ANSWER, ANSWER)
    with pytest.warns(TruncationWarning):
        store.upsert(node_points([long.node, short.node], mini, "cut"))
    encoded.clear()
    ranked = JaColBERTRerank(mini, store=store).postprocess_nodes([long, short], query_str=QUESTION)
    assert len(ranked) == 2
    assert "".join(encoded) == FILLER + ANSWER


@settings(max_examples=60)
@given(
    st.text(alphabet="あ山。\n m", max_size=20), st.dictionaries(st.sampled_from("abc"), st.text("あ山。", max_size=4))
)
def test_the_parts_of_a_node_are_what_is_embedded(text: str, metadata: dict[str, str]) -> None:
    node = TextNode(text=text, metadata=metadata)
    parts = PassageText.of(node)
    assert parts.whole == node.get_content(metadata_mode=MetadataMode.EMBED)
    if text.strip():
        assert text[parts.offset : parts.offset + len(parts.body)] == parts.body == text.strip()


# The cache


def passage(floats: int) -> Passage:
    return Passage((np.zeros((floats, 1), np.float32),), ((0, 1),))


def test_vectors_are_computed_once(mini: JaColBERT, encoded: list[str]) -> None:
    rerank = JaColBERTRerank(mini)
    nodes = with_scores(ANSWER, FILLER, ANSWER)
    first = rerank.postprocess_nodes(nodes, query_str=QUESTION)
    count = len(encoded)
    assert encoded.count(ANSWER) == 1
    assert len(rerank.cache) == 2
    again = rerank.postprocess_nodes(nodes, query_str=QUESTION)
    assert len(encoded) == count
    assert [n.score for n in again] == [n.score for n in first]
    without = JaColBERTRerank(mini, cache_bytes=0)
    without.postprocess_nodes(nodes, query_str=QUESTION)
    without.postprocess_nodes(nodes, query_str=QUESTION)
    assert len(encoded) == 3 * count
    assert len(without.cache) == without.cache.nbytes == 0


def test_a_cache_is_shared_by_one_model_and_not_by_others(mini: JaColBERT, model: JaColBERT) -> None:
    cache = VectorCache(1 << 20)
    nodes = with_scores(ANSWER)
    pooled = JaColBERT(mini.model, name=mini.name, pooling="hierarchical-2")
    scores = []
    for each in (mini, pooled, model):
        alone = JaColBERTRerank(each, cache_bytes=0).postprocess_nodes(nodes, query_str=QUESTION)[0].score
        assert JaColBERTRerank(each, cache=cache).postprocess_nodes(nodes, query_str=QUESTION)[0].score == alone
        scores.append(alone)
    assert len(cache) == len(set(scores)) == 3
    rerank = JaColBERTRerank(mini, cache=cache)
    rerank.postprocess_nodes(nodes, query_str=QUESTION)
    assert len(cache) == 3
    assert rerank.cache_bytes == copies(rerank)["from_dict"].cache.max_bytes == 1 << 20  # of its own, and as large


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 900)), max_size=40), st.integers(0, 8000))
def test_a_cache_keeps_what_was_used_last_within_its_bytes(puts: list[tuple[int, int]], max_bytes: int) -> None:
    cache = VectorCache(max_bytes)
    for key, floats in puts:
        cache.put(key, passage(floats))
        assert cache.nbytes <= max_bytes
        kept = [k for k in range(7) if cache.get(k) is not None]
        assert len(kept) == len(cache)
        if 4 * floats + 1024 <= max_bytes:
            found = cache.get(key)
            assert found is not None
            assert found.nbytes == 4 * floats
    cache.clear()
    assert len(cache) == cache.nbytes == 0


def test_what_was_not_used_for_longest_goes_first() -> None:
    cache = VectorCache(2 * (400 + 1024))
    cache.put("a", passage(100))
    cache.put("b", passage(100))
    assert cache.get("a") is not None
    cache.put("c", passage(100))
    assert [key for key in "abc" if cache.get(key) is not None] == ["a", "c"]
    cache.put("large", passage(100_000))
    assert len(cache) == 2
    with pytest.raises(ValueError, match="read-only"):
        cache.get("a").vectors[0][0] = 1  # type: ignore[union-attr]
    for bad in (-1, 1.5, True):
        with pytest.raises(InputError, match="max_bytes is"):
            VectorCache(bad)  # type: ignore[arg-type]


def test_a_cache_in_many_threads(mini: JaColBERT) -> None:
    texts = [f"{i}番目の猫がいる。" for i in range(12)]
    rerank = JaColBERTRerank(mini, top_n=12, cache_bytes=60_000)  # some of them, not all
    expected = {n.text: n.score for n in rerank.postprocess_nodes(with_scores(*texts), query_str="猫")}

    def some(start: int) -> list[NodeWithScore]:
        return rerank.postprocess_nodes(with_scores(*(texts[start:] + texts[:start])), query_str="猫")

    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(some, list(range(12)) * 2):
            for node in found:
                assert node.get_score() == pytest.approx(expected[node.text], abs=1e-4)
    assert 0 < rerank.cache.nbytes <= 60_000


# Many queries, events


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_batch_is_as_its_queries(mini: JaColBERT, encoded: list[str], asynchronous: bool) -> None:
    rerank = JaColBERTRerank(mini, top_n=2)
    nodes = [with_scores(ANSWER, "猫がいる。", FILLER), [], with_scores("猫がいる。", ANSWER)]
    queries: list[str | QueryBundle] = [QUESTION, "空", QueryBundle("猫")]
    if asynchronous:
        found = asyncio.run(rerank.apostprocess_nodes_batch(nodes, queries))
    else:
        found = rerank.postprocess_nodes_batch(nodes, queries)
    assert encoded.count(ANSWER) == encoded.count("猫がいる。") == 1
    alone = JaColBERTRerank(mini, top_n=2)
    for own, given_nodes, query in zip(found, nodes, queries, strict=True):
        expected = alone.postprocess_nodes(given_nodes, query_bundle=QueryBundle(str(query)))
        assert [n.node_id for n in own] == [n.node_id for n in expected]
        np.testing.assert_allclose([n.get_score() for n in own], [n.get_score() for n in expected], atol=1e-4)
    assert rerank.postprocess_nodes_batch([], []) == []
    with pytest.raises(InputError, match="2 queries need as many lists of nodes, but there are 1"):
        rerank.postprocess_nodes_batch([[]], ["a", "b"])


def test_a_batch_has_the_events_of_its_queries(mini: JaColBERT, events: list[BaseEvent]) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    rerank = JaColBERTRerank(mini, top_n=1, callback_manager=CallbackManager([debug]))
    found = rerank.postprocess_nodes_batch([with_scores("山", "川"), [], with_scores("猫")], ["山", "空", "猫"])
    starts = [event for event in events if isinstance(event, ReRankStartEvent)]
    ends = [event for event in events if isinstance(event, ReRankEndEvent)]
    assert [(e.query.query_str, len(e.nodes), e.top_n, e.model_name) for e in starts] == [  # type: ignore[union-attr]
        ("山", 2, 1, mini.name),
        ("猫", 1, 1, mini.name),
    ]
    assert [event.nodes for event in ends] == [found[0], found[2]]
    pairs = debug.get_event_pairs(CBEventType.RERANKING)
    assert [(pair[0].payload or {})[EventPayload.QUERY_STR] for pair in pairs] == ["山", "猫"]


# What comes in and goes out


def test_what_goes_out_shares_no_metadata_with_what_came_in(mini: JaColBERT) -> None:
    nodes = with_scores(ANSWER, kind="place")
    (ranked,) = JaColBERTRerank(mini).postprocess_nodes(nodes, query_str=QUESTION)
    ranked.node.metadata["later"] = 1
    assert nodes[0].node.metadata == {"kind": "place"}
    assert isinstance(ranked, ScoredNode)
    assert (ranked.provenance.previous_score, ranked.provenance.previous) == (0.5, None)


def test_a_retrieval_score_is_for_no_model(mini: JaColBERT) -> None:
    node = TextNode(text=ANSWER, metadata={"kind": "place"}, excluded_llm_metadata_keys=["x"])
    rerank = JaColBERTRerank(mini, keep_retrieval_score=True)
    (ranked,) = rerank.postprocess_nodes([NodeWithScore(node=node, score=0.5)], query_str=QUESTION)
    for mode in (MetadataMode.EMBED, MetadataMode.LLM):
        assert ranked.node.get_content(mode) == node.get_content(mode)
    assert (node.excluded_llm_metadata_keys, node.excluded_embed_metadata_keys) == (["x"], [])
    (again,) = rerank.postprocess_nodes([ranked], query_str=QUESTION)
    assert again.score == ranked.score


def test_any_language(mini: JaColBERT) -> None:
    texts = ["The highest mountain in Japan.", "일본에서 가장 높은 산", "日本最高的山", "أعلى جبل في اليابان", "🗻🗾",
             "[MASK][SEP]", "か\u3099", "ﾌｼﾞｻﾝ", "\u200b山\ufeff", "𠮷野家", "\ud800"]  # fmt: skip
    ranked = JaColBERTRerank(mini, top_n=20).postprocess_nodes(with_scores(*texts), query_str="highest 山 산 جبل 🗻")
    assert {n.text for n in ranked} == set(texts)
    assert np.isfinite([n.get_score() for n in ranked]).all()


def test_nodes_without_text_and_empty_queries_are_errors(mini: JaColBERT) -> None:
    rerank = JaColBERTRerank(mini)
    good = with_scores(ANSWER)
    for bad in (TextNode(id_="x", text=" \n"), ImageNode(id_="x", image_url="https://localhost/a.png")):
        with pytest.raises(InputError, match=r"1 of 2 nodes have no text \(the first is 'x'\)"):
            rerank.postprocess_nodes([*good, NodeWithScore(node=bad)], query_str=QUESTION)
    assert len(rerank.cache) == 0
    for empty in ("", "　\n"):
        with pytest.raises(InputError, match="the query has no text"):
            rerank.postprocess_nodes(good, query_str=empty)
        assert rerank.postprocess_nodes([], query_str=empty) == []
    index = IndexNode(id_="i", text="山の索引", index_id="mountains")
    assert rerank.postprocess_nodes([NodeWithScore(node=index)], query_str="山")[0].node_id == "i"


def test_one_id_with_two_texts(mini: JaColBERT) -> None:
    store = MemoryStore()
    store.bind(mini.identity)
    old, new = TextNode(id_="same", text="猫がいる。"), TextNode(id_="same", text=ANSWER)
    store.upsert(node_points([old], mini, "cut"))
    nodes = [NodeWithScore(node=new), NodeWithScore(node=old)]
    for order in (nodes, nodes[::-1]):
        ranked = JaColBERTRerank(mini, store=store).postprocess_nodes(order, query_str=QUESTION)
        expected = mini.score([QUESTION], [ANSWER, old.text])[0]
        assert [n.text for n in ranked] == [ANSWER, old.text]
        np.testing.assert_allclose([n.get_score() for n in ranked], expected, atol=1e-4)


# With the scores that nodes came with


def test_retrieval_scores_count_beside_maxsim(mini: JaColBERT) -> None:
    texts = ["富士山は日本で一番高い山である。", "琵琶湖は日本で一番広い湖である。", "猫は魚を食べる。"]
    nodes = [
        NodeWithScore(node=TextNode(id_=text, text=text), score=score)
        for text, score in zip(texts, (2.0, 8.0, 4.0), strict=True)
    ]
    maxsim = mini.score(["日本で一番高い山は？"], texts)[0]
    least, most = float(maxsim.min()), float(maxsim.max())
    ranked = JaColBERTRerank(mini, top_n=3, retrieval_weight=0.4).postprocess_nodes(
        nodes, query_str="日本で一番高い山は？"
    )
    scaled = dict(zip(texts, (0.0, 1.0, 1 / 3), strict=True))
    expected = {
        t: 0.6 * (float(m) - least) / (most - least) + 0.4 * scaled[t] for t, m in zip(texts, maxsim, strict=True)
    }
    assert [node.node_id for node in ranked] == sorted(texts, key=lambda text: -expected[text])
    for node in ranked:
        assert isinstance(node, ScoredNode)
        assert node.get_score() == pytest.approx(expected[node.node_id], abs=1e-5)
        assert node.provenance.score == pytest.approx(float(maxsim[texts.index(node.node_id)]), abs=1e-4)
        assert node.provenance.previous_score == nodes[texts.index(node.node_id)].score


def test_interpolation_by_hand() -> None:
    given = [-1.0, 3.0, 1.0]
    assert interpolated([10, 20, 15], given, 0.25) == [0.0, 1.0, 0.5]
    assert interpolated([20, 10, 15], given, 0.25) == [0.75, 0.25, 0.5]
    assert interpolated([7], given[:1], 0.5) == [1.0]  # one node alone is the best of all
    assert interpolated([7, 7, 7], given, 0.5) == [0.5, 1.0, 0.75]  # nothing to tell apart on one side
    assert min_max([]) == []
    assert min_max([5, 1, 3]) == [1.0, 0.0, 0.5]
    assert min_max([5, 1, 3], least=0) == [1.0, 0.2, 0.6]
    assert min_max([0, 0], least=0) == [1.0, 1.0]


@pytest.mark.parametrize("score", [None, float("nan"), float("inf")])
def test_retrieval_scores_have_to_be_there_where_they_count(
    mini: JaColBERT, score: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [NodeWithScore(node=TextNode(id_="x", text=ANSWER), score=score), *with_scores(ANSWER)]
    assert len(JaColBERTRerank(mini).postprocess_nodes(nodes, query_str=QUESTION)) == 2
    encoded: list[str] = []
    monkeypatch.setattr(mini, "encode_document", lambda texts: encoded.extend(texts))
    monkeypatch.setattr(mini, "encode_query", lambda texts: encoded.extend(texts))
    with pytest.raises(InputError, match=f"'x' came with the score {score}, but retrieval_weight needs"):
        JaColBERTRerank(mini, retrieval_weight=0.2).postprocess_nodes(nodes, query_str=QUESTION)
    good = with_scores(ANSWER)
    with pytest.raises(InputError, match="'x' came with"):
        JaColBERTRerank(mini, retrieval_weight=0.2).postprocess_nodes_batch([good, nodes], [QUESTION, QUESTION])
    assert encoded == []


# Copies


def copies(rerank: JaColBERTRerank) -> dict[str, JaColBERTRerank]:
    return {
        "from_dict": JaColBERTRerank.from_dict(json.loads(json.dumps(rerank.to_dict()))),
        "from_json": JaColBERTRerank.from_json(rerank.to_json()),
        "pydantic": JaColBERTRerank.model_validate_json(rerank.model_dump_json()),
        "pickle": pickle.loads(pickle.dumps(rerank)),
    }


def test_copies_rank_the_same(mini: JaColBERT) -> None:
    rerank = JaColBERTRerank(
        mini, top_n=3, keep_retrieval_score=True, retrieval_weight=0.2, window_size=160, cache_bytes=1234
    )
    assert rerank.to_dict()["class_name"] == "JaColBERTRerank"
    nodes = with_scores(ANSWER, "猫がいる。", FILLER)
    expected = [(n.node_id, n.score) for n in rerank.postprocess_nodes(nodes, query_str=QUESTION)]
    for how, other in copies(rerank).items():
        assert other.to_dict() == rerank.to_dict(), how
        assert other.cache.max_bytes == 1234
        assert [(n.node_id, n.score) for n in other.postprocess_nodes(nodes, query_str=QUESTION)] == expected, how
    shared = copy.deepcopy(rerank)
    assert shared.cache is rerank.cache
    assert len(pickle.loads(pickle.dumps(VectorCache(7))).__repr__()) > 0


def test_copies_of_a_model_that_was_loaded_in_another_way(mini: JaColBERT) -> None:
    rerank = JaColBERTRerank(JaColBERT.from_pretrained(STANFORD, query_length="paper", pooling="sequential-2"))
    assert rerank.model == str(STANFORD.resolve())
    again = pickle.loads(pickle.dumps(rerank))
    assert again._encoder.identity == rerank._encoder.identity
    assert again._encoder.query_length == "paper"
    half = JaColBERTRerank(dtype="bfloat16", device="cpu")
    assert (half.dtype, half.device, half.fingerprint) == ("bfloat16", "cpu", mini.fingerprint)
    assert copies(half)["from_dict"].to_dict() == half.to_dict()


def test_a_copy_is_the_same_model_or_none(mini: JaColBERT) -> None:
    data = JaColBERTRerank(mini).to_dict()
    with pytest.raises(ModelMismatchError, match="'jacolbert-mini' holds other weights now: the fingerprint 000"):
        JaColBERTRerank.from_dict({**data, "fingerprint": "0" * 64})
    with pytest.raises(ModelMismatchError, match="'jacolbert-mini' has another tokenizer or other settings now"):
        JaColBERTRerank.from_dict({**data, "configuration": "0" * 64})
    earlier = {name: value for name, value in data.items() if name != "configuration"}
    assert JaColBERTRerank.from_dict(earlier).to_dict() == data
    unsaved = JaColBERTRerank(JaColBERT(mini.model, name="mine"))
    with pytest.raises(CheckpointNotFoundError, match="'mine' was made in a program"):
        pickle.loads(pickle.dumps(unsaved))


def test_no_secret_is_inside(mini: JaColBERT) -> None:
    key = "a-very-secret-key"
    client = QdrantClient(url="https://localhost:1", api_key=key, check_compatibility=False)
    rerank = JaColBERTRerank(mini)
    rerank._store = QdrantStore(client, "nodes")
    assert key not in rerank.to_json() + rerank.model_dump_json() + repr(rerank)
    assert key.encode() not in pickle.dumps(rerank)
    client.close()


def test_bad_arguments(mini: JaColBERT, tmp_path: Path) -> None:
    rerank = JaColBERTRerank(mini)
    for top_n in (0, -1):
        with pytest.raises(ValidationError, match="top_n"):
            rerank.top_n = top_n
        with pytest.raises(ValidationError, match="top_n"):
            JaColBERTRerank(mini, top_n=top_n)
    with pytest.raises(ValidationError, match="frozen"):
        rerank.model = "another"
    with pytest.raises(ValidationError, match="cache_bytes"):
        JaColBERTRerank(mini, cache_bytes=-1)
    with pytest.raises(ValidationError, match="topn"):
        JaColBERTRerank(mini, topn=3)
    with pytest.raises(InputError, match="loaded already, so pooling, dtype can no longer be chosen"):
        JaColBERTRerank(mini, pooling="hierarchical-2", dtype="float16")
    with pytest.raises(InputError, match="dtype is 'half-ish'"):
        JaColBERTRerank(dtype="half-ish")
    with pytest.raises(CheckpointNotFoundError, match="is no directory"):
        JaColBERTRerank(tmp_path / "missing")
