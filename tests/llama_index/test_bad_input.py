"""Bad input, by every way in which it can come: a typed error or an empty answer, and nothing is stored."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.bridge.pydantic import ValidationError
from llama_index.core.schema import BaseNode, Document, ImageNode, NodeWithScore, TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters, VectorStoreQuery
from qdrant_client import QdrantClient

from jacolbert_integrations import (
    EdgeStore,
    JaColBERT,
    JaColBERTRerank,
    JaColBERTRetriever,
    JaColBERTVectorStore,
    MultiVectorStore,
    QdrantStore,
)
from jacolbert_integrations.errors import InputError, ModelMismatchError, StoreError

from ..conftest import STANFORD

TEXTS = {
    "tokyo": "東京は日本の首都であり、人口は約千四百万人である。",
    "cat": "猫は魚や肉を食べる小さな動物である。",
}
MISSING = MetadataFilters(filters=[MetadataFilter(key="no such key", value=1)])


def nodes() -> list[TextNode]:
    return [TextNode(id_=name, text=text, metadata={"name": name}) for name, text in TEXTS.items()]


def found() -> list[NodeWithScore]:
    return [NodeWithScore(node=node, score=1.0) for node in nodes()]


class Parts:
    """A retriever, a vector store, its index and a reranker, over one store."""

    def __init__(self, store: MultiVectorStore, model: JaColBERT) -> None:
        self.store = store
        self.retriever = JaColBERTRetriever.from_nodes(nodes(), model, store=store)
        self.vector_store = JaColBERTVectorStore(model, store)
        self.index = self.vector_store.as_index()
        self.rerank = JaColBERTRerank(model, store=store)


@pytest.fixture
def parts(store: MultiVectorStore, mini: JaColBERT) -> Parts:
    return Parts(store, mini)


def done(result: Any) -> Any:
    """What a method gives, whether it is async or not."""

    async def wait() -> Any:
        return await result

    return asyncio.run(wait()) if inspect.isawaitable(result) else result


def index_query(parts: Parts, method: str, query: str, options: dict[str, Any]) -> Any:
    return getattr(parts.index.as_retriever(**options), method)(query)


def store_query(parts: Parts, method: str, query: str, options: dict[str, Any]) -> Any:
    return getattr(parts.vector_store, method)(VectorStoreQuery(query_str=query, **options))


def retriever_query(parts: Parts, method: str, query: str, options: dict[str, Any]) -> Any:
    for name, value in options.items():
        setattr(parts.retriever, name, value)
    return getattr(parts.retriever, method)(["猫", query] if method.endswith("batch") else query)


Ask = Callable[[Parts, str, dict[str, Any]], Any]


def asked(ask: Callable[..., Any], method: str) -> Ask:
    return lambda parts, query, options: done(ask(parts, method, query, options))


ASK: dict[str, Ask] = {
    f"{name}.{method}": asked(ask, method)
    for name, ask, methods in (
        ("retriever", retriever_query, ("retrieve", "aretrieve", "retrieve_batch", "aretrieve_batch")),
        ("index retriever", index_query, ("retrieve", "aretrieve")),
        ("vector store", store_query, ("query", "aquery")),
    )
    for method in methods
}
RERANK: dict[str, Callable[[JaColBERTRerank, list[NodeWithScore], str], Any]] = {
    "postprocess_nodes": lambda rerank, given, query: rerank.postprocess_nodes(given, query_str=query),
    "apostprocess_nodes": lambda rerank, given, query: rerank.apostprocess_nodes(given, query_str=query),
    "postprocess_nodes_batch": lambda rerank, given, query: rerank.postprocess_nodes_batch(
        [found(), given], ["猫", query]
    ),
    "apostprocess_nodes_batch": lambda rerank, given, query: rerank.apostprocess_nodes_batch(
        [found(), given], ["猫", query]
    ),
}
WRITE: dict[str, Callable[[Parts, Sequence[BaseNode]], Any]] = {
    "retriever.insert_nodes": lambda parts, given: parts.retriever.insert_nodes(given),
    "retriever.ainsert_nodes": lambda parts, given: parts.retriever.ainsert_nodes(given),
    "index.insert_nodes": lambda parts, given: parts.index.insert_nodes(given),
    "index.ainsert_nodes": lambda parts, given: parts.index.ainsert_nodes(given),
    "vector store.add": lambda parts, given: parts.vector_store.add([*given]),
    "vector store.async_add": lambda parts, given: parts.vector_store.async_add([*given]),
}


@pytest.mark.parametrize("write", [name for name in WRITE if not name.startswith("index.")])
@pytest.mark.parametrize("given", [[None], "abc", [{"text": "山"}]], ids=str)
def test_things_that_are_no_nodes(parts: Parts, write: str, given: Any) -> None:
    before = parts.store.count()
    with pytest.raises(InputError, match="nodes must be LlamaIndex's, such as TextNode, but one is a "):
        done(WRITE[write](parts, given))
    assert parts.store.count() == before


def refuse_to_encode(model: JaColBERT, monkeypatch: pytest.MonkeyPatch, *methods: str) -> None:
    """What is refused is refused before anything is encoded."""

    def encode(texts: list[str], **options: Any) -> Any:
        raise AssertionError(f"{texts} are encoded")

    for method in methods:
        monkeypatch.setattr(model, method, encode)


def stored(parts: Parts) -> dict[str, dict[str, Any]]:
    return {point.id: dict(point.payload) for point in parts.store.points()}


# Queries


@pytest.mark.parametrize("way", ASK)
def test_an_empty_query(parts: Parts, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    refuse_to_encode(mini, monkeypatch, "encode_query")
    for query in ("", " \n　"):
        with pytest.raises(InputError, match=r"query( 2 of 2)? has no text"):
            ASK[way](parts, query, {})


@pytest.mark.parametrize("way", ASK)
def test_a_top_k_that_is_none(parts: Parts, way: str) -> None:
    for top_k in (0, -1, True, 1.5, None):
        with pytest.raises(InputError, match=f"top_k is {top_k}"):
            ASK[way](parts, "猫", {"similarity_top_k": top_k})


@pytest.mark.parametrize("way", ASK)
def test_a_filter_on_a_missing_key(parts: Parts, way: str) -> None:
    answer = ASK[way](parts, "猫", {"filters": MISSING})
    if way.startswith("vector store"):
        assert (answer.nodes, answer.ids, answer.similarities) == ([], [], [])
    else:
        assert answer == ([[], []] if way.endswith("batch") else [])


@pytest.mark.parametrize("way", RERANK)
def test_reranking(mini: JaColBERT, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    rerank, call = JaColBERTRerank(mini, top_n=1), RERANK[way]
    assert done(call(rerank, [], "猫"))[1:] == ([[]] if way.endswith("batch") else [])
    refuse_to_encode(mini, monkeypatch, "encode_document")
    for query in ("", " \n　"):
        with pytest.raises(InputError, match=r"query( 2 of 2)? has no text"):
            done(call(rerank, found(), query))
    for bad in (TextNode(text=" \n"), ImageNode(image_path="a.png")):
        given = [*found(), NodeWithScore(node=bad)]
        before = [node.model_dump_json() for node in given]
        with pytest.raises(InputError, match="nodes have no text"):
            done(call(JaColBERTRerank(mini), given, "猫"))
        assert [node.model_dump_json() for node in given] == before
    for top_n in (0, -1):
        with pytest.raises(ValidationError, match="top_n"):
            done(call(JaColBERTRerank(mini, top_n=top_n), found(), "猫"))


# Nodes


BAD_NODES: list[tuple[Sequence[BaseNode], str]] = [
    ([TextNode(text="")], "nodes have no text"),
    ([TextNode(text=" \n　")], "nodes have no text"),
    ([ImageNode(image_path="a.png")], "nodes have no text"),
    ([TextNode(id_="", text="犬")], "has no id"),
    ([TextNode(id_="dog", text="犬"), TextNode(id_="dog", text="狼")], r"more than once: \['dog'\]"),
    ([TextNode(id_="dog", text="犬", metadata={"_jacolbert_span": [0, 1]})], "which is for us"),
    *(
        ([TextNode(id_="dog", text="犬", metadata={"key": value})], "'dog' cannot be written as JSON")
        for value in (object(), b"\xff", "\ud800", np.float32(1), np.arange(3), {"deep": [{"x": object()}]})
    ),
]


@pytest.mark.parametrize("way", WRITE)
def test_bad_nodes(parts: Parts, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    before = stored(parts)
    assert set(before) == set(TEXTS)
    refuse_to_encode(mini, monkeypatch, "encode_document")
    # a vector store writes what is good beside
    good = [TextNode(id_="cat", text="猫は寝る。")] if way.startswith("retriever") else []
    for bad, message in BAD_NODES:
        with pytest.raises(InputError, match=message):
            done(WRITE[way](parts, [*good, *bad]))
        assert stored(parts) == before
    assert parts.index.index_struct.nodes_dict == {}
    assert parts.index.docstore.docs == {}


@pytest.mark.parametrize("way", WRITE)
def test_unusual_metadata_that_can_be_written(parts: Parts, way: str) -> None:
    given = {"day": date(2024, 5, 1), "set": {1}, "nan": float("nan"), "none": None, "深い": {"a": [1, {"b": [True]}]}}
    done(WRITE[way](parts, [TextNode(id_="dog", text="犬", metadata=given)]))
    (node,) = parts.vector_store.get_nodes(["dog"])
    assert node.metadata == {**given, "day": "2024-05-01", "set": [1], "nan": None}


@pytest.mark.parametrize("way", WRITE)
def test_no_nodes(parts: Parts, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    refuse_to_encode(mini, monkeypatch, "encode_document")
    assert done(WRITE[way](parts, [])) in ([], None)
    assert set(stored(parts)) == set(TEXTS)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_document_that_cannot_be_written(parts: Parts, asynchronous: bool) -> None:
    bad = Document(id_="dog", text="犬は走る。", metadata={"key": "\ud800"})
    insert: Callable[[Document], Any] = parts.index.ainsert if asynchronous else parts.index.insert
    with pytest.raises(InputError, match="cannot be written as JSON"):
        done(insert(bad))
    assert set(stored(parts)) == set(TEXTS)
    assert parts.index.docstore.get_document_hash("dog") is None


# Stores


USES: dict[str, Callable[[JaColBERTVectorStore], Any]] = {
    "add": lambda store: store.add(nodes()),
    "async_add": lambda store: store.async_add(nodes()),
    "query": lambda store: store.query(VectorStoreQuery(query_str="猫")),
    "aquery": lambda store: store.aquery(VectorStoreQuery(query_str="猫")),
    "get_nodes": lambda store: store.get_nodes(),
    "aget_nodes": lambda store: store.aget_nodes(),
    "delete": lambda store: store.delete("cat"),
    "adelete": lambda store: store.adelete("cat"),
    "delete_nodes": lambda store: store.delete_nodes(["cat"]),
    "adelete_nodes": lambda store: store.adelete_nodes(["cat"]),
    "clear": lambda store: store.clear(),
    "aclear": lambda store: store.aclear(),
    "index.insert": lambda store: store.as_index().insert(Document(text="犬")),
    "index.ainsert": lambda store: store.as_index().ainsert(Document(text="犬")),
    "index.retrieve": lambda store: store.as_index().as_retriever().retrieve("猫"),
    "index.aretrieve": lambda store: store.as_index().as_retriever().aretrieve("猫"),
}


def test_a_collection_of_another_model(parts: Parts) -> None:
    """A vector store that loads its model when it is first used finds out then, and each time."""
    before, other = stored(parts), JaColBERTVectorStore(STANFORD, parts.store)
    for use in USES.values():
        with pytest.raises(ModelMismatchError, match="was made by the model 'jacolbert-mini'"):
            done(use(other))
    assert stored(parts) == before


def test_a_collection_of_another_model_at_once(parts: Parts, model: JaColBERT) -> None:
    for make in (
        lambda: JaColBERTRetriever(parts.store, model),
        lambda: JaColBERTRetriever.from_nodes(nodes(), model, store=parts.store),
        lambda: JaColBERTVectorStore(model, parts.store),
        lambda: JaColBERTRerank(model, store=parts.store),
    ):
        with pytest.raises(ModelMismatchError, match="was made by the model 'jacolbert-mini'"):
            make()
    assert set(stored(parts)) == set(TEXTS)


@pytest.mark.parametrize("kind", ["local", "path", "edge"])
def test_a_closed_store(mini: JaColBERT, kind: str, tmp_path: Path) -> None:
    client = QdrantClient(":memory:") if kind != "path" else QdrantClient(path=str(tmp_path / "path"))
    store: MultiVectorStore = EdgeStore(tmp_path / "edge") if kind == "edge" else QdrantStore(client, "nodes")
    parts = Parts(store, mini)
    client.close()
    if isinstance(store, EdgeStore):
        store.close()
    dog = [TextNode(text="犬")]
    uses: list[Callable[[], Any]] = [
        *(lambda ask=ask: ask(parts, "猫", {}) for ask in ASK.values()),
        *(lambda call=call: done(call(parts.rerank, found(), "猫")) for call in RERANK.values()),
        *(lambda write=write: done(write(parts, dog)) for write in WRITE.values()),
        *(lambda use=use: done(use(parts.vector_store)) for use in USES.values()),
    ]
    for use in uses:
        with pytest.raises(StoreError, match="has been closed"):
            use()
