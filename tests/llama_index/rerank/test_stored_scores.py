"""Nodes that a store scores for the reranker: which, and that their scores are those of encoding them anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from llama_index.core.schema import NodeWithScore, TextNode

from jacolbert_integrations import JaColBERT, JaColBERTRerank, MemoryStore, MultiVectorStore
from jacolbert_integrations.errors import TruncationWarning
from jacolbert_integrations.llama_index import ScoredNode
from jacolbert_integrations.llama_index.writing import node_points
from jacolbert_integrations.text.windows import TooLong
from jacolbert_integrations.types import ScoresById

QUESTION = "日本で一番高い山は？"
FILLER = "この文は長さのためだけにある。" * 70
ANSWER = "富士山は日本で一番高い山である。"
TEXTS = [ANSWER, "琵琶湖は日本で一番広い湖である。", "猫は魚を食べる。"]


def as_nodes(*texts: str, **metadata: Any) -> list[TextNode]:
    return [TextNode(id_=f"n{i}", text=text, metadata=metadata) for i, text in enumerate(texts)]


def written(store: MultiVectorStore, model: JaColBERT, nodes: Sequence[TextNode], too_long: TooLong = "split") -> None:
    store.bind(model.identity)
    store.upsert(node_points(nodes, model, too_long))


def check(rerank: JaColBERTRerank, nodes: Sequence[TextNode], by: dict[str, str]) -> list[ScoredNode]:
    """Compares with a reranker that has no store, and checks by whom each node was scored."""
    given = [NodeWithScore(node=node, score=0.5) for node in nodes]
    anew = JaColBERTRerank(rerank._encoder, top_n=99, window_size=rerank.window_size)
    expected = anew.postprocess_nodes(given, query_str=QUESTION)
    found = [n for n in rerank.postprocess_nodes(given, query_str=QUESTION) if isinstance(n, ScoredNode)]
    assert [node.node_id for node in found] == [node.node_id for node in expected]
    np.testing.assert_allclose([n.get_score() for n in found], [n.get_score() for n in expected], atol=2e-3)
    windows = [n.provenance.window for n in expected if isinstance(n, ScoredNode)]
    assert [node.provenance.window for node in found] == windows
    if not isinstance(rerank._store, MemoryStore):
        assert {node.node_id: node.provenance.scored_by for node in found} == by
    return found


def test_what_is_stored_is_scored_there(store: MultiVectorStore, mini: JaColBERT, encoded: list[str]) -> None:
    nodes = as_nodes(*TEXTS, title="日本")
    written(store, mini, nodes)
    encoded.clear()
    rerank = JaColBERTRerank(mini, top_n=9, store=store)
    changed = TextNode(id_="n1", text="琵琶湖は書きかえられた。", metadata={"title": "日本"})
    new = TextNode(id_="new", text="富士山は高い。")
    check(rerank, [nodes[0], changed, nodes[2], new], {"n0": "store", "n1": "client", "n2": "store", "new": "client"})
    assert encoded[-2:] == ["title: 日本\n\n琵琶湖は書きかえられた。", "富士山は高い。"]  # before, the comparison's
    if not isinstance(store, MemoryStore):
        assert len(rerank.cache) == 2
    encoded.clear()
    rerank.postprocess_nodes([NodeWithScore(node=node) for node in (nodes[0], changed, new)], query_str="猫")
    assert encoded == []


def test_no_vector_is_read(store: MultiVectorStore, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(store, MemoryStore):
        pytest.skip("in memory nothing travels")
    nodes = as_nodes(*TEXTS, FILLER + ANSWER)
    written(store, mini, nodes)
    monkeypatch.setattr(store, "get", lambda *_, **__: pytest.fail("read"))
    check(JaColBERTRerank(mini, top_n=9, store=store), nodes, {node.node_id: "store" for node in nodes})


@pytest.mark.parametrize(
    ("text", "metadata", "by"),
    [
        (FILLER + ANSWER + FILLER, {}, "store"),
        (FILLER + ANSWER, {"title": "山"}, "client"),  # a reranker repeats the metadata in each window
        (ANSWER, {"summary": FILLER}, "store"),  # unless they are too long for that
        ("\n  " + FILLER + ANSWER, {}, "client"),
    ],
)
def test_windows_count_where_they_are_the_same(
    store: MultiVectorStore, mini: JaColBERT, text: str, metadata: dict[str, str], by: str
) -> None:
    (node,) = as_nodes(text, **metadata)
    written(store, mini, [node])
    rerank = JaColBERTRerank(mini, store=store)
    (found,) = check(rerank, [node], {"n0": by})
    assert found.best_window.endswith(ANSWER) or ANSWER in found.best_window
    if isinstance(store, MemoryStore) or by == "client":
        return
    shorter = JaColBERTRerank(mini, store=store, window_size=100)
    check(shorter, [node], {"n0": "client"})
    assert isinstance(store, ScoresById)
    second = next(point.id for point in store.points() if "#window-" in point.id)
    store.delete([second])
    check(JaColBERTRerank(mini, store=store), [node], {"n0": "client"})


def test_a_node_that_was_cut_is_read(store: MultiVectorStore, mini: JaColBERT) -> None:
    (node,) = as_nodes(FILLER + ANSWER)
    with pytest.warns(TruncationWarning):
        written(store, mini, [node], "cut")
    check(JaColBERTRerank(mini, store=store), [node], {"n0": "client"})


def test_batches_and_nodes_of_one_id(store: MultiVectorStore, mini: JaColBERT, encoded: list[str]) -> None:
    nodes = as_nodes(*TEXTS)
    written(store, mini, nodes)
    encoded.clear()
    rerank = JaColBERTRerank(mini, top_n=9, store=store)
    other = TextNode(id_="n0", text="別の文である。")
    lists = [[NodeWithScore(node=node) for node in own] for own in (nodes, [], [nodes[0], other, nodes[0]])]
    found = rerank.postprocess_nodes_batch(lists, [QUESTION, "空", "猫"])
    assert encoded == ["別の文である。"]
    for own, given, query in zip(found, lists, [QUESTION, "空", "猫"], strict=True):
        alone = JaColBERTRerank(mini, top_n=9).postprocess_nodes(given, query_str=query)
        assert [node.text for node in own] == [node.text for node in alone]
        np.testing.assert_allclose([n.get_score() for n in own], [n.get_score() for n in alone], atol=2e-3)


def test_a_store_of_nothing(store: MultiVectorStore, mini: JaColBERT) -> None:
    nodes = as_nodes(*TEXTS)
    check(JaColBERTRerank(mini, top_n=9, store=store), nodes, {node.node_id: "client" for node in nodes})
