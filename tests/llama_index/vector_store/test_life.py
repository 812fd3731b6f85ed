"""What users do with a vector store over its life: many things at once, odd things, and with all of LlamaIndex."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Semaphore
from typing import Any

import llama_index.core
import numpy as np
import pytest
from llama_index.core import DocumentSummaryIndex, StorageContext, VectorStoreIndex
from llama_index.core.base.embeddings.base import mean_agg
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import Field
from llama_index.core.evaluation import RetrieverEvaluator
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.indices.vector_store.retrievers import VectorIndexAutoRetriever
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # re-exported
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import MockLLM
from llama_index.core.memory import VectorMemoryBlock
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.objects import ObjectIndex
from llama_index.core.query_engine import RetrieverQueryEngine, TransformQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import (
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores.types import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    MetadataInfo,
    VectorStoreInfo,
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
    QdrantWriter,
)
from jacolbert_integrations.errors import (
    EngineError,
    FilterWarning,
    InputError,
    ModelMismatchError,
    StoreError,
    StoreFileError,
    UnsupportedFilterError,
    UnsupportedModeError,
)
from jacolbert_integrations.llama_index import to_documents
from jacolbert_integrations.qdrant import Lexical
from jacolbert_integrations.stores.payload_text import payload_text
from jacolbert_integrations.types import TokenVectors

from ...conftest import PATIENCE, STANFORD
from ...server import WAYS, opened
from ...waiting import FreeLoop
from ..stand_ins import Script
from .samples import QUESTION, TEXTS
from .test_undo import fail_on

HYBRID = VectorStoreQueryMode.HYBRID
PLACES = ["memory", "local", "path", "edge", *WAYS]


@pytest.fixture(params=PLACES)
def inner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MultiVectorStore]:
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "edge":
        with EdgeStore(tmp_path / "edge", first_stage=Lexical()) as edge:
            yield edge
    elif request.param in WAYS:
        with opened(request.param) as server:
            yield QdrantStore(server, "nodes", first_stage=Lexical())
    else:
        client = QdrantClient(":memory:") if request.param == "local" else QdrantClient(path=str(tmp_path / "local"))
        yield QdrantStore(client, "nodes", first_stage=Lexical())
        client.close()


def documents() -> list[Document]:
    return [
        Document(id_=name, text=text, metadata={"kind": "animal" if name == "cat" else "place"})
        for name, text in TEXTS.items()
    ]


def nodes() -> list[TextNode]:
    return [TextNode(id_=document.id_, text=document.text, metadata=document.metadata) for document in documents()]


def of_document(name: str) -> dict[NodeRelationship, Any]:
    return {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=name)}


def texts_of(store: JaColBERTVectorStore) -> set[str]:
    return {node.get_content() for node in store.get_nodes()}


def ids_of(store: JaColBERTVectorStore) -> list[str]:
    return sorted(node.node_id for node in store.get_nodes())


def only(key: str, value: Any, operator: FilterOperator = FilterOperator.EQ) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=operator)])


class Events(BaseEventHandler):
    """Remembers what was told."""

    names: list[str] = Field(default_factory=list)

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        self.names.append(event.class_name())


def test_adding_asking_and_deleting_at_once(store: JaColBERTVectorStore) -> None:
    async def one(i: int) -> int:
        own = [TextNode(id_=f"{i}-{j}", text=f"猫{i} 東京{j}", metadata={"i": i}) for j in range(4)]
        assert await store.async_add(own) == [node.node_id for node in own]
        await store.aquery(VectorStoreQuery(query_str=f"猫{i}", similarity_top_k=3))
        await store.adelete_nodes([f"{i}-0"])
        return len(await store.aget_nodes(filters=only("i", i)))

    async def run() -> list[int]:
        return await asyncio.gather(*(one(i) for i in range(12)))

    assert asyncio.run(run()) == [3] * 12
    assert store.store.count() == 36


def test_updates_at_once_of_which_one_fails(
    store: JaColBERTVectorStore, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That others succeed meanwhile does not cost a document its old version."""
    index = VectorStoreIndex.from_documents(
        documents(),
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=store.embed_model,
    )
    real, on_its_way, others = mini.encode_document, Event(), Semaphore(0)

    def encode(texts: list[str], **options: Any) -> list[TokenVectors]:
        if "新しい猫" in texts[0]:
            on_its_way.set()
            assert others.acquire(timeout=PATIENCE)
            assert others.acquire(timeout=PATIENCE)
            raise MemoryError("the encoder fails")
        assert on_its_way.wait(PATIENCE)  # before that, what is deleted may as well be deleted for good
        return real(texts, **options)

    monkeypatch.setattr(mini, "encode_document", encode)

    async def update(name: str, text: str) -> None:
        await index.aupdate_ref_doc(Document(id_=name, text=f"新しい{text}"))
        others.release()

    async def run() -> list[BaseException | None]:
        return await asyncio.gather(*(update(*each) for each in TEXTS.items()), return_exceptions=True)

    results = asyncio.run(run())
    assert [type(result) for result in results] == [type(None), type(None), MemoryError]
    assert texts_of(store) == {f"新しい{TEXTS['tokyo']}", f"新しい{TEXTS['fuji']}", TEXTS["cat"]}


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("upsert", lambda store: store.async_add(nodes())),
        ("search", lambda store: store.aquery(VectorStoreQuery(query_str=QUESTION))),
        ("points", lambda store: store.adelete("cat")),
        ("delete", lambda store: store.adelete_nodes(["cat"])),
        ("points", lambda store: store.aget_nodes()),
        ("delete", lambda store: store.aclear()),
        ("search", lambda store: store.as_index().as_retriever().aretrieve(QUESTION)),
        ("search", lambda store: store.as_index().as_query_engine(llm=MockLLM()).aquery(QUESTION)),
    ],
)
def test_nothing_blocks_the_loop(
    memory: JaColBERTVectorStore, monkeypatch: pytest.MonkeyPatch, method: str, call: Callable[..., Any]
) -> None:
    """The store goes on when the loop has, which it can only if it is free."""
    memory.add(nodes())
    loop = FreeLoop()
    monkeypatch.setattr(memory.store, method, loop.waiting(getattr(memory.store, method)))
    loop.run(lambda: call(memory))
    assert method in loop.calls


def test_two_vector_stores_over_one_collection(inner: MultiVectorStore, mini: JaColBERT) -> None:
    one, other = JaColBERTVectorStore(mini, inner), JaColBERTVectorStore(mini, inner)
    one.add(nodes()[:2])
    other.add(nodes()[1:])
    assert texts_of(one) == texts_of(other) == set(TEXTS.values())
    other.delete("fuji")
    assert ids_of(one) == ["cat", "tokyo"]


def test_a_folder_belongs_to_who_has_it_open(mini: JaColBERT, tmp_path: Path) -> None:
    store = JaColBERTVectorStore(mini, location=str(tmp_path))
    store.add(nodes())
    copy = pickle.loads(pickle.dumps(store))
    with pytest.raises(EngineError, match="open"):
        copy.get_nodes()
    store.close()
    assert texts_of(copy) == set(TEXTS.values())
    copy.close()
    assert texts_of(store) == set(TEXTS.values())  # opened again
    store.close()


# --- documents and their nodes ---


def test_a_node_of_no_document_is_one_by_itself(store: JaColBERTVectorStore) -> None:
    """A pipeline without a splitter writes documents as they are, and deletes them by their own ids."""
    ingest = IngestionPipeline(
        transformations=[store.embed_model],
        vector_store=store,
        docstore=SimpleDocumentStore(),
        docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
    )
    ingest.run(documents=documents())
    ingest.run(documents=documents()[1:])
    assert ids_of(store) == ["cat", "fuji"]
    query = VectorStoreQuery(query_str=QUESTION, doc_ids=["cat"], similarity_top_k=5)
    assert store.query(query).ids == ["cat"]


def test_its_old_version_is_kept_too(
    memory: JaColBERTVectorStore, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest = IngestionPipeline(
        transformations=[memory.embed_model], vector_store=memory, docstore=SimpleDocumentStore()
    )
    ingest.run(documents=documents())
    fail_on(monkeypatch, mini, "寝る")
    with pytest.raises(MemoryError):
        ingest.run(documents=[Document(id_="cat", text="猫は寝る。")])
    assert texts_of(memory) == set(TEXTS.values())


def test_what_is_of_no_document_is_not_of_one_called_none(store: JaColBERTVectorStore) -> None:
    """LlamaIndex writes "None" for a node that is of no document."""
    store.add([*nodes(), TextNode(id_="None", text="何もない。")])
    store.delete("no such document")
    assert store.store.count() == 4
    store.delete("None")
    assert ids_of(store) == ["cat", "fuji", "tokyo"]


def test_windows_of_a_long_node_are_one_node(mini: JaColBERT) -> None:
    """A writer splits what the model would cut; here, each node is one, found by the best of its windows."""
    long = "".join(f"{i}番目の文は猫について述べている。" for i in range(120)) + TEXTS["tokyo"]
    assert mini.document_lengths([long])[0] > 2 * mini.document_maxlen
    client = QdrantClient(":memory:")
    inner = QdrantStore(client, "nodes", first_stage=Lexical())
    QdrantWriter(inner, mini, too_long="split").write(to_documents([TextNode(id_="long", text=long), *nodes()]))
    store = JaColBERTVectorStore(mini, inner)
    assert inner.count() > 5
    modes = VectorStoreQueryMode
    for mode in (modes.DEFAULT, modes.MMR, modes.TEXT_SEARCH, HYBRID):
        for alpha in (None, 0.5):
            query = VectorStoreQuery(query_str="猫", mode=mode, alpha=alpha, similarity_top_k=4, hybrid_top_k=4)
            result = store.query(query)
            assert len(result.ids or []) == len(set(result.ids or [])) > 1
            assert {node.node_id for node in result.nodes or []} == set(result.ids or [])
    best = store.query(VectorStoreQuery(query_str=QUESTION, similarity_top_k=1, node_ids=["long"]))
    assert (best.ids, [node.get_content() for node in best.nodes or []]) == (["long"], [long])
    windows = [payload_text(point.payload) for point in inner.points() if point.id.startswith("long")]
    assert sum(map(len, windows)) == len(long)
    np.testing.assert_allclose(best.similarities or [], [mini.score([QUESTION], windows).max()], atol=1e-3)
    assert ids_of(store) == ["cat", "fuji", "long", "tokyo"]
    store.add([TextNode(id_="long", text="短い。")])
    assert inner.count() == 4
    QdrantWriter(inner, mini, too_long="split").write(to_documents([TextNode(id_="long", text=long)]))
    store.delete_nodes(["long"])
    assert inner.count() == 3
    client.close()


# --- nodes as users make them ---


@pytest.mark.parametrize("key", ["doc_id", "document_id", "ref_doc_id", "_node_content", "_node_type", "text", "id"])
@pytest.mark.filterwarnings("ignore:metadata have the key:jacolbert_integrations.errors.FilterWarning")
def test_metadata_named_as_llama_index_names_its_own(store: JaColBERTVectorStore, key: str) -> None:
    document = Document(id_="doc", text="猫は寝る。", metadata={key: "値"})
    index = VectorStoreIndex.from_documents(
        [document], storage_context=StorageContext.from_defaults(vector_store=store), embed_model=store.embed_model
    )
    (node,) = store.get_nodes()
    assert (node.metadata, node.ref_doc_id, node.get_content()) == ({key: "値"}, "doc", "猫は寝る。")
    assert len(store.get_nodes(filters=only("doc_id", "doc"))) == 1
    index.delete_ref_doc("doc")
    assert store.get_nodes() == []


@pytest.mark.parametrize("key", ["doc_id", "document_id", "ref_doc_id"])
def test_metadata_that_no_filter_finds_are_pointed_out_once(
    memory: JaColBERTVectorStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jacolbert_integrations.llama_index.nodes._told_of", set())
    with pytest.warns(FilterWarning, match=f"the key '{key}', under which LlamaIndex's filters find the id"):
        memory.add([TextNode(text="猫", metadata={key: "社内-1"})])
    memory.add([TextNode(text="犬", metadata={key: "社内-2"})])


def test_metadata_that_no_store_keeps_is_refused(store: JaColBERTVectorStore) -> None:
    with pytest.raises(InputError, match=r"first is 'b': the node 'b' has a payload .*'long'.*beyond 64 bits"):
        store.add([TextNode(id_="a", text="猫"), TextNode(id_="b", text="犬", metadata={"long": 2**70})])
    assert ids_of(store) == ["a"]


def test_metadata_of_unusual_types(store: JaColBERTVectorStore) -> None:
    kept: dict[str, Any] = {
        "none": None,
        "nested": {"a": {"b": [1, {"c": 2}]}},
        "dicts": [{"a": 1}],
        "long": 2**63 - 1,
        "empty": "",
        "nul": "a\0b",
        "true": True,
        "a.b": "点",
        "a[0]": "括弧",
        'q"x': "引用符",
        "日本 語": "空白",
    }
    store.add([TextNode(id_="a", text="猫", metadata=kept)])
    assert store.get_nodes(["a"])[0].metadata == kept
    assert len(store.get_nodes(filters=only("日本 語", "空白"))) == 1
    refused: list[Any] = [np.float32(1.5), np.arange(3), b"\xff", object(), "\ud800"]
    for value in refused:
        with pytest.raises(InputError, match="'b' cannot be written as JSON"):
            store.add([TextNode(id_="b", text="犬", metadata={"key": value})])
    with pytest.raises(InputError, match="metadata key '_jacolbert_restored', which is for us"):
        store.add([TextNode(id_="b", text="犬", metadata={"_jacolbert_restored": "a"})])
    with pytest.raises(InputError, match="cannot be written as JSON"):
        store.add([TextNode(id_="b", text="\ud800")])
    assert ids_of(store) == ["a"]


@pytest.mark.parametrize("node_id", [" ", "a/b\\c", "猫#window-3", "None", "12", "\n", "x" * 5000, "E" * 8 + "-"])
def test_ids_of_odd_characters(store: JaColBERTVectorStore, node_id: str) -> None:
    store.add([*nodes(), TextNode(id_=node_id, text="鳥は飛ぶ。")])
    assert [node.node_id for node in store.get_nodes([node_id])] == [node_id]
    assert store.query(VectorStoreQuery(query_str="鳥", node_ids=[node_id], similarity_top_k=5)).ids == [node_id]
    store.delete_nodes([node_id])
    assert ids_of(store) == ["cat", "fuji", "tokyo"]


def test_bad_nodes_and_ids(memory: JaColBERTVectorStore, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.add(nodes())
    fail_on(monkeypatch, mini, "")  # what is refused is refused before anything is encoded
    with pytest.raises(InputError, match="node 0 has no id"):
        memory.add([TextNode(id_="", text="犬")])
    with pytest.raises(InputError, match="1 of 1 nodes have no text"):
        memory.add([ImageNode(image_path="a.png")])
    for call in (
        lambda: memory.delete_nodes("cat"),  # type: ignore[arg-type]
        lambda: memory.get_nodes("cat"),  # type: ignore[arg-type]
        lambda: memory.get_nodes([1]),  # type: ignore[list-item]
        lambda: memory.delete(None),  # type: ignore[arg-type]
        lambda: memory.query(VectorStoreQuery(query_str="猫", node_ids="cat")),  # type: ignore[arg-type]
        lambda: memory.query(VectorStoreQuery(query_str="猫", doc_ids="cat")),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError, match="must be a list of strings"):
            call()
    with pytest.raises(InputError, match="top_k is None"):
        memory.query(VectorStoreQuery(query_str="猫", similarity_top_k=None))  # type: ignore[arg-type]
    with pytest.raises(UnsupportedModeError, match="'words' is not one of late interaction"):
        memory.query(VectorStoreQuery(query_str="猫", mode="words"))  # type: ignore[arg-type]
    assert memory.store.count() == 3


def test_filters_that_say_nothing_delete_nothing(memory: JaColBERTVectorStore) -> None:
    memory.add(nodes())
    nothing = MetadataFilters(filters=[MetadataFilters(filters=[]), MetadataFilters(filters=[])])
    with pytest.raises(InputError, match="needs node_ids or filters"):
        memory.delete_nodes(filters=nothing)
    native: Any = lambda payload: payload["kind"] == "place"  # noqa: E731
    with pytest.raises(UnsupportedFilterError, match="cannot be joined with doc_ids or node_ids"):
        memory.delete_nodes(["cat"], native)
    with pytest.raises(UnsupportedFilterError, match="cannot be joined with doc_ids or node_ids"):
        memory.get_nodes(["cat"], native)
    assert memory.store.count() == 3
    memory.delete_nodes(filters=native)
    assert ids_of(memory) == ["cat"]


def test_a_filter_on_a_missing_key(store: JaColBERTVectorStore) -> None:
    store.add(nodes())
    for operator, found in ((FilterOperator.EQ, 0), (FilterOperator.GT, 0), (FilterOperator.NE, 3)):
        filters = only("no such key", 1, operator)
        assert len(store.get_nodes(filters=filters)) == found
        query = VectorStoreQuery(query_str=QUESTION, filters=filters, similarity_top_k=5)
        assert len(store.query(query).ids or []) == found
    store.delete_nodes(filters=only("no such key", 1))
    assert store.store.count() == 3


def test_a_collection_of_another_model(mini: JaColBERT, model: JaColBERT, tmp_path: Path) -> None:
    store = JaColBERTVectorStore(mini, location=str(tmp_path))
    store.add(nodes())
    store.close()
    other = JaColBERTVectorStore(model, location=str(tmp_path))
    for call in (other.get_nodes, other.clear, lambda: other.add([TextNode(text="犬")]), lambda: other.delete("cat")):
        with pytest.raises(ModelMismatchError, match="was made by the model 'jacolbert-mini'"):
            call()
    other.close()
    assert texts_of(store) == set(TEXTS.values())
    store.close()


def test_an_edge_store_that_was_closed(mini: JaColBERT, tmp_path: Path) -> None:
    with EdgeStore(tmp_path) as edge:
        store = JaColBERTVectorStore(mini, edge)
        store.add(nodes())
    for call in (store.get_nodes, store.clear, lambda: store.query(VectorStoreQuery(query_str=QUESTION))):
        with pytest.raises(StoreError, match="has been closed"):
            call()


def test_empty_documents(memory: JaColBERTVectorStore, capsys: pytest.CaptureFixture[str]) -> None:
    """LlamaIndex leaves them out of a new index; where it does not, they are refused."""
    index = VectorStoreIndex.from_documents(
        [*documents(), Document(id_="empty", text="")],
        storage_context=StorageContext.from_defaults(vector_store=memory),
        embed_model=memory.embed_model,
    )
    assert "missing content" in capsys.readouterr().out
    assert memory.store.count() == 3
    with pytest.raises(InputError, match="1 of 1 nodes have no text"):
        index.insert_nodes([TextNode(text="")])
    assert texts_of(memory) == set(TEXTS.values())
    index.update_ref_doc(Document(id_="cat", text=" "))  # LlamaIndex's splitter makes no node of it
    assert texts_of(memory) == {TEXTS["tokyo"], TEXTS["fuji"]}


def test_nodes_of_every_kind(store: JaColBERTVectorStore) -> None:
    given = [
        TextNode(id_="text", text="猫", start_char_idx=3, end_char_idx=4, relationships=of_document("doc")),
        ImageNode(id_="image", text="猫の絵", image="aGVsbG8=", image_mimetype="image/png"),
        IndexNode(id_="index", text="猫について", index_id="cats"),
        Node(id_="node", text_resource=MediaResource(text="猫の本")),
    ]
    store.add(given)
    kept = store.get_nodes([node.node_id for node in given])
    assert [type(node) for node in kept] == [type(node) for node in given]
    assert [node.to_dict() for node in kept] == [node.to_dict() for node in given]


# --- the arguments that LlamaIndex hands through ---


def test_arguments_of_an_index(store: JaColBERTVectorStore) -> None:
    index = VectorStoreIndex.from_documents(
        documents(),
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=store.embed_model,
        use_async=True,
        insert_batch_size=1,
        store_nodes_override=True,
        show_progress=True,
    )
    assert texts_of(store) == set(TEXTS.values())
    assert set(index.ref_doc_info) == set(TEXTS)
    assert [n.text for n in index.as_retriever(similarity_top_k=1).retrieve(QUESTION)] == [TEXTS["tokyo"]]
    index.delete_ref_doc("cat", delete_from_docstore=True)
    index.delete_ref_doc("no such document", delete_from_docstore=True)
    asyncio.run(index.adelete_ref_doc("fuji", delete_from_docstore=True))
    assert texts_of(store) == {TEXTS["tokyo"]}
    assert set(index.ref_doc_info) == {"tokyo"}
    calls: list[Callable[[], object]] = [
        lambda: index.insert_nodes([TextNode(text="犬")], shard="a"),
        lambda: asyncio.run(index.ainsert_nodes([TextNode(text="犬")], shard="a")),
        lambda: index.delete_ref_doc("tokyo", shard="a"),
        lambda: index.delete_nodes(["a"], shard="a"),
        lambda: index.update_ref_doc(Document(id_="tokyo", text="犬"), delete_kwargs={"shard": "a"}),
    ]
    for call in calls:
        with pytest.raises(InputError, match="takes no shard"):
            call()
    assert texts_of(store) == {TEXTS["tokyo"]}


def test_arguments_of_a_retriever(lexical: JaColBERTVectorStore) -> None:
    lexical.add(nodes())
    index = lexical.as_index()

    def found(query: str = QUESTION, **arguments: Any) -> list[str]:
        retriever = index.as_retriever(**{"similarity_top_k": 3, **arguments})
        answer = [node.node_id for node in retriever.retrieve(query)]
        assert [node.node_id for node in asyncio.run(retriever.aretrieve(query))] == answer
        return answer

    assert found()[0] == "tokyo"
    assert found(filters=only("kind", "animal")) == ["cat"]
    assert found(doc_ids=["cat"]) == ["cat"]
    assert found(node_ids=["fuji"]) == ["fuji"]
    assert found("富士山", vector_store_query_mode="text_search") == ["fuji"]
    mixed: dict[str, Any] = {"vector_store_query_mode": "hybrid", "similarity_top_k": 2, "sparse_top_k": 2}
    assert len(found("猫", alpha=1.0, hybrid_top_k=1, **mixed)) == 1
    assert found("猫", alpha=0.0, hybrid_top_k=1, **mixed) == ["cat"]
    assert len(found(vector_store_query_mode="mmr", vector_store_kwargs={"mmr_threshold": 0.0})) == 3
    with pytest.raises(InputError, match="no option"):
        found(vector_store_kwargs={"mmr": 0.0})
    with pytest.raises(InputError, match="top_k is 0"):
        found(similarity_top_k=0)


# --- all of LlamaIndex around it ---


def hypothetical() -> HyDEQueryTransform:
    return HyDEQueryTransform(llm=Script(answer="猫は魚や肉を食べる。"), include_original=False)


def test_hyde_reaches_the_store(store: JaColBERTVectorStore, mini: JaColBERT) -> None:
    """What a language model imagines as the answer is searched by, on LlamaIndex's own way and in the loop."""
    store.add(nodes())
    index = store.as_index()
    engine = RetrieverQueryEngine.from_args(index.as_retriever(similarity_top_k=1), llm=MockLLM())
    asked = TransformQueryEngine(engine, hypothetical())
    for answer in (asked.query(QUESTION), asyncio.run(asked.aquery(QUESTION))):
        assert [node.node.node_id for node in answer.source_nodes] == ["cat"]
    both = QueryBundle(QUESTION, custom_embedding_strs=["猫は魚を食べる。", QUESTION, " "])
    embedded = [node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes()]
    expected = mini.score(["猫は魚を食べる。", QUESTION], embedded).mean(axis=0)
    scores = {n.node_id: n.get_score() for n in index.as_retriever(similarity_top_k=3).retrieve(both)}
    np.testing.assert_allclose([scores[node.node_id] for node in nodes()], expected, atol=2e-2)


def test_index_nodes_beside_text_nodes(memory: JaColBERTVectorStore) -> None:
    page = TextNode(id_="page", text="犬は忠実な動物である。")
    index = memory.as_index()
    index.insert_nodes([*nodes(), IndexNode(id_="dogs", text="犬について", index_id="page", obj=page)])
    retriever = index.as_retriever(similarity_top_k=1)
    assert [node.text for node in retriever.retrieve("犬")] == [page.text]
    assert [node.text for node in retriever.retrieve(QUESTION)] == [TEXTS["tokyo"]]
    assert [node.text for node in asyncio.run(retriever.aretrieve(QUESTION))] == [TEXTS["tokyo"]]


def test_a_language_model_that_makes_filters(memory: JaColBERTVectorStore) -> None:
    memory.add(nodes())
    spec = (
        '```json\n{"query": "日本", "filters": [{"key": "kind", "operator": "==", "value": "animal"}], "top_k": 2}\n```'
    )
    retriever = VectorIndexAutoRetriever(
        memory.as_index(),
        vector_store_info=VectorStoreInfo(
            content_info="文", metadata_info=[MetadataInfo(name="kind", type="str", description="animal or place")]
        ),
        llm=Script(answer=spec),
    )
    assert [node.node_id for node in retriever.retrieve("日本の動物")] == ["cat"]
    assert [node.node_id for node in asyncio.run(retriever.aretrieve("日本の動物"))] == ["cat"]


def test_fusion_of_its_own_retrievers(lexical: JaColBERTVectorStore) -> None:
    lexical.add(nodes())
    index = lexical.as_index()
    fusion = QueryFusionRetriever(
        [index.as_retriever(similarity_top_k=2), index.as_retriever(vector_store_query_mode="text_search")],
        llm=Script(answer="猫は何を食べるか\n東京の人口"),
        num_queries=3,
        similarity_top_k=2,
        mode="reciprocal_rerank",  # type: ignore[arg-type]
    )
    assert {node.node_id for node in fusion.retrieve(QUESTION)} <= set(TEXTS)
    assert {node.node_id for node in asyncio.run(fusion.aretrieve(QUESTION))} == {"tokyo", "cat"}


def test_evaluation_of_its_retriever(memory: JaColBERTVectorStore) -> None:
    memory.add(nodes())
    evaluator = RetrieverEvaluator.from_metric_names(
        ["mrr", "hit_rate"], retriever=memory.as_index().as_retriever(similarity_top_k=2)
    )
    assert evaluator.evaluate(QUESTION, ["tokyo"]).metric_vals_dict == {"mrr": 1.0, "hit_rate": 1.0}


def test_memory_of_a_conversation(memory: JaColBERTVectorStore) -> None:
    """A memory block asks the embedding model and the store, and hands on what it gets from the one to the other."""
    block = VectorMemoryBlock(vector_store=memory, embed_model=memory.embed_model, similarity_top_k=1)

    async def talk() -> str:
        await block.aput([ChatMessage(role="user", content="私の猫の名前はタマです。")])
        await block.aput([ChatMessage(role="user", content="東京に住んでいます。")])
        return str(await block.aget([ChatMessage(role="user", content="猫の名前は何ですか。")]))

    assert "タマ" in asyncio.run(talk())


def test_who_computes_with_a_query_s_embedding_is_told(memory: JaColBERTVectorStore) -> None:
    plain = VectorStoreIndex(nodes=nodes(), embed_model=memory.embed_model)  # in a store of single vectors
    with pytest.raises(UnsupportedModeError, match="late interaction has none"):
        plain.as_retriever().retrieve(QUESTION)
    with pytest.raises(UnsupportedModeError, match="late interaction has none"):
        memory.embed_model.similarity(memory.embed_model.get_query_embedding("猫"), [1.0])
    with pytest.raises(UnsupportedModeError, match="late interaction has none"):
        memory.embed_model.get_agg_embedding_from_queries(["猫", "犬"], agg_fn=mean_agg)
    with pytest.raises(UnsupportedModeError, match="late interaction has none"):
        np.array(memory.embed_model.get_agg_embedding_from_queries(["猫", "犬"]))


def test_who_asks_without_the_text_is_told(memory: JaColBERTVectorStore) -> None:
    summaries = DocumentSummaryIndex.from_documents(
        documents(),
        llm=MockLLM(),
        storage_context=StorageContext.from_defaults(vector_store=memory),
        embed_model=memory.embed_model,
    )
    assert memory.store.count() == 3
    with pytest.raises(InputError, match="the query has no text"):
        summaries.as_retriever(retriever_mode="embedding").retrieve(QUESTION)


def test_objects(memory: JaColBERTVectorStore) -> None:
    index = ObjectIndex.from_objects(
        list(TEXTS.values()),
        storage_context=StorageContext.from_defaults(vector_store=memory),
        embed_model=memory.embed_model,
    )
    assert index.as_retriever(similarity_top_k=1).retrieve(QUESTION) == [TEXTS["tokyo"]]


def test_spans_and_events_are_those_of_llama_index(memory: JaColBERTVectorStore) -> None:
    memory.add(nodes())
    plain = VectorStoreIndex.from_vector_store(memory, embed_model=memory.embed_model)
    dispatcher = get_dispatcher()
    for how in ("retrieve", "aretrieve"):
        seen = []
        for index in (plain, memory.as_index()):
            spans, events = SimpleSpanHandler(), Events()
            dispatcher.add_span_handler(spans)
            dispatcher.add_event_handler(events)
            try:
                found = getattr(index.as_retriever(), how)(QUESTION)
                if how == "aretrieve":
                    asyncio.run(found)
            finally:
                dispatcher.span_handlers.remove(spans)
                dispatcher.event_handlers.remove(events)
            names = [span.id_.split("-")[0].split(".")[-1] for span in spans.completed_spans]
            seen.append((names, events.names))
        assert seen[0] == seen[1]
        assert seen[0][1] == ["RetrievalStartEvent", "RetrievalEndEvent"]


# --- pipelines ---


def test_a_pipeline_of_two_processes(memory: JaColBERTVectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """LlamaIndex's own splitter counts with tiktoken, which downloads its vocabulary anew in each process.

    Where it cannot, the pool starts processes for ever. So they are told where LlamaIndex has a copy.
    """
    copy = Path(llama_index.core.__file__).parent / "_static" / "tiktoken_cache"
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(copy))
    monkeypatch.setattr(multiprocessing, "cpu_count", lambda: 2)  # LlamaIndex uses no more than there are
    ingest = IngestionPipeline(
        transformations=[SentenceSplitter(), memory.embed_model],
        vector_store=memory,
        docstore=SimpleDocumentStore(),
    )
    ingest.run(documents=documents(), num_workers=2)
    assert texts_of(memory) == set(TEXTS.values())
    memory.clear()
    again = IngestionPipeline(transformations=ingest.transformations, vector_store=memory, cache=ingest.cache)
    again.run(documents=documents())
    assert texts_of(memory) == set(TEXTS.values())


def test_a_pipeline_that_is_persisted(memory: JaColBERTVectorStore, tmp_path: Path) -> None:
    def made() -> IngestionPipeline:
        return IngestionPipeline(
            transformations=[SentenceSplitter(), memory.embed_model],
            vector_store=memory,
            docstore=SimpleDocumentStore(),
        )

    first, second = made(), made()
    first.run(documents=documents())
    first.persist(str(tmp_path))
    second.load(str(tmp_path))
    assert list(second.run(documents=documents())) == []
    assert len(asyncio.run(second.arun(documents=[Document(id_="cat", text="猫は寝る。")]))) == 1
    assert texts_of(memory) == {TEXTS["tokyo"], TEXTS["fuji"], "猫は寝る。"}


# --- persistence ---


def test_an_index_that_knows_the_documents_of_an_earlier_one(memory: JaColBERTVectorStore, tmp_path: Path) -> None:
    index = VectorStoreIndex.from_documents(
        documents(),
        storage_context=StorageContext.from_defaults(vector_store=memory),
        embed_model=memory.embed_model,
    )
    index.storage_context.persist(tmp_path)
    opened = JaColBERTVectorStore.from_persist_dir(tmp_path)
    context = StorageContext.from_defaults(vector_store=opened, persist_dir=str(tmp_path))
    again = opened.as_index(storage_context=context)
    changed = [*documents()[:2], Document(id_="cat", text="猫は寝る。")]
    assert again.refresh_ref_docs(changed) == [False, False, True]
    assert texts_of(opened) == {TEXTS["tokyo"], TEXTS["fuji"], "猫は寝る。"}
    with pytest.raises(InputError, match="the storage context has another vector store"):
        memory.as_index(storage_context=context)


def test_a_memory_store_that_was_handed_in_is_written_too(mini: JaColBERT, tmp_path: Path) -> None:
    store = JaColBERTVectorStore(mini, MemoryStore())
    store.add(nodes())
    assert texts_of(pickle.loads(pickle.dumps(store))) == set(TEXTS.values())
    store.persist(str(tmp_path / "nodes.json"))
    assert texts_of(JaColBERTVectorStore.from_persist_path(str(tmp_path / "nodes.json"))) == set(TEXTS.values())


def test_a_persisted_memory_of_another_model(memory: JaColBERTVectorStore, tmp_path: Path) -> None:
    memory.add(nodes())
    path = str(tmp_path / "nodes.json")
    memory.persist(path)
    file = tmp_path / "nodes.jacolbert" / "vector_store.json"
    said = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(
        json.dumps({**said, "model": str(STANFORD), "fingerprint": None, "configuration": None}), encoding="utf-8"
    )
    other = JaColBERTVectorStore.from_persist_path(path)
    with pytest.raises(ModelMismatchError, match="was made by the model 'jacolbert-mini'"):
        other.query(VectorStoreQuery(query_str=QUESTION))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no valid JSON"),
        ("[]", "describes no JaColBERTVectorStore"),
        ("{}", "describes no JaColBERTVectorStore"),
    ],
)
def test_a_broken_description(memory: JaColBERTVectorStore, tmp_path: Path, content: str, message: str) -> None:
    path = str(tmp_path / "nodes.json")
    memory.persist(path)
    (tmp_path / "nodes.jacolbert" / "vector_store.json").write_text(content, encoding="utf-8")
    with pytest.raises(StoreFileError, match=message):
        JaColBERTVectorStore.from_persist_path(path)


BAD: dict[str, dict[str, Any]] = {
    "a surrogate": {"text": "猫\ud842である。"},
    "nothing": {"text": "　"},
    "too deep": {"text": "猫である。", "metadata": {"a": json.loads("[" * 120 + "]" * 120)}},
    "too large": {"text": "猫である。", "metadata": {"n": 1 << 64}},
    "not JSON": {"text": "猫である。", "metadata": {"n": object()}},
    "our key": {"text": "猫である。", "metadata": {"_jacolbert_id": 1}},
    "no id": {"text": "猫である。", "id_": ""},
    "a surrogate in the id": {"text": "猫である。", "id_": "\ud842"},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_one_bad_node_is_reported_and_the_others_are_written(mini: JaColBERT, bad: dict[str, Any]) -> None:
    store = JaColBERTVectorStore(mini)
    beside = TextNode(id_="beside", text="その隣である。", relationships=of_document("spoiled"))
    spoiled = TextNode(**{"id_": "bad", "relationships": of_document("spoiled"), **bad})
    with pytest.raises(InputError, match=r"2 of \d nodes were not written, the others were. 1 cannot be kept"):
        store.as_index().insert_nodes([nodes()[0], beside, spoiled, *nodes()[1:]])
    assert ids_of(store) == sorted(TEXTS)
    with pytest.raises(InputError):  # none can be kept
        store.add([spoiled])


def test_a_document_with_a_bad_node_stays_as_it_was(mini: JaColBERT) -> None:
    store = JaColBERTVectorStore(mini)
    index = store.as_index()
    for name in ("cat", "dog"):
        index.insert(Document(id_=name, text=f"{name}の古い文である。"))
    good = Document(id_="dog", text="dogの新しい文である。")
    bad = Document(id_="cat", text="catの新しい文である。", metadata={"n": 1 << 64})
    pipeline = IngestionPipeline(vector_store=store, transformations=[store.embed_model])
    for name in ("cat", "dog"):
        store.delete(name)  # as a pipeline does of what it updates
    with pytest.raises(InputError, match="others were"):
        pipeline.run(documents=[bad, good])
    assert texts_of(store) == {"catの古い文である。", "dogの新しい文である。"}


def test_a_writer_can_be_told_of_bad_nodes(mini: JaColBERT) -> None:
    strange = TextNode(id_="bad", text="猫", metadata={"n": object()})
    told: list[tuple[str, str]] = []
    found = to_documents([strange, *nodes()], bad=lambda name, reason: told.append((name, reason)))
    assert [document.id for document in found] == list(TEXTS)
    ((name, reason),) = told
    assert (name, "cannot be written as JSON" in reason) == ("bad", True)
    with pytest.raises(InputError, match="cannot be written as JSON"):
        list(to_documents([strange]))
