"""While the model encodes, the event loop of those who wait for it is free."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import Document, IndexNode, NodeWithScore, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery

from jacolbert_integrations import JaColBERT, JaColBERTRerank, JaColBERTRetriever, JaColBERTVectorStore

from ..waiting import FreeLoop

TEXTS = {"tokyo": "東京は日本の首都である。", "cat": "猫は魚や肉を食べる。"}
QUESTION = "日本の首都はどこですか。"
QUERY, DOCUMENT = "encode_query", "encode_document"


def nodes() -> list[TextNode]:
    return [TextNode(id_=name, text=text) for name, text in TEXTS.items()]


def found() -> list[NodeWithScore]:
    return [NodeWithScore(node=node, score=1.0) for node in nodes()]


class Parts:
    """All that can be asked, over the same nodes."""

    def __init__(self, model: JaColBERT) -> None:
        self.retriever = JaColBERTRetriever.from_nodes(nodes(), model)
        root = IndexNode(id_="root", text="猫と東京について", index_id="leaves")
        self.parent = JaColBERTRetriever.from_nodes([root], model, object_map={"leaves": self.retriever})
        self.rerank = JaColBERTRerank(model)
        self.store = JaColBERTVectorStore(model)
        self.store.add(nodes())
        self.index = self.store.as_index()
        context = StorageContext.from_defaults(vector_store=self.store)
        self.builtin = VectorStoreIndex([], storage_context=context, embed_model=self.store.embed_model)
        self.builtin.insert(Document(id_="dog", text="犬は走る。"))
        self.pipeline = IngestionPipeline(transformations=[self.store.embed_model], vector_store=self.store)


@pytest.fixture
def parts(mini: JaColBERT) -> Parts:
    return Parts(mini)


WAYS: dict[str, tuple[set[str], Callable[[Parts], Awaitable[Any]]]] = {
    "retriever.aretrieve": ({QUERY}, lambda parts: parts.retriever.aretrieve(QUESTION)),
    "retriever.aretrieve_batch": ({QUERY}, lambda parts: parts.retriever.aretrieve_batch([QUESTION, "猫"])),
    "parent.aretrieve": ({QUERY}, lambda parts: parts.parent.aretrieve(QUESTION)),
    "parent.aretrieve_batch": ({QUERY}, lambda parts: parts.parent.aretrieve_batch([QUESTION, "猫"])),
    "retriever.ainsert_nodes": ({DOCUMENT}, lambda parts: parts.retriever.ainsert_nodes(nodes())),
    "rerank.apostprocess_nodes": (
        {QUERY, DOCUMENT},
        lambda parts: parts.rerank.apostprocess_nodes(found(), query_str=QUESTION),
    ),
    "rerank.apostprocess_nodes_batch": (
        {QUERY, DOCUMENT},
        lambda parts: parts.rerank.apostprocess_nodes_batch([found(), found()], [QUESTION, "猫"]),
    ),
    "store.async_add": ({DOCUMENT}, lambda parts: parts.store.async_add(nodes())),
    "store.aquery": ({QUERY}, lambda parts: parts.store.aquery(VectorStoreQuery(query_str=QUESTION))),
    "index.ainsert": ({DOCUMENT}, lambda parts: parts.index.ainsert(Document(text="京都は古い都である。"))),
    "index.ainsert_nodes": ({DOCUMENT}, lambda parts: parts.index.ainsert_nodes(nodes())),
    "index retriever": ({QUERY}, lambda parts: parts.index.as_retriever().aretrieve(QUESTION)),
    "index query engine": ({QUERY}, lambda parts: parts.index.as_query_engine(llm=MockLLM()).aquery(QUESTION)),
    "query engine with reranker": (
        {QUERY, DOCUMENT},
        lambda parts: RetrieverQueryEngine.from_args(
            parts.retriever, llm=MockLLM(), node_postprocessors=[parts.rerank]
        ).aquery(QUESTION),
    ),
    "VectorStoreIndex.ainsert": ({DOCUMENT}, lambda parts: parts.builtin.ainsert(Document(text="京都は古い。"))),
    "VectorStoreIndex.aupdate_ref_doc": (
        {DOCUMENT},
        lambda parts: parts.builtin.aupdate_ref_doc(Document(id_="dog", text="犬は寝る。")),
    ),
    "VectorStoreIndex.arefresh_ref_docs": (
        {DOCUMENT},
        lambda parts: parts.builtin.arefresh_ref_docs([Document(id_="dog", text="犬は泳ぐ。")]),
    ),
    "VectorStoreIndex query engine": (
        {QUERY},
        lambda parts: parts.builtin.as_query_engine(llm=MockLLM()).aquery(QUESTION),
    ),
    "IngestionPipeline.arun": (
        {DOCUMENT},
        lambda parts: parts.pipeline.arun(documents=[Document(text="京都は古い都である。")]),
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_loop_is_free(way: str, parts: Parts, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, call = WAYS[way]
    loop = FreeLoop()
    for method in (QUERY, DOCUMENT):
        monkeypatch.setattr(mini, method, loop.waiting(getattr(mini, method)))
    loop.run(lambda: call(parts))
    assert set(loop.calls) == expected
