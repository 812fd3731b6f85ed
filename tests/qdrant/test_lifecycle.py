"""Collections that live on: indexed anew behind an alias, and given token vectors where they had none."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from jacolbert_integrations import QdrantStore, Query
from jacolbert_integrations.errors import CollectionLayoutError, InputError, ModelMismatchError
from jacolbert_integrations.qdrant import (
    AliasSearch,
    FixedDimensional,
    Lexical,
    SearchOptions,
    add_late_interaction,
    move_alias,
    reindex,
)
from jacolbert_integrations.qdrant.clients import Client
from jacolbert_integrations.stores.payload_text import payload_text, text_reader
from jacolbert_integrations.types import Document, TokenVectors

from ..conftest import PATIENCE
from ..stores.samples import FLOAT32, IDENTITY
from .writing import QUICK, Encoder, as_model, documents, vectors_of, writer

OTHER = replace(IDENTITY, name="another", fingerprint="a" * 64)


class OtherEncoder(Encoder):
    """Another model: of its vectors none is as the first one's."""

    identity = OTHER

    def encode_document(self, texts: Sequence[str], *, show_progress_bar: bool | None = None) -> list[TokenVectors]:
        self.encoded += texts
        return [vectors_of("another " + text) for text in texts]


class Asking(Encoder):
    """An encoder that makes queries, too: those that find the document of the same text."""

    dimension = IDENTITY.dimension
    name = "a model"

    def query(self, text: str) -> Query:
        return Query(self.encode_document([text])[0], text)


class OtherAsking(OtherEncoder, Asking):
    name = "another"


def store(client: Client, name: str, **options: Any) -> QdrantStore:
    return QdrantStore(client, name, vector_options=FLOAT32, **options)


def payloads(found: QdrantStore) -> dict[str, Any]:
    return {point.id: dict(point.payload) for point in found.points()}


def test_into_a_new_collection_behind_an_alias(client: Client) -> None:
    writer(client).write(documents(30))
    move_alias(client, "live", "documents")
    encoder = Encoder()
    new = store(client, "documents-2", first_stage=[Lexical(), FixedDimensional()])
    result = reindex(client, "live", new, as_model(encoder), alias="live", batch=7)
    assert (result.written, result.unchanged, result.removed, result.failed) == (30, 0, 0, ())
    assert (result.moved, result.replaced) == (True, "documents")
    assert payloads(new) == payloads(writer(client).store)
    live = QdrantStore(client, "live")
    live.bind(IDENTITY)
    assert [stage.name for stage in live.first_stage] == ["lexical", "muvera"]
    assert live.search(Query(vectors_of("第3の文書"), "第3の文書"), top_k=1)[0].id == "文書 3"
    again = reindex(client, "documents", new, as_model(encoder), alias="live", batch=7)
    assert (again.written, again.unchanged, again.replaced) == (0, 30, None)
    assert len(encoder.encoded) == 30


def test_an_alias_that_cannot_be(client: Client) -> None:
    writer(client).write(documents(5))
    with pytest.raises(InputError, match="'documents' is a collection, and no alias"):
        move_alias(client, "documents", "documents")
    with pytest.raises(InputError, match="there is no collection 'missing' for the alias 'live' to mean"):
        move_alias(client, "live", "missing")
    move_alias(client, "live", "documents")
    with pytest.raises(InputError, match="there is no collection 'missing'"):
        move_alias(client, "live", "missing")
    assert QdrantStore(client, "live").identity() == IDENTITY  # it means what it meant


def test_a_store_does_not_search_another_models_vectors(client: Client) -> None:
    writer(client).write(documents(5))
    move_alias(client, "live", "documents")
    live = QdrantStore(client, "live")
    live.bind(IDENTITY)
    query = Query(vectors_of("第3の文書"), "第3の文書")
    assert live.search(query, top_k=1)[0].id == "文書 3"
    reindex(client, "documents", store(client, "new"), as_model(OtherEncoder()), alias="live")
    with pytest.raises(ModelMismatchError, match="'live' was made by the model 'another', not by 'made-up'"):
        live.search(query, top_k=1)


def test_no_moment_without_answers_while_the_model_changes(client: Client) -> None:
    writer(client).write(documents(60))
    move_alias(client, "live", "documents")
    search = AliasSearch(client, "live", [as_model(Asking()), as_model(OtherAsking())])
    wrong: list[str] = []
    asked = {"documents": 0, "new": 0}
    begun, done = threading.Event(), threading.Event()

    def ask() -> None:
        last = False
        while not last and not wrong:
            last = done.is_set()  # one search begins after all is done
            number = sum(asked.values()) % 60
            try:
                hits = search.search(f"第{number}の文書", top_k=1)
                if [hit.id for hit in hits] != [f"文書 {number}"]:
                    wrong.append(f"{number}: {hits}")
            except Exception as error:
                wrong.append(repr(error))
            asked[search._target()] += 1
            begun.set()

    thread = threading.Thread(target=ask)
    thread.start()
    assert begun.wait(PATIENCE)
    result = reindex(client, "live", store(client, "new"), as_model(OtherEncoder()), alias="live", batch=5)
    done.set()
    thread.join()
    assert result.moved
    assert wrong == []
    assert asked["documents"] > 0
    assert asked["new"] > 0
    client.delete_collection("documents")
    assert search.search("第7の文書", top_k=1)[0].id == "文書 7"


def test_what_comes_and_goes_meanwhile(client: Client) -> None:
    old = writer(client)
    old.write(documents(20))

    class Slow(OtherEncoder):
        """While it encodes for the first time, others write."""

        def encode_document(self, texts: Sequence[str], *, show_progress_bar: bool | None = None) -> list[TokenVectors]:
            if not self.encoded:
                old.write([Document("文書 新", "新しい文書"), Document("文書 2", "変わった文書")])
                old.store.delete(["文書 1", "文書 19"])
            return super().encode_document(texts)

    new = store(client, "new")
    result = reindex(client, "documents", new, as_model(Slow()), alias="live", batch=8)
    assert result.moved
    assert payloads(new) == payloads(old.store)
    assert new.get(["文書 2"])["文書 2"].vectors == pytest.approx(vectors_of("another 変わった文書"), abs=1e-6)


def test_an_interrupted_run_goes_on(client: Client) -> None:
    writer(client).write(documents(30))

    class Broken(OtherEncoder):
        def encode_document(self, texts: Sequence[str], *, show_progress_bar: bool | None = None) -> list[TokenVectors]:
            if len(self.encoded) >= 20:
                raise RuntimeError("killed")
            return super().encode_document(texts)

    new = store(client, "new")
    with pytest.raises(RuntimeError, match="killed"):
        reindex(client, "documents", new, as_model(Broken()), alias="live", batch=10)
    assert not client.collection_exists("live")
    encoder = OtherEncoder()
    result = reindex(client, "documents", store(client, "new"), as_model(encoder), alias="live", batch=10)
    assert (result.written, result.unchanged, result.moved) == (10, 20, True)
    assert len(encoder.encoded) == 10


def test_windows_stay_windows_and_are_cut_again(client: Client) -> None:
    text = "".join(f"これは{i}番目の文である。" for i in range(8))
    writer(client, too_long="split").write([Document("長", text), Document("短", "短い文。")])

    class Short(OtherEncoder):
        document_maxlen = 25

    new = store(client, "new")
    refused = reindex(client, "documents", new, as_model(Short()), alias="live")
    assert sorted(failed.id for failed in refused.failed) == ["長", "長#window-48"]
    assert not refused.moved
    result = reindex(client, "documents", new, as_model(Short()), alias="live", too_long="split")
    assert result.moved
    assert payloads(new).pop("短") == {"text": "短い文。"}
    found = sorted((p for i, p in payloads(new).items() if i != "短"), key=lambda p: p["_jacolbert_span"])
    assert [p["_jacolbert_span"] for p in found] == [[0, 24], [24, 48], [48, 72], [72, 96]]
    assert {p["_jacolbert_document"] for p in found} == {"長"}
    assert "".join(p["text"] for p in found) == text
    writer(client, too_long="split").write([Document("長", text[:60]), Document("短", "短い文。")])
    assert reindex(client, "documents", new, as_model(Short()), too_long="split").removed == 1
    assert sorted(payloads(new)) == ["短", "長", "長#window-24", "長#window-48"]
    writer(client, too_long="split").write([Document("長", text[:24]), Document("短", "短い文。")])
    assert reindex(client, "documents", new, as_model(Short()), too_long="split").failed == ()
    assert sorted(payloads(new)) == ["短", "長"]


@pytest.mark.parametrize("too_long", ["refuse", "split"])
def test_what_was_split_and_is_short_now(client: Client, too_long: Any) -> None:
    text = "".join(f"これは{i}番目の文である。" for i in range(8))
    old, new = writer(client, too_long="split"), store(client, "new")

    def anew() -> dict[str, Any]:
        assert reindex(client, "documents", new, as_model(OtherEncoder()), too_long=too_long).failed == ()
        return payloads(new)

    for long, short in (("甲", "乙"), ("乙", "甲"), ("甲", "乙")):
        old.write([Document(long, text), Document(short, "短い文。")])
        assert sorted(found := anew()) == sorted([long, f"{long}#window-48", short])
        assert found == payloads(old.store)
        assert found[short] == {"text": "短い文。"}


def dense(client: QdrantClient, unnamed: bool) -> list[Any]:
    """Somebody's collection: one dense vector, texts as LangChain keeps them, ids of all kinds."""
    params = models.VectorParams(size=2, distance=models.Distance.COSINE)
    client.create_collection("theirs", params if unnamed else {"dense": params}, metadata={"owner": "them"})
    ids: list[Any] = [*range(12), *(str(uuid.uuid5(uuid.NAMESPACE_DNS, str(i))) for i in range(12))]
    client.upsert(
        "theirs",
        [
            models.PointStruct(
                id=point_id,
                vector=[1.0, float(i)] if unnamed else {"dense": [1.0, float(i)]},
                payload={"page_content": f"第{i}の文書", "metadata": {"n": i}},
            )
            for i, point_id in enumerate(ids)
        ],
    )
    return ids


@pytest.mark.parametrize("unnamed", [True, False], ids=["unnamed", "named"])
def test_beside_the_vectors_that_are_there(local: QdrantClient, unnamed: bool) -> None:
    ids = dense(local, unnamed)
    before = {record.id: record.payload for record in local.scroll("theirs", limit=100)[0]}
    encoder = Asking()
    result = add_late_interaction(
        local, "theirs", as_model(encoder), first_stage=[Lexical(), FixedDimensional()], batch=5
    )
    assert (result.written, result.failed) == (24, ())
    opened = QdrantStore(local, "theirs")
    opened.bind(IDENTITY)
    for options in (SearchOptions(), SearchOptions(exact=True)):
        hits = [opened.search(encoder.query(f"第{i}の文書"), top_k=1, options=options)[0].id for i in range(24)]
        assert hits == [str(point_id) for point_id in ids]
    found = opened.get(["3", str(ids[20])])
    assert found["3"].payload == {"page_content": "第3の文書", "metadata": {"n": 3}}
    np.testing.assert_allclose(found[str(ids[20])].vectors, vectors_of("第20の文書"), atol=1e-6)
    assert {record.id: record.payload for record in local.scroll("theirs", limit=100)[0]} == before
    nearest = local.query_points("theirs", query=[1.0, 0.0], using=None if unnamed else "dense", limit=1).points
    assert nearest[0].id == 0
    assert (local.get_collection("theirs").config.metadata or {})["owner"] == "them"
    opened.delete(["3"])
    assert local.count("theirs").count == 23
    with pytest.raises(ModelMismatchError):
        add_late_interaction(local, "theirs", as_model(OtherEncoder()))


def test_adding_goes_on_where_it_was_interrupted(local: QdrantClient) -> None:
    dense(local, True)

    class Broken(Encoder):
        def encode_document(self, texts: Sequence[str], *, show_progress_bar: bool | None = None) -> list[TokenVectors]:
            if len(self.encoded) >= 10:
                raise RuntimeError("killed")
            return super().encode_document(texts)

    class Whole(Encoder):
        dimension = IDENTITY.dimension

    Broken.dimension = IDENTITY.dimension  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="killed"):
        add_late_interaction(local, "theirs", as_model(Broken()), batch=5)
    encoder = Whole()
    assert add_late_interaction(local, "theirs", as_model(encoder), batch=5).written == 14
    assert len(encoder.encoded) == 14
    assert add_late_interaction(local, "theirs", as_model(encoder), batch=5).written == 0


def test_points_without_text_are_told(local: QdrantClient) -> None:
    dense(local, True)
    local.upsert("theirs", [models.PointStruct(id=99, vector=[1.0, 1.0], payload={"other": 1}),
                            models.PointStruct(id=98, vector=[1.0, 1.0], payload={"page_content": " "})])  # fmt: skip
    result = add_late_interaction(local, "theirs", as_model(Asking()), first_stage=Lexical())
    assert result.written == 24
    reasons = {failed.id: failed.reason for failed in result.failed}
    assert reasons.keys() == {"98", "99"}
    assert "the payload has no text under any of text, document, page_content" in reasons["99"]
    assert "it has ['other']" in reasons["99"]
    result_ = reindex(local, "theirs", store(local, "new"), as_model(Asking()), alias="live")
    assert {failed.id for failed in result_.failed} == {"98", "99"}
    assert not result_.moved
    assert not local.collection_exists("live")


def test_somebodys_collection_into_a_new_one(client: Client, local: QdrantClient) -> None:
    dense(local, False)
    new = store(client, "ours")
    result = reindex(local, "theirs", new, as_model(Encoder()), alias="live", batch=6, retries=QUICK)
    assert result.moved
    found = payloads(new)
    assert len(found) == 24
    assert found["3"] == {"page_content": "第3の文書", "metadata": {"n": 3}}
    local.delete("theirs", models.PointIdsList(points=[3, 4]))
    assert reindex(local, "theirs", new, as_model(Encoder()), batch=6).removed == 2
    assert new.count() == 22


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda c: reindex(c, "no", store(c, "new"), as_model(Encoder())), "no collection 'no' to read"),
        (lambda c: reindex(c, "documents", store(c, "documents"), as_model(Encoder())), "'documents' is what is read"),
        (lambda c: reindex(c, "live", store(c, "documents"), as_model(Encoder())), "'documents' is what is read"),
        (lambda c: reindex(c, "live", store(c, "new"), as_model(Encoder()), alias="documents"), "is a collection"),
        (lambda c: reindex(c, "live", store(c, "new"), as_model(Encoder()), alias="new"), "must not be the new"),
        (lambda c: add_late_interaction(c, "no", as_model(Encoder())), "there is no collection 'no'"),
        (lambda c: AliasSearch(c, "live", []), "needs one model at least"),
    ],
)  # fmt: skip
def test_bad_input(local: QdrantClient, act: Callable[[QdrantClient], object], message: str) -> None:
    writer(local).write(documents(3))
    move_alias(local, "live", "documents")
    with pytest.raises(InputError, match=message):
        act(local)
    assert [c.name for c in local.get_collections().collections] == ["documents"]


def test_other_layouts(local: QdrantClient) -> None:
    writer(local).write(documents(3))
    with pytest.raises(CollectionLayoutError, match="has had token vectors from the start"):
        add_late_interaction(local, "documents", as_model(Encoder()))
    local.create_collection("odd", {"colbert": models.VectorParams(size=4, distance=models.Distance.DOT)})
    with pytest.raises(CollectionLayoutError, match="has a vector 'colbert' already, which is another"):
        add_late_interaction(local, "odd", as_model(Encoder()))
    with pytest.raises(ModelMismatchError, match="made by the model 'made-up', not by 'another'"):
        AliasSearch(local, "documents", [as_model(OtherAsking())]).search("問い", top_k=1)
    assert AliasSearch(local, "none", [as_model(Asking())]).search("問い", top_k=1) == []


@pytest.mark.parametrize(
    "payload",
    [
        {"text": "猫"},
        {"document": "猫", "other": 1},
        {"page_content": "猫", "metadata": {}},
        {"content": "猫"},
        {"_node_content": '{"id_": "x", "text": "猫"}', "title": "t"},
        {"_node_content": "no JSON", "text": "猫"},
        {"_node_content": '{"text": ""}', "text": "猫"},
    ],
)
def test_where_texts_are(payload: dict[str, Any]) -> None:
    assert payload_text(payload) == "猫"
    assert text_reader(None)(payload) == "猫"
    assert text_reader(lambda p: str(len(p)))(payload) == str(len(payload))


def test_where_the_text_is_said_to_be() -> None:
    assert text_reader("本文")({"本文": "猫", "text": "犬"}) == "猫"
    with pytest.raises(InputError, match=r"no text under '本文'; it has \['text'\]"):
        text_reader("本文")({"text": "犬"})
