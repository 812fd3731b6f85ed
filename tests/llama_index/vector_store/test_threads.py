"""Several threads and tasks in one store: what is whole, who waits for whom, and what closing does."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.schema import BaseNode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery
from qdrant_client import QdrantClient

from jacolbert_integrations import (
    JaColBERT,
    JaColBERTRerank,
    JaColBERTRetriever,
    JaColBERTVectorStore,
    MemoryStore,
    MultiVectorStore,
    QdrantStore,
)
from jacolbert_integrations.encoding.sources import ModelSource
from jacolbert_integrations.errors import StoreError
from jacolbert_integrations.llama_index import stores
from jacolbert_integrations.llama_index.stores import _lock_of, using_store
from jacolbert_integrations.qdrant.clients import is_in_process
from jacolbert_integrations.stores.payload_text import payload_text
from jacolbert_integrations.text.windows import SPAN_KEY
from jacolbert_integrations.types import TokenVectors

from ...conftest import PATIENCE
from ...waiting import WatchedLock

CATS = "".join(f"{i}番目の文は猫について述べている。" for i in range(80))
DOGS = "".join(f"第{i}の段落では犬の話をしよう、と思う。" for i in range(80))
QUESTION = VectorStoreQuery(query_str="猫は何を食べるか。", similarity_top_k=1)


def ids_of(store: JaColBERTVectorStore) -> list[str]:
    return sorted(node.node_id for node in store.get_nodes())


def of_document(name: str, node_id: str, text: str) -> TextNode:
    return TextNode(id_=node_id, text=text, relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=name)})


def watched_lock_of(store: MultiVectorStore, monkeypatch: pytest.MonkeyPatch) -> WatchedLock:
    """What those who use the store take turns by, from now on."""
    lock = WatchedLock()
    monkeypatch.setitem(stores._locks, getattr(store, "client", store), lock)
    return lock


# --- whole, or not at all ---


@pytest.mark.parametrize("way", ["vector store", "retriever"])
def test_one_long_node_from_two_threads(
    way: str, inner: MultiVectorStore, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other writes between the first's two steps, unless it has to wait: the first would remove its windows."""
    if isinstance(inner, QdrantStore) and not is_in_process(inner.client):
        pytest.skip("on a server, nobody waits: see tests/qdrant/test_writers_at_once.py")
    if way == "retriever":
        write: Callable[[Sequence[BaseNode]], Any] = JaColBERTRetriever(inner, mini).insert_nodes
    else:
        write = JaColBERTVectorStore(mini, inner).add
    other_waits_or_is_done = watched_lock_of(inner, monkeypatch).somebody_waits
    real, between = inner.upsert, threading.Event()

    def upsert(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        if threading.current_thread() is first:
            between.set()
            assert other_waits_or_is_done.wait(PATIENCE)

    monkeypatch.setattr(inner, "upsert", upsert)
    first = threading.Thread(target=write, args=([TextNode(id_="long", text=CATS)],))
    first.start()
    assert between.wait(PATIENCE)
    write([TextNode(id_="long", text=DOGS)])
    other_waits_or_is_done.set()
    first.join()
    windows = sorted(inner.points(), key=lambda point: point.payload[SPAN_KEY])
    assert len(windows) > 2
    assert "".join(payload_text(window.payload) for window in windows) == DOGS


@pytest.mark.parametrize("fails", [True, False])
def test_a_cancelled_task_whose_thread_goes_on(
    memory: JaColBERTVectorStore, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    memory.add([of_document("cats", "old", "猫は寝る。")])
    memory.delete("cats")
    real, started, go_on = mini.encode_document, threading.Event(), threading.Event()

    def encode(texts: list[str], **options: Any) -> list[TokenVectors]:
        if "猫は遊ぶ。" in texts:
            started.set()
            assert go_on.wait(PATIENCE)
            if fails:
                raise MemoryError("the encoder fails")
        return real(texts, **options)

    monkeypatch.setattr(mini, "encode_document", encode)

    async def run() -> None:
        task = asyncio.ensure_future(memory.async_add([of_document("cats", "new", "猫は遊ぶ。")]))
        assert await asyncio.to_thread(started.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await memory.async_add([of_document("dogs", "dog", "犬は走る。")])
        go_on.set()

    asyncio.run(run())  # ends when its threads have ended
    kept = "old" if fails else "new"
    assert ids_of(memory) == ["dog", kept]
    monkeypatch.setattr(mini, "encode_document", None)
    with pytest.raises(TypeError):
        memory.add([of_document("cats", "newest", "猫は鳴く。")])
    assert ids_of(memory) == ["dog", kept]


# --- who waits ---

USERS: list[Callable[[MultiVectorStore, JaColBERT], Any]] = [
    lambda store, mini: JaColBERTRetriever(store, mini),
    lambda store, mini: JaColBERTRerank(mini, store=store),
    lambda store, mini: JaColBERTVectorStore(mini, store),
    lambda store, mini: JaColBERTVectorStore(store=store).get_nodes(),
]


@pytest.mark.parametrize("user", USERS)
def test_nobody_waits_while_a_model_is_loaded(user: Any, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of a client is another retriever's, too."""
    client = QdrantClient(":memory:")
    store = QdrantStore(client, "nodes")
    lock: Any = _lock_of(store, writing=False)
    identity, loaded = mini.identity, []

    def free(*_: Any) -> bool:
        loaded.append(not lock._is_owned())
        return True

    monkeypatch.setattr(ModelSource, "load", lambda source: free() and mini)
    monkeypatch.setattr(JaColBERT, "identity", property(lambda model: free() and identity))
    user(store, mini)
    assert loaded
    assert all(loaded)
    client.close()


@pytest.mark.parametrize(
    "closed",
    [
        lambda: QdrantClient(url="http://localhost:1", check_compatibility=False),
        lambda: QdrantClient(url="http://localhost:1", check_compatibility=False, prefer_grpc=True),
        lambda: QdrantClient(":memory:"),
    ],
)
def test_what_a_closed_client_says_is_understood(closed: Callable[[], QdrantClient]) -> None:
    client = closed()
    client.close()
    with pytest.raises(StoreError, match="has been closed"), using_store(QdrantStore(client, "nodes")):
        client.count("nodes")


def test_other_things_that_are_closed_are_none_of_a_client() -> None:
    with pytest.raises(RuntimeError, match=r"^the shop is closed$"), using_store(MemoryStore()):
        raise RuntimeError("the shop is closed")


# --- closing ---


def test_closing_waits_for_who_uses_the_store(mini: JaColBERT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = JaColBERTVectorStore(mini, location=str(tmp_path))
    store.add([TextNode(id_="cat", text="猫は魚を食べる。")])
    close_waits_or_is_done = watched_lock_of(store.store, monkeypatch).somebody_waits
    real, searching, go_on = QdrantStore.search, threading.Event(), threading.Event()

    def search(*arguments: Any, **options: Any) -> Any:
        searching.set()
        assert go_on.wait(PATIENCE)
        return real(*arguments, **options)

    monkeypatch.setattr(QdrantStore, "search", search)
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(store.query, QUESTION)
        assert searching.wait(PATIENCE)
        closed = threads.submit(store.close)
        closed.add_done_callback(lambda _: close_waits_or_is_done.set())
        assert close_waits_or_is_done.wait(PATIENCE)
        waits = not closed.done()
        go_on.set()
        assert asked.result(PATIENCE).ids == ["cat"]
        closed.result(PATIENCE)
    assert waits
    assert store.query(QUESTION).ids == ["cat"]  # opened again
    store.close()


def test_what_is_closed_meanwhile_is_opened_again(
    mini: JaColBERT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a query or a node was encoded, before the store is used; nothing of an update is lost."""
    store = JaColBERTVectorStore(mini, location=str(tmp_path))
    store.add([TextNode(id_="cat", text="猫は魚を食べる。")])
    for method in ("encode_query", "encode_document"):
        real = getattr(mini, method)

        def encode(texts: list[str], real: Any = real, **options: Any) -> list[TokenVectors]:
            vectors: list[TokenVectors] = real(texts, **options)
            store.close()
            return vectors

        monkeypatch.setattr(mini, method, encode)
    assert store.query(QUESTION).ids == ["cat"]
    store.delete("cat")
    store.add([TextNode(id_="cat", text="猫は寝る。")])
    assert [node.get_content() for node in store.get_nodes()] == ["猫は寝る。"]
    store.close()


def test_closing_between_many_queries(mini: JaColBERT, tmp_path: Path) -> None:
    with JaColBERTVectorStore(mini, location=str(tmp_path)) as store, ThreadPoolExecutor(4) as threads:
        store.add([TextNode(id_="cat", text="猫は魚を食べる。")])
        asked = []
        for number in range(40):
            asked.append(threads.submit(store.query, QUESTION))
            if number % 5 == 0:
                store.close()
        assert [future.result(PATIENCE).ids for future in asked] == [["cat"]] * 40


def test_who_asks_a_server_through_a_closed_client_is_told(mini: JaColBERT) -> None:
    store = QdrantStore(QdrantClient(url="http://localhost:1", check_compatibility=False), "nodes")
    store.client.close()
    with pytest.raises(StoreError, match="client has been closed"):
        JaColBERTVectorStore(mini, store)


def test_copies_share_what_is_open(mini: JaColBERT, tmp_path: Path) -> None:
    store = JaColBERTVectorStore(mini, location=str(tmp_path))
    copied = copy.deepcopy(store)  # before anything is open
    store.add([TextNode(id_="cat", text="猫は魚を食べる。")])
    assert ids_of(copied) == ["cat"]
    copied.close()
    assert ids_of(store) == ["cat"]
    store.close()
    assert ids_of(copied) == ["cat"]
    copied.close()


def test_it_is_closed_at_the_end(mini: JaColBERT, tmp_path: Path) -> None:
    with JaColBERTVectorStore(mini, location=str(tmp_path)) as store:
        store.add([TextNode(id_="cat", text="猫は魚を食べる。")])
    with pickle.loads(pickle.dumps(store)) as other:  # which could not open a folder that is open
        assert ids_of(other) == ["cat"]


def test_a_store_that_was_handed_in_is_not_closed(inner: MultiVectorStore, mini: JaColBERT) -> None:
    with JaColBERTVectorStore(mini, inner) as store:
        store.add([TextNode(id_="cat", text="猫は魚を食べる。")])
    assert inner.count() == 1
    assert ids_of(store) == ["cat"]
