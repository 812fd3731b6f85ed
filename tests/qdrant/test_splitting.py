"""Long documents in windows, what documents become, and changes to points that are there."""

from __future__ import annotations

from typing import Any

import pytest

from jacolbert_integrations import Condition, Filter, JaColBERT, Point, QdrantStore
from jacolbert_integrations.errors import InputError, StoreNotBoundError
from jacolbert_integrations.qdrant import QdrantWriter, of_documents
from jacolbert_integrations.qdrant.clients import Client, is_in_process
from jacolbert_integrations.text.squad import read_squad
from jacolbert_integrations.text.windows import DOCUMENT_KEY, SPAN_KEY
from jacolbert_integrations.types import Document, Hit

from ..conftest import JAQUAD_EXCERPT
from ..stores.samples import FLOAT32, IDENTITY, QUERY, vectors
from .writing import Encoder, documents, writer

LONG = "".join(f"これは{i}番目の文である。" for i in range(12))  # 12 sentences of 12 or 13 characters, 4 a window


def stored(store: QdrantStore) -> dict[str, dict[str, Any]]:
    return {point.id: dict(point.payload) for point in store.points()}


def test_a_long_document_becomes_windows(client: Client) -> None:
    encoder = Encoder()
    split = writer(client, encoder, too_long="split")
    result = split.write([Document("長", LONG, {"n": 1}), Document("短", "短い文。")])
    assert (result.written, result.windows, result.failed) == (2, 4, ())
    assert str(result).startswith("2 documents written in 4 windows in ")
    found = stored(split.store)
    assert sorted(found) == ["短", "長", "長#window-48", "長#window-96"]
    windows = sorted((p for p in found.values() if DOCUMENT_KEY in p), key=lambda p: p[SPAN_KEY])
    assert "".join(p["text"] for p in windows) == LONG
    assert all(LONG[slice(*p[SPAN_KEY])] == p["text"] and p["n"] == 1 for p in windows)
    assert {p[DOCUMENT_KEY] for p in windows} == {"長"}
    assert all(len(text) <= Encoder.document_maxlen for text in encoder.encoded)
    assert found["短"] == {"text": "短い文。"}, "a document that was not split is no window"


def test_only_changed_windows_are_encoded_and_old_ones_go(client: Client) -> None:
    encoder = Encoder()
    split = writer(client, encoder, too_long="split")
    split.write([Document("長", LONG), Document("短", "短い文。")])
    assert split.write([Document("長", LONG), Document("短", "短い文。")]).unchanged == 2
    encoder.encoded.clear()
    shorter = LONG[: LONG.index("これは5番目")]
    result = split.write([Document("長", shorter)])
    changed = shorter[shorter.index("これは4番目") :]
    if is_in_process(client):
        assert encoder.encoded == [changed]
        assert (result.written, result.windows, result.unchanged) == (1, 1, 0)
    else:  # others may write it as well: a version is all of a document's windows
        assert encoder.encoded == [shorter[: -len(changed)], changed]
        assert (result.written, result.windows, result.unchanged) == (1, 2, 0)
    assert result.replaced == 1
    assert sorted(stored(split.store)) == ["短", "長", "長#window-48"]
    split.write([Document("長", "もう長くない。"), Document("短", LONG)])
    assert sorted(found := stored(split.store)) == ["短", "短#window-48", "短#window-96", "長"]
    assert found["長"] == {"text": "もう長くない。"}
    split.write([Document("長", LONG), Document("短", "短い文。")])
    assert sorted(found := stored(split.store)) == ["短", "長", "長#window-48", "長#window-96"]
    assert found["短"] == {"text": "短い文。"}


def test_by_document(client: Client) -> None:
    split = writer(client, too_long="split")
    split.write([Document("長", LONG), Document("短", "短い文。"), Document("他", LONG[::-1])])
    store = split.store
    assert store.count(filter=of_documents(["長"])) == 3
    assert store.count(filter=of_documents(["短"])) == 1
    assert store.count(filter=of_documents(["短", "長"])) == 4

    def documents_of(found: dict[str, dict[str, Any]]) -> set[str]:
        return {payload.get(DOCUMENT_KEY, point_id) for point_id, payload in found.items()}

    store.update_payload({"seen": True}, filter=of_documents(["長"]))
    assert documents_of({i: p for i, p in stored(store).items() if "seen" in p}) == {"長"}
    store.update_payload({"seen": True}, filter=of_documents(["短"]))
    assert documents_of({i: p for i, p in stored(store).items() if "seen" in p}) == {"長", "短"}
    store.delete(filter=of_documents(["長", "no such document"]))
    assert documents_of(stored(store)) == {"短", "他"}
    store.delete(filter=of_documents(["短"]))
    assert documents_of(stored(store)) == {"他"}


def test_the_best_of_each_document(client: Client) -> None:
    """Also of those that were not split: they have one passage."""
    split = writer(client, too_long="split")
    split.write([Document("長", LONG), *documents(6), Document("他", LONG[::-1])])
    store = split.store
    every = store.search(QUERY, top_k=99)
    best: dict[str, Hit] = {}
    for hit in every:
        best.setdefault(hit.payload.get(DOCUMENT_KEY, hit.id), hit)
    assert len(best) == 8 < len(every)
    for top_k in (1, 3, 8, 99):
        assert store.search_groups(QUERY, group_by=DOCUMENT_KEY, top_k=top_k) == list(best.values())[:top_k]
    few = Filter([Condition("n", "<", 2)])
    assert {hit.id for hit in store.search_groups(QUERY, group_by=DOCUMENT_KEY, top_k=9, filter=few)} == {
        "文書 0",
        "文書 1",
    }


def test_windows_with_the_model_itself(client: Client, mini: JaColBERT) -> None:
    passages = read_squad([JAQUAD_EXCERPT]).passages[:20]
    text = "".join(passage.text for passage in passages)
    store = QdrantStore(client, "c")
    result = QdrantWriter(store, mini, too_long="split").write([Document("all", text)])
    assert (result.written, result.windows) == (1, store.count())
    assert result.windows > 3
    assert "".join(p["text"] for p in sorted(stored(store).values(), key=lambda p: p[SPAN_KEY])) == text
    best = store.search(mini.query(passages[7].text[:30]), top_k=1)[0]
    assert passages[7].text[:30] in best.payload["text"]


def test_the_text_is_kept_where_it_is_asked_for(client: Client) -> None:
    writer(client).write(documents(1))
    writer(client, text_key="本文").write([Document("b", "別の文書", {"n": 2})])
    writer(client, text_key=None).write([Document("c", "第三", {"text": "別"})])
    node = Document("d", "title: t\n\n第四", {"_node_content": '{"text": "第四"}'})
    result = writer(client).write([node, Document("e", "第五", {"text": "違う"}), Document("f", "六", {"text": "六"})])
    assert [(failed.id, failed.reason[:40]) for failed in result.failed] == [
        ("e", "its payload has something else under 'te")
    ]
    assert stored(writer(client).store) == {
        "文書 0": {"n": 0, "text": "第0の文書"},
        "b": {"n": 2, "本文": "別の文書"},
        "c": {"text": "別"},
        "d": {"_node_content": '{"text": "第四"}'},
        "f": {"text": "六"},
    }


def test_points_are_changed_by_id_and_by_filter(client: Client) -> None:
    store = QdrantStore(client, "c", vector_options=FLOAT32)
    with pytest.raises(StoreNotBoundError):
        store.update_payload({"a": 1}, ids=["0"])
    store.bind(IDENTITY)
    store.update_payload({"a": 1}, ids=["0"])  # there is nothing yet
    store.upsert([Point(str(i), vectors(i), {"n": i, "kept": "k"}) for i in range(6)])
    store.update_payload({"n": 70}, ids=["0", "no such id"])
    store.update_payload({"old": True}, filter=Filter([Condition("n", "<", 3)]))
    found = stored(store)
    assert found["0"] == {"n": 70, "kept": "k"}
    assert found["1"] == {"n": 1, "kept": "k", "old": True}
    assert "old" not in found["3"]
    store.delete(filter=Filter([Condition("old", "==", True)]))
    assert sorted(stored(store)) == ["0", "3", "4", "5"]
    bads: list[dict[str, Any]] = [{}, {"ids": ["0"], "filter": Filter([])}]
    for bad in bads:
        with pytest.raises(InputError, match="give either ids or a filter"):
            store.delete(**bad)
        with pytest.raises(InputError, match="give either ids or a filter"):
            store.update_payload({"a": 1}, **bad)
    with pytest.raises(InputError, match="update_payload has a payload that is not JSON"):
        store.update_payload({"a": object()}, ids=["0"])
    with pytest.raises(InputError, match="update_payload has the payload key '_jacolbert_id'"):
        store.update_payload({"_jacolbert_id": "x"}, ids=["0"])
    assert sorted(stored(store)) == ["0", "3", "4", "5"]


def test_what_was_updated_is_written_again(client: Client) -> None:
    again = writer(client)
    again.write(documents(3))
    again.store.update_payload({"n": 99}, ids=["文書 1"])
    result = again.write(documents(3))
    assert (result.written, result.unchanged) == (1, 2)
    assert stored(again.store)["文書 1"]["n"] == 1
