"""Nodes of more tokens than the model reads: written in windows, cut, or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.node_parser import NodeParser
from llama_index.core.schema import BaseNode, Document, NodeRelationship, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery

from jacolbert_integrations import (
    JaColBERT,
    JaColBERTRetriever,
    JaColBERTVectorStore,
    MemoryStore,
    MultiVectorStore,
    QdrantWriter,
)
from jacolbert_integrations.errors import InputError, TruncationWarning
from jacolbert_integrations.llama_index import ScoredNode, to_documents
from jacolbert_integrations.llama_index.best_per_node import best_per_node
from jacolbert_integrations.llama_index.writing import node_points
from jacolbert_integrations.qdrant import EdgeStore
from jacolbert_integrations.stores.payload_text import payload_text
from jacolbert_integrations.text.windows import DOCUMENT_KEY
from jacolbert_integrations.types import Hit, Hits, Point

ANSWER = "富士山の標高は3776メートルである。"
QUESTION = "富士山の高さは何メートルですか。"
LONG = "".join(f"{i}番目の文は猫について述べている。" for i in range(80)) + ANSWER
SHORT = "犬は散歩を好む。"

Write = Callable[[MemoryStore, JaColBERT, Sequence[BaseNode]], Any]


def by_retriever(store: MemoryStore, model: JaColBERT, nodes: Sequence[BaseNode], **options: Any) -> None:
    JaColBERTRetriever.from_nodes(nodes, model, store=store, **options)


def by_vector_store(store: MemoryStore, model: JaColBERT, nodes: Sequence[BaseNode], **options: Any) -> None:
    JaColBERTVectorStore(model, store, **options).add(nodes)


class Whole(NodeParser):
    """Leaves documents as they are."""

    def _parse_nodes(self, nodes: Sequence[BaseNode], show_progress: bool = False, **kwargs: Any) -> list[BaseNode]:
        return [
            TextNode(
                id_=f"{node.node_id}-1",
                text=node.get_content(),
                relationships={NodeRelationship.SOURCE: node.as_related_node_info()},
            )
            for node in nodes
        ]


WAYS = pytest.mark.parametrize("write", [by_retriever, by_vector_store])


@pytest.fixture
def long(mini: JaColBERT) -> TextNode:
    node = TextNode(id_="long", text=LONG, metadata={"題名": "猫"})
    assert mini.document_lengths([LONG])[0] > 2 * mini.document_maxlen
    return node


@pytest.fixture
def short() -> TextNode:
    return TextNode(id_="short", text=SHORT)


def points(store: MemoryStore) -> dict[str, Point]:
    return {point.id: point for point in store.points()}


@WAYS
def test_all_of_a_long_node_is_written(write: Write, mini: JaColBERT, long: TextNode, short: TextNode) -> None:
    store = MemoryStore()
    write(store, mini, [long, short])
    written = points(store)
    assert "".join(payload_text(p.payload) for i, p in written.items() if i != "short") == f"題名: 猫\n\n{LONG}"
    assert DOCUMENT_KEY not in written["short"].payload
    for point in written.values():
        (expected,) = mini.encode_document([payload_text(point.payload)])
        np.testing.assert_allclose(point.vectors, expected, atol=1e-5)
    best = JaColBERTRetriever(store, mini, similarity_top_k=2).retrieve(QUESTION)
    assert [node.node_id for node in best] == ["long", "short"]
    assert isinstance(best[0], ScoredNode)
    assert ANSWER in best[0].best_window != best[0].text
    write(store, mini, [TextNode(id_="long", text=ANSWER)])
    assert sorted(points(store)) == ["long", "short"]


@WAYS
def test_as_the_writer_writes_them(
    write: Write, mini: JaColBERT, long: TextNode, short: TextNode, tmp_path: Any
) -> None:
    ours = MemoryStore()
    write(ours, mini, [long, short])
    with EdgeStore(tmp_path, vector_options={"datatype": "float32"}) as theirs:
        QdrantWriter(theirs, mini, too_long="split").write(to_documents([long, short]))
        written = {point.id: point for point in theirs.points()}
    assert written.keys() == points(ours).keys()
    for point_id, point in points(ours).items():
        np.testing.assert_allclose(point.vectors, written[point_id].vectors, atol=1e-5)
        assert dict(point.payload) == dict(written[point_id].payload)


@WAYS
def test_cut_and_refused(write: Any, mini: JaColBERT, long: TextNode, short: TextNode) -> None:
    store = MemoryStore()
    with pytest.warns(TruncationWarning, match="1 of 2 documents"):
        write(store, mini, [long, short], too_long="cut")
    assert sorted(points(store)) == ["long", "short"]
    assert len(points(store)["long"].vectors) <= mini.document_maxlen
    again = MemoryStore()
    with pytest.raises(
        InputError, match=r"1 of \d nodes are longer than the 512 tokens .* \(the longest, 'long', has \d+\)"
    ):
        write(again, mini, [long, short], too_long="refuse")
    there = ["short"] if write is by_vector_store else []  # which writes the others
    assert (list(points(again)) if again.exists() else []) == there
    write(again, mini, [short], too_long="refuse")
    with pytest.raises(ValueError, match="'split'"):
        write(again, mini, [short], too_long="halve")


@pytest.mark.parametrize("too_long", ["split", "cut", "refuse"])
def test_no_nodes_are_written_as_nothing(too_long: Any, store: MultiVectorStore, mini: JaColBERT) -> None:
    retriever = JaColBERTRetriever.from_nodes([], mini, store=store, too_long=too_long)
    assert JaColBERTVectorStore(mini, store, too_long=too_long).add([]) == []
    assert retriever.retrieve(QUESTION) == []
    assert node_points([], mini, too_long) == []
    with pytest.raises(InputError, match="'split'"):
        retriever.insert_nodes([], too_long="halve")  # type: ignore[arg-type]


def test_a_window_s_own_id_is_no_node_s(
    store: MultiVectorStore, mini: JaColBERT, long: TextNode, short: TextNode
) -> None:
    vector_store = JaColBERTVectorStore(mini, store)
    vector_store.add([long, short])
    before = sorted(point.id for point in store.points())
    window = next(point_id for point_id in before if "#window-" in point_id)
    vector_store.delete_nodes([window])
    assert sorted(point.id for point in store.points()) == before
    assert vector_store.get_nodes([window]) == []
    asked = VectorStoreQuery(query_str=QUESTION, node_ids=[window], similarity_top_k=5)
    assert vector_store.query(asked).ids == []
    asked.node_ids = ["long"]
    assert vector_store.query(asked).ids == ["long"]
    vector_store.delete_nodes(["long"])
    assert [point.id for point in store.points()] == ["short"]


def test_a_window_of_metadata_alone(mini: JaColBERT) -> None:
    node = TextNode(id_="n", text="富士山は高い。" + LONG, metadata={"k": "犬が走る庭。" * 200})
    (found,) = JaColBERTRetriever.from_nodes([node], mini, similarity_top_k=1).retrieve("犬が走る庭")
    assert isinstance(found, ScoredNode)
    assert found.provenance.window == (0, 0)
    assert found.best_window == ""


def test_enough_points_are_asked_for() -> None:
    """However many windows of one node come before the second node."""
    points = [Hit(f"a{i}", 100.0 - i, {DOCUMENT_KEY: "a"}) for i in range(40)] + [Hit("b", 1.0), Hit("c", 0.0)]
    asked: list[int] = []

    def search(top_k: int) -> Hits:
        asked.append(top_k)
        return Hits(points[:top_k], approximate=True)

    found = best_per_node(search, 2)
    assert [hit.id for hit in found] == ["a0", "b"]
    assert found.approximate
    assert asked == [2, 8, 32, 128]
    assert [hit.id for hit in best_per_node(search, 9)] == ["a0", "b", "c"]


def test_a_failed_update_leaves_the_windows(mini: JaColBERT, long: TextNode, monkeypatch: pytest.MonkeyPatch) -> None:
    vector_store = JaColBERTVectorStore(mini, MemoryStore())
    index = VectorStoreIndex.from_documents(
        [Document(id_="long", text=LONG)],
        transformations=[Whole()],
        storage_context=vector_store.as_index().storage_context,
        embed_model=vector_store.embed_model,
    )
    inner = vector_store.store
    before = {point.id: point.vectors for point in inner.points()}
    assert len(before) > 2
    upsert, fails = type(inner).upsert, [True]

    def half(self: MemoryStore, given: Any) -> int:
        if fails.pop() if fails else False:
            upsert(self, list(given)[:2])
            raise OSError("the disk is full")
        return upsert(self, given)

    monkeypatch.setattr(MemoryStore, "upsert", half)
    with pytest.raises(OSError, match="full"):
        index.update_ref_doc(Document(id_="long", text=SHORT + LONG))
    after = {point.id: point for point in inner.points()}
    assert after.keys() == before.keys()
    assert all(np.array_equal(after[point_id].vectors, matrix) for point_id, matrix in before.items())
    index.update_ref_doc(Document(id_="long", text=SHORT))
    assert inner.count() == 1


def test_a_description_says_it(mini: JaColBERT) -> None:
    for too_long in ("split", "cut"):
        described = JaColBERTVectorStore(too_long=too_long).to_dict()
        assert JaColBERTVectorStore.from_dict(described).too_long == too_long
    found = JaColBERTVectorStore(mini, MemoryStore()).query(VectorStoreQuery(query_str=QUESTION))
    assert found.ids == []
