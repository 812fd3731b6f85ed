"""Old versions of what is being replaced: put back when the new ones fail, and gone for good otherwise."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import numpy as np
import pytest
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

from jacolbert_integrations import JaColBERT, JaColBERTVectorStore, Point
from jacolbert_integrations.llama_index.vector_store.undo import RecentlyDeleted
from jacolbert_integrations.types import TokenVectors

from ...conftest import PATIENCE

TEXTS = {
    "tokyo": "東京は日本の首都であり、人口は約千四百万人である。",
    "fuji": "富士山は静岡県と山梨県にまたがる日本で一番高い山である。",
    "cat": "猫は魚や肉を食べる小さな動物である。",
}


def nodes() -> list[TextNode]:
    return [TextNode(id_=name, text=text) for name, text in TEXTS.items()]


def of_document(name: str) -> dict[NodeRelationship, Any]:
    return {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=name)}


def texts_of(store: JaColBERTVectorStore) -> set[str]:
    return {node.get_content() for node in store.get_nodes()}


def ids_of(store: JaColBERTVectorStore) -> list[str]:
    return sorted(node.node_id for node in store.get_nodes())


def fail_on(monkeypatch: pytest.MonkeyPatch, mini: JaColBERT, word: str) -> None:
    """From now on, no text with this word can be encoded."""
    real = mini.encode_document

    def encode(texts: list[str], **options: Any) -> list[TokenVectors]:
        if any(word in text for text in texts):
            raise MemoryError("the encoder fails")
        return real(texts, **options)

    monkeypatch.setattr(mini, "encode_document", encode)


# --- put back ---


def test_what_is_put_back_is_found_by_its_words(
    lexical: JaColBERTVectorStore, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lexical first stage gets its own text again, without which MaxSim would not find it either."""
    lexical.add(nodes())
    lexical.delete("cat")
    fail_on(monkeypatch, mini, "寝る")
    with pytest.raises(MemoryError, match="the encoder fails"):
        lexical.add([TextNode(id_="cat", text="猫は寝る。")])
    for mode in (VectorStoreQueryMode.TEXT_SEARCH, VectorStoreQueryMode.DEFAULT):
        assert lexical.query(VectorStoreQuery(query_str="小さな動物", mode=mode, similarity_top_k=1)).ids == ["cat"]


def test_what_is_put_back_leaves_the_other_nodes_of_the_call(
    memory: JaColBERTVectorStore, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only half-written nodes of the documents that are put back are removed."""
    memory.add(nodes())
    memory.delete("cat")
    fail_on(monkeypatch, mini, "寝る")
    new = [TextNode(id_="new", text="猫は寝る。", relationships=of_document("cat")), TextNode(id_="fuji", text="火山")]
    with pytest.raises(MemoryError, match="the encoder fails"):
        memory.add(new)
    assert texts_of(memory) == set(TEXTS.values())


@pytest.mark.parametrize("method", ["encode_document", "upsert"])
def test_an_interrupted_update_keeps_the_old_version(
    memory: JaColBERTVectorStore, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    memory.add(nodes())
    memory.delete("cat")
    target = mini if method == "encode_document" else memory.store
    real, interrupts = getattr(target, method), [KeyboardInterrupt]

    def interrupted(*given: Any, **options: Any) -> Any:
        if interrupts:
            raise interrupts.pop()
        return real(*given, **options)

    monkeypatch.setattr(target, method, interrupted)
    with pytest.raises(KeyboardInterrupt):
        memory.add([TextNode(id_="cat", text="猫は寝る。")])
    assert texts_of(memory) == set(TEXTS.values())


def test_who_waits_for_a_thread_keeps_its_old_version(
    memory: JaColBERTVectorStore, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another add succeeds before this one has a thread, and forgets what nobody adds."""
    memory.add(nodes())
    memory.delete("cat")
    fail_on(monkeypatch, mini, "寝る")
    busy = Event()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        blocked = asyncio.ensure_future(asyncio.to_thread(busy.wait, PATIENCE))
        await asyncio.sleep(0)
        adding = asyncio.ensure_future(memory.async_add([TextNode(id_="cat", text="猫は寝る。")]))
        await asyncio.sleep(0)
        memory.add([TextNode(id_="dog", text="犬は走る。")])
        busy.set()
        await blocked
        with pytest.raises(MemoryError, match="the encoder fails"):
            await adding

    asyncio.run(run())
    assert texts_of(memory) == {*TEXTS.values(), "犬は走る。"}


def test_what_is_deleted_while_others_add_is_kept(
    memory: JaColBERTVectorStore, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first half of an update, whose second half is on its way: the other add knows nothing of it."""
    memory.add(nodes())
    fail_on(monkeypatch, mini, "寝る")
    failing, started, go_on = mini.encode_document, Event(), Event()

    def encode(texts: list[str], **options: Any) -> list[TokenVectors]:
        if "犬は走る。" in texts:
            started.set()
            assert go_on.wait(PATIENCE)
        return failing(texts, **options)

    monkeypatch.setattr(mini, "encode_document", encode)

    async def run() -> None:
        other = asyncio.ensure_future(memory.async_add([TextNode(id_="dog", text="犬は走る。")]))
        assert await asyncio.to_thread(started.wait, PATIENCE)
        await memory.adelete("cat")
        go_on.set()
        await other
        with pytest.raises(MemoryError, match="the encoder fails"):
            await memory.async_add([TextNode(id_="cat", text="猫は寝る。")])

    asyncio.run(run())
    assert texts_of(memory) == {*TEXTS.values(), "犬は走る。"}


def test_a_document_that_is_deleted_in_parts_is_kept_whole() -> None:
    deleted = RecentlyDeleted(1 << 20)
    for name in "aba":
        deleted.keep("d", [Point(name, np.ones((1, 2), np.float32))])
    assert sorted(point.id for point in deleted.to_restore(["d"])) == ["a", "b"]


def test_points_without_vectors_are_not_put_back() -> None:
    deleted = RecentlyDeleted(1 << 20)
    deleted.keep("d", [Point("dense", np.empty((0, 2), np.float32)), Point("ours", np.ones((1, 2), np.float32))])
    assert [point.id for point in deleted.to_restore(["d"])] == ["ours"]


def test_what_cannot_be_put_back_does_not_hide_the_cause(
    memory: JaColBERTVectorStore, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    memory.add(nodes())
    memory.delete("cat")
    fail_on(monkeypatch, mini, "猫")

    def full(points: Any) -> int:
        raise OSError("no space left on device")

    monkeypatch.setattr(memory.store, "upsert", full)
    with caplog.at_level(logging.ERROR), pytest.raises(MemoryError, match="the encoder fails"):
        memory.add([TextNode(id_="cat", text="猫は寝る。")])
    assert "could not be put back: 1 nodes are gone" in caplog.text
    assert "no space left on device" in caplog.text


def test_what_is_no_node_is_put_back_too(
    memory: JaColBERTVectorStore, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.store.upsert([Point("page", mini.encode_document(["猫"])[0], {"doc_id": "cats", "text": "猫"})])
    memory.delete("cats")
    assert memory.store.count() == 0
    fail_on(monkeypatch, mini, "猫")
    with pytest.raises(MemoryError, match="the encoder fails"):
        memory.add([TextNode(id_="new", text="猫は寝る。", relationships=of_document("cats"))])
    assert [point.id for point in memory.store.points()] == ["page"]


def test_what_cannot_be_looked_up_does_not_hide_the_cause(
    memory: JaColBERTVectorStore, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    memory.add(nodes())
    memory.delete("cat")
    fail_on(monkeypatch, mini, "猫")

    def broken(*_: Any) -> Any:
        raise OSError("no such thing")

    monkeypatch.setattr(RecentlyDeleted, "to_restore", broken)
    with caplog.at_level(logging.ERROR), pytest.raises(MemoryError, match="the encoder fails"):
        memory.add([TextNode(id_="cat", text="猫は寝る。")])
    assert "could not be put back: 1 nodes are gone" in caplog.text


def test_a_store_that_fails_half_way_keeps_the_old_version(
    memory: JaColBERTVectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.add([*nodes(), TextNode(id_="old", text="猫は寝る。", relationships=of_document("cats"))])
    real = memory.store.upsert
    new = [TextNode(id_=name, text="猫は遊ぶ。", relationships=of_document("cats")) for name in ("a", "b")]

    def full(points: Any) -> int:
        monkeypatch.undo()
        real(list(points)[:1])
        raise OSError("no space left on device")

    memory.delete("cats")
    monkeypatch.setattr(memory.store, "upsert", full)
    with pytest.raises(OSError, match="no space left"):
        memory.add(new)
    assert ids_of(memory) == ["cat", "fuji", "old", "tokyo"]
    memory.add(new)
    assert ids_of(memory) == ["a", "b", "cat", "fuji", "tokyo"]


# --- gone for good ---


def test_what_was_cleared_does_not_come_back(
    memory: JaColBERTVectorStore, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.add(nodes())
    memory.delete("cat")
    memory.clear()
    fail_on(monkeypatch, mini, "寝る")
    with pytest.raises(MemoryError, match="the encoder fails"):
        memory.add([TextNode(id_="cat", text="猫は寝る。")])
    assert memory.get_nodes() == []


def test_what_was_deleted_before_another_async_add_stays_deleted(
    memory: JaColBERTVectorStore, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.add(nodes())
    memory.delete("cat")
    asyncio.run(memory.async_add([TextNode(id_="dog", text="犬は走る。")]))
    fail_on(monkeypatch, mini, "寝る")
    with pytest.raises(MemoryError, match="the encoder fails"):
        asyncio.run(memory.async_add([TextNode(id_="cat", text="猫は寝る。")]))
    assert ids_of(memory) == ["dog", "fuji", "tokyo"]
