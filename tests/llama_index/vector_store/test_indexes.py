"""The vector store inside LlamaIndex's own indexes and pipelines."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import pickle
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from llama_index.core import Settings, StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document, IndexNode, MetadataMode, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)
from qdrant_client import QdrantClient

from jacolbert_integrations import (
    EdgeStore,
    JaColBERT,
    JaColBERTVectorStore,
    MemoryStore,
    MultiVectorStore,
    QdrantStore,
)
from jacolbert_integrations.errors import (
    InputError,
    MissingExtraError,
    ModelMismatchError,
    StoreError,
    StoreFileError,
    UnsupportedModeError,
)
from jacolbert_integrations.llama_index import StoreSideEmbedding
from jacolbert_integrations.llama_index.vector_store.undo import RecentlyDeleted
from jacolbert_integrations.locations import open_store
from jacolbert_integrations.qdrant import EdgeProcess, Lexical
from jacolbert_integrations.types import TokenVectors

from ...processes import in_another_process
from ...server import WAYS, opened
from .samples import QUESTION, TEXTS


def documents(**changed: str) -> list[Document]:
    return [
        Document(id_=name, text=text, metadata={"kind": "animal" if name == "cat" else "place"})
        for name, text in {**TEXTS, **changed}.items()
    ]


@pytest.fixture(params=["memory", "local", "edge", *WAYS])
def inner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MultiVectorStore]:
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "edge":
        with EdgeStore(tmp_path / "edge") as edge:
            yield edge
    elif request.param in WAYS:
        with opened(request.param) as server:
            yield QdrantStore(server, "nodes", first_stage=Lexical())
    else:
        client = QdrantClient(":memory:")
        yield QdrantStore(client, "nodes", first_stage=Lexical())
        client.close()


@pytest.fixture
def memory(mini: JaColBERT) -> JaColBERTVectorStore:
    return JaColBERTVectorStore(mini)


class Encoder:
    """Counts what is encoded, and fails on demand."""

    def __init__(self, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        self.fails = False
        real = mini.encode_document

        def encode(texts: list[str], **options: Any) -> list[TokenVectors]:
            if self.fails:
                raise MemoryError("the encoder fails")
            self.texts.extend(texts)
            return real(texts, **options)

        monkeypatch.setattr(mini, "encode_document", encode)


@pytest.fixture
def encoder(mini: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> Encoder:
    return Encoder(mini, monkeypatch)


def index_of(store: JaColBERTVectorStore, **changed: str) -> VectorStoreIndex:
    return VectorStoreIndex.from_documents(
        documents(**changed),
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=store.embed_model,
    )


def texts_of(store: JaColBERTVectorStore) -> set[str]:
    return {node.get_content() for node in store.get_nodes()}


def of_kind(kind: str) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key="kind", value=kind)])


def test_hierarchy() -> None:
    assert BasePydanticVectorStore in JaColBERTVectorStore.__mro__
    assert JaColBERTVectorStore.class_name() == "JaColBERTVectorStore"
    assert StoreSideEmbedding.class_name() == "StoreSideEmbedding"


def test_an_index_encodes_once_and_asks_for_no_other_model(store: JaColBERTVectorStore, encoder: Encoder) -> None:
    index = index_of(store)
    nodes = store.get_nodes()
    assert sorted(encoder.texts) == sorted(node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes)
    found = index.as_retriever(similarity_top_k=1).retrieve(QUESTION)
    assert [node.text for node in found] == [TEXTS["tokyo"]]
    assert found[0].node.metadata == {"kind": "place"}
    assert found[0].node.ref_doc_id == "tokyo"
    assert len(encoder.texts) == 3  # the query comes as text, and is no document


def test_no_path_asks_for_openai(memory: JaColBERTVectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert importlib.util.find_spec("openai") is None
    monkeypatch.setattr(Settings, "_embed_model", None)
    index_of(memory)
    with pytest.raises(ImportError, match="llama-index-embeddings-openai"):  # what is avoided
        VectorStoreIndex.from_vector_store(memory)
    index = memory.as_index()
    engine = index.as_query_engine(llm=MockLLM(), similarity_top_k=1)
    assert TEXTS["tokyo"] in str(engine.query(QUESTION))
    assert TEXTS["cat"] in str(asyncio.run(engine.aquery("猫は何を食べますか。")))
    chat = index.as_chat_engine(
        chat_mode=ChatMode.CONTEXT,
        llm=MockLLM(),
        memory=ChatMemoryBuffer.from_defaults(),
        similarity_top_k=1,
        filters=of_kind("animal"),
    )
    assert [node.text for node in chat.chat(QUESTION).source_nodes] == [TEXTS["cat"]]


def test_life_of_an_index(store: JaColBERTVectorStore) -> None:
    index = index_of(store)
    index.insert(Document(id_="kyoto", text="京都は古い都である。"))
    index.insert_nodes([TextNode(id_="n1", text="大阪は商人の町である。", metadata={"kind": "place"})])
    assert store.store.count() == 5
    index.insert_nodes([TextNode(id_="n1", text="大阪は食べ物の町である。", metadata={"kind": "place"})])
    assert store.store.count() == 5
    index.update_ref_doc(Document(id_="kyoto", text="京都は平安京である。"))
    assert "京都は平安京である。" in texts_of(store)
    assert "京都は古い都である。" not in texts_of(store)
    assert index.refresh_ref_docs(documents(cat="猫は昼に寝る。")) == [False, False, True]
    assert store.store.count() == 5
    index.delete_ref_doc("cat")
    assert texts_of(store) & {"猫は昼に寝る。", TEXTS["cat"]} == set()
    index.delete_nodes(["n1", "no such node"])
    assert store.store.count() == 3
    index.vector_store.clear()
    assert store.store.count() == 0
    assert index.as_retriever().retrieve(QUESTION) == []


def test_the_same_without_blocking(store: JaColBERTVectorStore) -> None:
    async def live() -> list[str]:
        index = index_of(store)
        await index.ainsert(Document(id_="kyoto", text="京都は古い都である。"))
        await index.ainsert_nodes([TextNode(id_="n1", text="大阪は商人の町である。")])
        await index.aupdate_ref_doc(Document(id_="kyoto", text="京都は平安京である。"))
        assert await index.arefresh_ref_docs(documents(cat="猫は昼に寝る。")) == [False, False, True]
        await index.adelete_ref_doc("fuji")
        await index.adelete_nodes(["n1"])
        left = await store.aget_nodes(filters=of_kind("place"))
        assert [node.get_content() for node in left] == [TEXTS["tokyo"]]
        found = await index.as_retriever(similarity_top_k=5).aretrieve("猫は何を食べますか。")
        await store.adelete_nodes(filters=of_kind("animal"))
        assert store.store.count() == 2
        await store.aclear()
        assert store.store.count() == 0
        return [node.text for node in found]

    assert sorted(asyncio.run(live())) == sorted(["猫は昼に寝る。", "京都は平安京である。", TEXTS["tokyo"]])


def test_async_methods_hand_all_on(memory: JaColBERTVectorStore) -> None:
    texts = {**TEXTS, "tokyo2": "東京は日本の首都であり、人口は約千四百万人を数える。"}
    memory.add([TextNode(id_=name, text=text, metadata={"kind": name[:3]}) for name, text in texts.items()])

    async def run() -> None:
        ids = ["fuji", "no such id", "tokyo"]
        assert [node.node_id for node in await memory.aget_nodes(ids)] == ["fuji", "tokyo"]
        assert [node.node_id for node in await memory.aget_nodes(ids, of_kind("tok"))] == ["tokyo"]
        query = VectorStoreQuery(query_str=QUESTION, mode=VectorStoreQueryMode.MMR, similarity_top_k=2)
        for threshold in (0.0, 1.0):
            asked = memory.query(query, mmr_threshold=threshold)
            assert (await memory.aquery(query, mmr_threshold=threshold)).ids == asked.ids
        assert set(asked.ids or []) == {"tokyo", "tokyo2"}
        calls: list[Any] = [
            memory.aquery(query, mmr=1.0),
            memory.adelete("cat", fast=True),
            memory.adelete_nodes(["cat"], fast=True),
        ]
        for call in calls:
            with pytest.raises(InputError, match=r"no option|takes no fast"):
                await call
        await memory.adelete_nodes(["tokyo", "fuji"], of_kind("tok"))

    asyncio.run(run())
    assert {node.node_id for node in memory.get_nodes()} == {"tokyo2", "fuji", "cat"}


def test_nodes_by_ids_and_filters(store: JaColBERTVectorStore) -> None:
    store.add([TextNode(id_=name, text=text, metadata={"kind": name}) for name, text in TEXTS.items()])
    either = MetadataFilters(
        filters=[MetadataFilter(key="kind", value="cat"), MetadataFilter(key="kind", value="fuji")],
        condition=FilterCondition.OR,
    )
    assert [node.node_id for node in store.get_nodes(["fuji", "no such id", "cat", "fuji"])] == ["fuji", "cat"]
    assert [node.node_id for node in store.get_nodes(["tokyo", "fuji"], either)] == ["fuji"]
    assert {node.node_id for node in store.get_nodes(filters=either)} == {"cat", "fuji"}
    assert {node.node_id for node in store.get_nodes()} == set(TEXTS)
    assert store.get_nodes([]) == []
    store.delete_nodes([])
    assert store.store.count() == 3
    store.delete_nodes(["tokyo", "fuji"], either)
    assert {node.node_id for node in store.get_nodes()} == {"tokyo", "cat"}


def test_deleting_everything_by_mistake(memory: JaColBERTVectorStore) -> None:
    memory.add([TextNode(id_="a", text="猫")])
    nothing: list[dict[str, Any]] = [{}, {"filters": MetadataFilters(filters=[])}]
    for arguments in nothing:
        with pytest.raises(InputError, match=r"needs node_ids or filters\. To remove every node, call clear\(\)"):
            memory.delete_nodes(**arguments)
        with pytest.raises(InputError, match="needs node_ids or filters"):
            asyncio.run(memory.adelete_nodes(**arguments))
    for call in (
        lambda: memory.add([TextNode(text="犬")], batch=3),
        lambda: memory.delete("a", fast=True),
        lambda: asyncio.run(memory.adelete_nodes(["a"], fast=True)),
    ):
        with pytest.raises(InputError, match=r"takes no (batch|fast)"):
            call()
    assert memory.store.count() == 1


def test_bad_nodes_are_refused_and_the_others_written(store: JaColBERTVectorStore) -> None:
    good = TextNode(id_="good", text="猫", metadata={"day": date(2024, 5, 1), "path": Path("a")})
    assert store.add([]) == []
    with pytest.raises(InputError, match=r"more than once: \['good'\]"):
        store.add([good, good])
    assert store.store.count() == 0
    for bad, reason in (
        ([TextNode(text=" ")], "1 of 2 nodes were not written, the others were.* have no text"),
        ([TextNode(text="犬", metadata={"thing": object()})], "cannot be written as JSON"),
        ([TextNode(id_="twice", text="犬"), TextNode(id_="twice", text="鳥")], "'twice' comes 2 times"),
    ):
        with pytest.raises(InputError, match=reason):
            store.add([good, *bad])
        assert [node.node_id for node in store.get_nodes()] == ["good"]
        store.delete_nodes(["good"])
    assert store.add([good]) == ["good"]
    day = MetadataFilter(key="day", operator=FilterOperator.GTE, value="2024-04-30")
    assert [node.metadata["day"] for node in store.get_nodes(filters=MetadataFilters(filters=[day]))] == ["2024-05-01"]


def test_index_nodes_lead_on(memory: JaColBERTVectorStore) -> None:
    """LlamaIndex keeps what an index node points at by itself, and limits the search to what it knows."""
    page = TextNode(id_="page", text="東京の人口は約千四百万人である。")
    index = VectorStoreIndex(
        nodes=[IndexNode(id_="summary", text="東京の人口について", index_id="page", obj=page)],
        storage_context=StorageContext.from_defaults(vector_store=memory),
        embed_model=memory.embed_model,
    )
    assert [node.text for node in index.as_retriever(similarity_top_k=1).retrieve("人口")] == [page.text]


def pipeline(store: JaColBERTVectorStore, strategy: DocstoreStrategy) -> IngestionPipeline:
    return IngestionPipeline(
        transformations=[SentenceSplitter(), store.embed_model],
        vector_store=store,
        docstore=SimpleDocumentStore(),
        docstore_strategy=strategy,
    )


def test_a_pipeline_that_upserts(store: JaColBERTVectorStore, encoder: Encoder) -> None:
    ingest = pipeline(store, DocstoreStrategy.UPSERTS)
    assert len(ingest.run(documents=documents())) == 3
    assert len(ingest.run(documents=documents(cat="猫は昼に寝る。"))) == 1
    assert texts_of(store) == {TEXTS["tokyo"], TEXTS["fuji"], "猫は昼に寝る。"}
    assert len(encoder.texts) == 4
    found = store.as_index().as_retriever(similarity_top_k=1).retrieve("猫はいつ寝ますか。")
    assert [node.text for node in found] == ["猫は昼に寝る。"]


def test_a_pipeline_that_upserts_and_deletes(store: JaColBERTVectorStore) -> None:
    ingest = pipeline(store, DocstoreStrategy.UPSERTS_AND_DELETE)
    ingest.run(documents=documents())
    ingest.run(documents=documents(cat="猫は昼に寝る。")[1:])
    assert texts_of(store) == {TEXTS["fuji"], "猫は昼に寝る。"}


def test_a_pipeline_without_duplicates(store: JaColBERTVectorStore, encoder: Encoder) -> None:
    ingest = pipeline(store, DocstoreStrategy.DUPLICATES_ONLY)
    ingest.run(documents=documents())
    assert list(ingest.run(documents=documents())) == []
    asyncio.run(ingest.arun(documents=[*documents(), Document(id_="dog", text="犬は走る。")]))
    assert store.store.count() == len(encoder.texts) == 4


def test_a_pipeline_that_finds_all_in_its_cache_still_writes(memory: JaColBERTVectorStore, encoder: Encoder) -> None:
    ingest = IngestionPipeline(transformations=[SentenceSplitter(), memory.embed_model], vector_store=memory)
    ingest.run(documents=documents())
    memory.clear()
    ingest.run(documents=documents())
    assert texts_of(memory) == set(TEXTS.values())


@pytest.mark.parametrize("how", ["run", "arun"])
def test_a_pipeline_whose_encoding_fails_keeps_the_old_version(
    store: JaColBERTVectorStore, encoder: Encoder, how: str
) -> None:
    ingest = pipeline(store, DocstoreStrategy.UPSERTS_AND_DELETE)

    def run(given: list[Document]) -> None:
        if how == "run":
            ingest.run(documents=given)
        else:
            asyncio.run(ingest.arun(documents=given))

    run(documents())
    encoder.fails = True
    for _ in range(2):
        with pytest.raises(MemoryError, match="the encoder fails"):
            run(documents(cat="猫は昼に寝る。", fuji="富士山は火山である。")[1:])
        # what was to be replaced is there as before, and what was only deleted is not
        assert texts_of(store) == {TEXTS["fuji"], TEXTS["cat"]}
    assert [node.metadata for node in store.get_nodes(filters=of_kind("animal"))] == [{"kind": "animal"}]
    encoder.fails = False
    run(documents(cat="猫は昼に寝る。", fuji="富士山は火山である。")[1:])
    assert texts_of(store) == {"富士山は火山である。", "猫は昼に寝る。"}


def test_what_was_put_back_is_replaced_by_another_process(
    inner: MultiVectorStore, store: JaColBERTVectorStore, mini: JaColBERT, encoder: Encoder
) -> None:
    """LlamaIndex's docstore has forgotten the old version by then, and nobody deletes it."""
    index = index_of(store)
    encoder.fails = True
    with pytest.raises(MemoryError):
        index.update_ref_doc(Document(id_="cat", text="猫は昼に寝る。"))
    assert TEXTS["cat"] in texts_of(store)
    encoder.fails = False
    other = JaColBERTVectorStore(mini, inner)
    other.as_index().insert(Document(id_="cat", text="猫は昼に寝る。"))
    assert texts_of(other) == {TEXTS["tokyo"], TEXTS["fuji"], "猫は昼に寝る。"}


def test_what_was_deleted_long_ago_stays_deleted(memory: JaColBERTVectorStore, encoder: Encoder) -> None:
    index = index_of(memory)
    index.delete_ref_doc("cat")
    index.insert(Document(id_="dog", text="犬は走る。"))
    encoder.fails = True
    with pytest.raises(MemoryError):
        index.insert(Document(id_="cat", text="猫は昼に寝る。"))
    assert TEXTS["cat"] not in texts_of(memory)


def test_nothing_is_held_if_nothing_is_to_be(mini: JaColBERT, encoder: Encoder) -> None:
    store = JaColBERTVectorStore(mini, undo_bytes=0)
    index = index_of(store)
    encoder.fails = True
    with pytest.raises(MemoryError):
        index.update_ref_doc(Document(id_="cat", text="猫は昼に寝る。"))
    assert texts_of(store) == {TEXTS["tokyo"], TEXTS["fuji"]}


def test_the_oldest_deleted_documents_go_first(mini: JaColBERT, caplog: pytest.LogCaptureFixture) -> None:
    store = JaColBERTVectorStore(mini)
    store.add([TextNode(id_=name, text="猫") for name in "abc"])
    points = store.store.get(["a", "b", "c"])
    deleted = RecentlyDeleted(max_bytes=2 * points["a"].vectors.nbytes)
    for name in "abc":
        deleted.keep(name, [points[name]])
    assert [point.id for point in deleted.to_restore("abc")] == ["b", "c"]
    assert "the old ones of 1 documents are gone (the first is 'a')" in caplog.text
    deleted.keep("b", [points["b"]])
    assert [point.id for point in deleted.to_restore("bc")] == ["b", "c"]
    with deleted.adding(["b"]):
        with deleted.adding(["b", "d"]):
            pass
        deleted.forget(deleted.last_deletion())
        assert [point.id for point in deleted.to_restore("bc")] == ["b"]
    deleted.forget(deleted.last_deletion())
    assert deleted.to_restore("bc") == []
    deleted.keep("c", [points["c"]])
    deleted.clear()
    assert deleted.to_restore("c") == []


def test_persistence_with_the_index(memory: JaColBERTVectorStore, tmp_path: Path) -> None:
    index = index_of(memory)
    index.storage_context.persist(tmp_path)
    opened = JaColBERTVectorStore.from_persist_dir(tmp_path)
    context = StorageContext.from_defaults(vector_store=opened, persist_dir=str(tmp_path))
    again = load_index_from_storage(context, embed_model=opened.embed_model)
    assert [node.text for node in again.as_retriever(similarity_top_k=1).retrieve(QUESTION)] == [TEXTS["tokyo"]]
    assert again.refresh_ref_docs(documents(cat="猫は昼に寝る。")) == [False, False, True]
    assert texts_of(opened) == {TEXTS["tokyo"], TEXTS["fuji"], "猫は昼に寝る。"}
    with pytest.raises(StoreFileError, match=r"no vector store of ours at .*other__vector_store\.json"):
        JaColBERTVectorStore.from_persist_dir(tmp_path, namespace="other")


def test_persistence_elsewhere(memory: JaColBERTVectorStore) -> None:
    disk = MemoryFileSystem()
    index_of(memory).storage_context.persist("/vectors", fs=disk)
    assert texts_of(JaColBERTVectorStore.from_persist_dir("/vectors", fs=disk)) == set(TEXTS.values())
    memory.delete_nodes(filters=of_kind("animal"))
    memory.persist("/vectors/default__vector_store.json", fs=disk)
    assert len(texts_of(JaColBERTVectorStore.from_persist_dir("/vectors", fs=disk))) == 2
    disk.rm("/vectors", recursive=True)


class Recording(MemoryFileSystem):  # type: ignore[misc]  # fsspec says nothing of its types
    """Remembers in which order files come and go, and can fail at one."""

    cachable = False
    done: list[str]
    full = ""

    def put_file(self, lpath: str, rpath: str, *arguments: Any, **options: Any) -> None:
        self._note(f"+{Path(rpath).name}")
        super().put_file(lpath, rpath, *arguments, **options)

    def rm_file(self, path: str) -> None:
        self._note(f"-{Path(path).name}")
        super().rm_file(path)

    def _note(self, what: str) -> None:
        if self.full and what.startswith(self.full):
            raise OSError("the disk is full")
        self.done.append(what)


def test_persistence_elsewhere_is_whole_at_any_moment(memory: JaColBERTVectorStore) -> None:
    """Vectors come before the index that names them, and what was there before goes at the end."""
    disk, path = Recording(), "/whole/default__vector_store.json"
    disk.done = []
    memory.add([TextNode(id_="a", text="猫")])
    memory.persist(path, disk)
    (first,) = [name for name in disk.done if "vectors-" in name]
    disk.done.clear()
    memory.add([TextNode(id_="b", text="犬")])
    for step in ("+vectors-", "+store.json"):
        disk.full = step
        with pytest.raises(OSError, match="the disk is full"):
            memory.persist(path, disk)
        disk.full = ""
        assert texts_of(JaColBERTVectorStore.from_persist_path(path, disk)) == {"猫"}
    disk.done.clear()
    memory.persist(path, disk)
    assert [name.split("-")[0] for name in disk.done[:2]] == ["+vectors", "+store.json.new"]
    assert first.replace("+", "-") in disk.done[2:]
    assert len(disk.glob("/whole/default__vector_store.jacolbert/vectors-*")) == 1
    assert texts_of(JaColBERTVectorStore.from_persist_path(path, disk)) == {"猫", "犬"}
    disk.rm("/whole", recursive=True)


def test_a_folder_is_found_from_elsewhere(tmp_path: Path, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with JaColBERTVectorStore(mini, location="edge") as store:
        store.add([TextNode(id_="a", text="猫")])
    monkeypatch.chdir(tmp_path / "elsewhere")
    for copy in COPIES:
        with copy(store) as again:
            assert texts_of(again) == {"猫"}
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert JaColBERTVectorStore(location="~/edge").location == store.location == str(tmp_path / "edge")
    for place in (":memory:", "http://localhost:6333", "https://localhost:6333"):
        assert JaColBERTVectorStore(location=place).location == place


def asked(folder: Path) -> str | None:
    """What the other process does: the document that answers the question, by what was persisted."""
    with JaColBERTVectorStore.from_persist_dir(folder) as store:
        context = StorageContext.from_defaults(vector_store=store, persist_dir=str(folder))
        index = load_index_from_storage(context, embed_model=store.embed_model)
        return index.as_retriever(similarity_top_k=1).retrieve(QUESTION)[0].node.ref_doc_id


def test_another_process(tmp_path: Path, mini: JaColBERT) -> None:
    """A collection in a folder, written here, is asked there, through what was persisted."""
    store = JaColBERTVectorStore(mini, location=str(tmp_path / "edge"), collection="本")
    index_of(store).storage_context.persist(tmp_path / "storage")
    store.close()
    assert in_another_process(asked, tmp_path / "storage") == "tokyo"
    assert store.store.count() == 3  # opened again
    store.close()


COPIES: list[Callable[[JaColBERTVectorStore], JaColBERTVectorStore]] = [
    lambda store: pickle.loads(pickle.dumps(store)),
    lambda store: JaColBERTVectorStore.from_dict(store.to_dict()),
    lambda store: JaColBERTVectorStore.from_json(store.to_json()),
    lambda store: JaColBERTVectorStore.model_validate_json(store.model_dump_json()),
    lambda store: JaColBERTVectorStore.model_validate(store.model_dump()),
]


@pytest.mark.parametrize("copy", COPIES)
def test_descriptions(tmp_path: Path, copy: Callable[[JaColBERTVectorStore], JaColBERTVectorStore]) -> None:
    place = str(tmp_path / "edge")
    store = JaColBERTVectorStore(
        location=place, collection="c", first_stage=["lexical", "muvera"], own_process=True, pooling="kmeans-2"
    )
    assert not (tmp_path / "edge").exists()  # nothing is opened or loaded yet
    again = copy(store)
    assert again.to_dict() == store.to_dict()
    assert again.to_dict() == {
        "class_name": "JaColBERTVectorStore",
        "stores_text": True,
        "is_embedding_query": False,
        "model": "jacolbert-mini",
        "location": place,
        "collection": "c",
        "first_stage": ["lexical", "muvera"],
        "indexes": None,
        "create_missing_indexes": False,
        "grpc": False,
        "server": None,
        "own_process": True,
        "too_long": "split",
        "undo_bytes": 1 << 30,
        "revision": None,
        "query_length": None,
        "pooling": "kmeans-2",
        "dtype": None,
        "precision": None,
        "device": None,
        "fingerprint": None,
        "configuration": None,
    }
    again.add([TextNode(id_="a", text="猫")])
    assert again.encoder.identity.pooling == "kmeans-2"
    assert again.client is again.store.client  # type: ignore[attr-defined]
    assert isinstance(again.client, EdgeProcess)
    again.close()


def test_a_copy_of_what_is_in_memory(memory: JaColBERTVectorStore, mini: JaColBERT) -> None:
    memory.add([TextNode(id_="a", text="猫")])
    pickled = pickle.loads(pickle.dumps(memory))
    assert (pickled.fingerprint, pickled.configuration) == (mini.fingerprint, mini.identity.configuration)
    assert [node.node_id for node in pickled.get_nodes()] == ["a"]
    pickled.clear()
    assert memory.store.count() == 1
    described = JaColBERTVectorStore.from_dict(memory.to_dict())
    assert described.get_nodes() == []
    assert deepcopy(memory).store is memory.store
    assert memory.client is memory.store
    memory.close()
    assert memory.store.count() == 1


def test_a_store_that_was_handed_in(store: JaColBERTVectorStore, inner: MultiVectorStore, tmp_path: Path) -> None:
    index_of(store).storage_context.persist(tmp_path)
    assert store.location == ":given:"
    for copy in COPIES if isinstance(inner, QdrantStore) else COPIES[1:]:  # what is in memory travels with a pickle
        with pytest.raises(StoreError, match=r"over a store that was handed in.*from_dict\(description, store=...\)"):
            copy(store).get_nodes()
    again = JaColBERTVectorStore.from_persist_dir(tmp_path, store=inner)
    assert texts_of(again) == set(TEXTS.values())
    store.close()
    assert texts_of(store) == set(TEXTS.values())


def test_no_secret_in_a_description(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "geheim")
    store = JaColBERTVectorStore(location="https://example.com:6333", collection="c")
    for shown in (repr(store), str(store), store.to_json(), store.model_dump_json(), json.dumps(store.to_dict())):
        assert "geheim" not in shown
    assert b"geheim" not in pickle.dumps(store)
    for place in ("https://user:geheim@example.com", "https://example.com?api-key=geheim"):
        with pytest.raises(InputError, match="holds a user, a password, a query or parameters") as caught:
            JaColBERTVectorStore(location=place)
        assert "geheim" not in str(caught.value)


def test_bad_arguments(mini: JaColBERT, model: JaColBERT, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a store is given as well"):
        JaColBERTVectorStore(mini, MemoryStore(), location=str(tmp_path))
    with pytest.raises(InputError, match="so pooling, device can no longer be chosen"):
        JaColBERTVectorStore(mini, pooling="kmeans-2", device="cpu")
    with pytest.raises(InputError, match="takes no colection"):
        JaColBERTVectorStore(colection="c")
    with pytest.raises(InputError, match="location is ' '"):
        JaColBERTVectorStore(location=" ")
    with pytest.raises(InputError, match="every search in memory is exact"):
        JaColBERTVectorStore(mini, first_stage=["lexical"]).get_nodes()
    for names in (["words"], "lexical"):
        with pytest.raises(InputError, match=r"first_stage names .*expected is a list of some of lexical, centroids"):
            open_store(str(tmp_path), "c", names)
    given = MemoryStore()
    given.bind(model.identity)
    with pytest.raises(ModelMismatchError, match="was made by the model 'stanford'"):
        JaColBERTVectorStore(mini, given)
    with pytest.raises(ValueError, match="frozen"):
        JaColBERTVectorStore(mini).collection = "other"


def test_a_closed_store(mini: JaColBERT, tmp_path: Path) -> None:
    client = QdrantClient(path=str(tmp_path))
    store = JaColBERTVectorStore(mini, QdrantStore(client, "c"))
    store.add([TextNode(id_="a", text="猫")])
    client.close()
    for call in (
        lambda: store.query(VectorStoreQuery(query_str="猫")),
        lambda: store.add([TextNode(text="犬")]),
        lambda: store.delete("a"),
        store.get_nodes,
        store.clear,
    ):
        with pytest.raises(StoreError, match="client has been closed"):
            call()


def test_a_folder_wants_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mini: JaColBERT) -> None:
    monkeypatch.delitem(sys.modules, "jacolbert_integrations.qdrant.edge.client", raising=False)
    monkeypatch.delitem(sys.modules, "jacolbert_integrations.qdrant.edge.models", raising=False)
    monkeypatch.setitem(sys.modules, "qdrant_edge", None)
    with pytest.raises(MissingExtraError, match=r"jacolbert-integrations\[edge\]"):
        JaColBERTVectorStore(mini, location=str(tmp_path)).get_nodes()


def test_the_embedding_that_is_none() -> None:
    embedding = StoreSideEmbedding()
    assert embedding.get_text_embedding_batch(["猫", "犬"]) == [[], []]
    assert asyncio.run(embedding.aget_text_embedding_batch(["猫"])) == [[]]
    assert pickle.loads(pickle.dumps(embedding)).to_dict() == embedding.to_dict()
    assert StoreSideEmbedding.from_dict(embedding.to_dict()).to_dict() == embedding.to_dict()
    for vector in (embedding.get_query_embedding("猫"), asyncio.run(embedding.aget_query_embedding("猫"))):
        assert vector == []
        with pytest.raises(UnsupportedModeError, match="late interaction has none"):
            np.array(vector)
