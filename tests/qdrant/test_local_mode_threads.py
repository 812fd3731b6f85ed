"""Threads that meet in one client of qdrant-client's local mode, which is not made for them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.schema import TextNode
from qdrant_client import QdrantClient

from jacolbert_integrations import Condition, Filter, JaColBERT, JaColBERTRetriever, Point, QdrantStore, QdrantWriter
from jacolbert_integrations.llama_index import to_documents
from jacolbert_integrations.qdrant import EdgeClient, reindex
from jacolbert_integrations.qdrant.clients import client_lock

from ..conftest import PATIENCE
from ..stores.samples import FLOAT32, IDENTITY, QUERY, vectors
from .writing import Encoder, as_model, documents, writer


@pytest.fixture(params=["memory", "path"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QdrantClient]:
    opened = QdrantClient(":memory:") if request.param == "memory" else QdrantClient(path=str(tmp_path / "local"))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield opened
    sys.setswitchinterval(interval)
    opened.close()


def together(*works: Callable[[], Any]) -> list[Any]:
    """What each gives, all in threads at once; the first error, if there is one."""
    begin = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        begin.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [each.result() for each in [pool.submit(run, work) for work in works]]


def test_a_writer_beside_a_retriever_that_inserts_and_searches(client: QdrantClient, mini: JaColBERT) -> None:
    retriever = JaColBERTRetriever(QdrantStore(client, "c"), mini)
    retriever.insert_nodes([TextNode(id_="first", text="犬は走る。")])
    nodes = [TextNode(id_=f"n{i}", text=f"猫は{i}匹いる。") for i in range(80)]

    def write() -> None:
        QdrantWriter(QdrantStore(client, "c"), mini, batch=4).write(to_documents(nodes))

    def insert() -> None:
        for i in range(40):
            retriever.insert_nodes([TextNode(id_=f"i{i}", text=f"犬は{i}匹いる。")])

    def search() -> None:
        for _ in range(30):
            assert retriever.retrieve("猫は何匹か")

    together(write, insert, search)
    read = QdrantStore(client, "c")
    read.bind(mini.identity)
    assert {point.id for point in read.points()} == {
        "first",
        *(f"n{i}" for i in range(80)),
        *(f"i{i}" for i in range(40)),
    }
    for node in nodes[::20]:
        (expected,) = mini.encode_document([node.text])
        assert read.get([node.node_id])[node.node_id].vectors == pytest.approx(expected, abs=1e-5)


def test_all_that_a_store_does(client: QdrantClient) -> None:
    store = QdrantStore(client, "c", vector_options=FLOAT32)
    store.bind(IDENTITY)
    store.upsert([Point(f"kept {i}", vectors(i), {"n": i, "w": "猫"}) for i in range(30)])
    text = Filter([Condition("w", "text_match", "猫")])

    def change() -> None:
        for i in range(60):
            store.upsert([Point(f"new {i}", vectors(i), {"n": 100})])
            store.update_payload({"n": 101}, ids=[f"new {i}"])
            if i % 2:
                store.delete([f"new {i}"])

    def look() -> None:
        for _ in range(30):
            assert len(store.search(QUERY, top_k=30, filter=text)) == 30
            assert len(store.search_batch([QUERY] * 2, top_k=5)) == 2
            assert len(store.search_groups(QUERY, group_by="n", top_k=5)) == 5
            assert len(store.get([f"kept {i}" for i in range(30)])) == 30
            assert len(store.contains(["kept 1", "none"])) == 1

    def read() -> None:
        for _ in range(15):
            assert store.count(filter=text) == 30 == len(list(store.points(filter=text, batch=7)))
            assert store.exists()
            assert store.identity() == IDENTITY

    together(change, change, look, read)
    assert {p.id for p in store.points()} == {
        *(f"kept {i}" for i in range(30)),
        *(f"new {i}" for i in range(0, 60, 2)),
    }


def test_indexing_anew_beside_a_writer(client: QdrantClient) -> None:
    old = writer(client)
    old.write(documents(40))
    target = QdrantStore(client, "new", vector_options=FLOAT32)

    def write(first: int) -> None:
        for i in range(first, 100, 2):
            QdrantWriter(old.store, as_model(Encoder())).write(documents(i + 1)[i:])

    def anew() -> None:
        for _ in range(3):
            reindex(client, "documents", target, as_model(Encoder()), batch=8, alias="live")

    together(partial(write, 40), partial(write, 41), anew)
    anew()
    assert {p.id for p in target.points()} == {d.id for d in documents(100)}


def test_a_page_is_read_while_another_is_looked_at(client: QdrantClient) -> None:
    """Nobody waits for whoever reads points one by one."""
    store = QdrantStore(client, "c", vector_options=FLOAT32)
    store.bind(IDENTITY)
    store.upsert([Point(str(i), vectors(i)) for i in range(20)])
    reading = store.points(batch=5)
    next(reading)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(store.count).result(timeout=PATIENCE) == 20
    assert len(list(reading)) == 19


def test_only_local_mode_takes_turns(client: QdrantClient, tmp_path: Path) -> None:
    assert client_lock(client) is client_lock(client)
    lock: Any = client_lock(client)
    with ThreadPoolExecutor(1) as another, client_lock(client), client_lock(client):
        assert not another.submit(lock.acquire, blocking=False).result()
    with ThreadPoolExecutor(1) as another:
        assert another.submit(lock.acquire, blocking=False).result()
        another.submit(lock.release).result()
    other = QdrantClient(":memory:")
    assert client_lock(other) is not client_lock(client)
    other.close()
    with EdgeClient(tmp_path / "edge") as edge:
        assert isinstance(client_lock(edge), nullcontext)
    server = QdrantClient(url="http://localhost:1", check_compatibility=False)
    assert isinstance(client_lock(server), nullcontext)
    server.close()
