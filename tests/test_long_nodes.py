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

from jacolbert_integrations import JaColBERT, JaColBERTRetriever, JaColBERTVectorStore, MemoryStore, QdrantWriter
from jacolbert_integrations.errors import InputError, TruncationWarning
from jacolbert_integrations.llama_index import ScoredNode, payload_node_text, to_documents
from jacolbert_integrations.qdrant import EdgeStore
from jacolbert_integrations.types import Point
from jacolbert_integrations.windows import DOCUMENT_KEY

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
    assert "".join(payload_node_text(p.payload) for i, p in written.items() if i != "short") == f"題名: 猫\n\n{LONG}"
    assert DOCUMENT_KEY not in written["short"].payload
    for point in written.values():
        (expected,) = mini.encode_document([payload_node_text(point.payload)])
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


@WAYS
def test_cut_and_refused(write: Any, mini: JaColBERT, long: TextNode, short: TextNode) -> None:
    store = MemoryStore()
    with pytest.warns(TruncationWarning, match="1 of 2 documents"):
        write(store, mini, [long, short], too_long="cut")
    assert sorted(points(store)) == ["long", "short"]
    assert len(points(store)["long"].vectors) <= mini.document_maxlen
    again = MemoryStore()
    with pytest.raises(
        InputError, match=r"1 of 2 nodes are longer than the 512 tokens .* \(the longest, 'long', has \d+\)"
    ):
        write(again, mini, [long, short], too_long="refuse")
    assert not again.exists() or again.count() == 0
    write(again, mini, [short], too_long="refuse")
    with pytest.raises(ValueError, match="'split'"):
        write(again, mini, [short], too_long="halve")


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
