"""The retriever among LlamaIndex's own retrievers, many queries at once, and what it says of its nodes."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core import QueryBundle, StorageContext
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, LlamaDebugHandler
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import HierarchicalNodeParser, get_leaf_nodes
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import (
    AutoMergingRetriever,
    QueryFusionRetriever,
    RecursiveRetriever,
    RouterRetriever,
    TransformRetriever,
)
from llama_index.core.retrievers.fusion_retriever import FUSION_MODES
from llama_index.core.schema import Document, IndexNode, MetadataMode, NodeWithScore, TextNode
from llama_index.core.tools import RetrieverTool
from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters
from llama_index.core.workflow import Event, StartEvent, StopEvent, Workflow, step
from qdrant_client import QdrantClient

from jacolbert_integrations import (
    EdgeStore,
    JaColBERT,
    JaColBERTRerank,
    JaColBERTRetriever,
    MemoryStore,
    MultiVectorStore,
    QdrantStore,
    Query,
)
from jacolbert_integrations.errors import InputError, ModelMismatchError, StoreError
from jacolbert_integrations.llama_index import ScoredNode, to_documents
from jacolbert_integrations.qdrant import Lexical, QdrantWriter
from jacolbert_integrations.types import Hits

from ...conftest import PATIENCE
from ...server import WAYS, opened
from ...waiting import FreeLoop
from ..stand_ins import BySubject

TEXTS = {
    "tokyo": "東京は日本の首都であり、人口は約千四百万人である。",
    "fuji": "富士山は静岡県と山梨県にまたがる日本で一番高い山である。",
    "kyoto": "京都は平安京が置かれた古い都である。",
    "cat": "猫は魚や肉を食べる小さな動物である。",
}
QUESTIONS = ["日本の首都はどこですか。", "日本で一番高い山は？", "猫は何を食べますか。"]
ANSWERS = ["tokyo", "fuji", "cat"]


def make_nodes() -> list[TextNode]:
    return [TextNode(id_=name, text=text, metadata={"name": name}) for name, text in TEXTS.items()]


class OneByOne(MemoryStore):
    """Counts what it is asked; its searches are one query each."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def search(self, query: Query, *, top_k: int, filter: object | None = None) -> Hits:
        self.asked += 1
        return super().search(query, top_k=top_k, filter=filter)


@pytest.fixture(params=["memory", "qdrant", *WAYS])
def store(request: pytest.FixtureRequest) -> Iterator[MultiVectorStore]:
    if request.param == "memory":
        yield OneByOne()
        return
    if request.param in WAYS:
        with opened(request.param) as server:
            yield QdrantStore(server, "nodes")
        return
    client = QdrantClient(":memory:")
    yield QdrantStore(client, "nodes")
    client.close()


@pytest.fixture
def retriever(store: MultiVectorStore, mini: JaColBERT) -> JaColBERTRetriever:
    return JaColBERTRetriever.from_nodes(make_nodes(), mini, store=store, similarity_top_k=3)


@pytest.fixture
def in_memory(mini: JaColBERT) -> JaColBERTRetriever:
    return JaColBERTRetriever.from_nodes(make_nodes(), mini, similarity_top_k=3)


class ByWord(BaseRetriever):
    """Finds the nodes that hold the query: somebody else's retriever, over the same nodes."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=n, score=0.5) for n in make_nodes() if query_bundle.query_str in n.text]


def assert_same(found: Sequence[NodeWithScore], expected: Sequence[NodeWithScore]) -> None:
    assert [node.node_id for node in found] == [node.node_id for node in expected]
    np.testing.assert_allclose([n.get_score() for n in found], [n.get_score() for n in expected], atol=1e-4)


# Among LlamaIndex's own retrievers


@pytest.mark.parametrize("way", ["in turn", "at once", "async"])
@pytest.mark.parametrize("mode", list(FUSION_MODES))
def test_fusion_knows_a_node_that_another_retriever_found_too(
    retriever: JaColBERTRetriever, mode: FUSION_MODES, way: str
) -> None:
    fusion = QueryFusionRetriever(
        [retriever, ByWord()], llm=MockLLM(), mode=mode, num_queries=1, similarity_top_k=10, use_async=way == "at once"
    )
    found = asyncio.run(fusion.aretrieve("富士山")) if way == "async" else fusion.retrieve("富士山")
    ids = [node.node_id for node in found]
    assert ids[0] == "fuji"
    assert len(ids) == len(set(ids)) == 3


def test_fusion_of_generated_queries_keeps_the_maxsim(retriever: JaColBERTRetriever) -> None:
    fusion = QueryFusionRetriever(
        [retriever],
        llm=MockLLM(),
        mode=FUSION_MODES.RECIPROCAL_RANK,
        num_queries=2,
        similarity_top_k=3,
        use_async=False,
    )
    found = fusion.retrieve(QUESTIONS[0])
    for node in found:
        assert isinstance(node, ScoredNode)
        assert node.get_score() < 0.1 < node.provenance.score  # reciprocal ranks, and MaxSim


def test_router(mini: JaColBERT) -> None:
    nodes = make_nodes()
    tools = [
        RetrieverTool.from_defaults(JaColBERTRetriever.from_nodes(part, mini), description=word)
        for word, part in (("山", nodes[:2]), ("猫", nodes[2:]))
    ]
    router = RouterRetriever(BySubject(), tools, llm=MockLLM())
    assert {n.node_id for n in router.retrieve("高い山は？")} == {"tokyo", "fuji"}
    assert {n.node_id for n in asyncio.run(router.aretrieve("猫は？"))} == {"cat", "kyoto"}
    assert tools[0].call("高い山は？").raw_output[0].node_id == "fuji"


def test_auto_merging(store: MultiVectorStore, mini: JaColBERT) -> None:
    text = "".join(f"富士山の{i}合目には山小屋がある。" for i in range(1, 9))
    documents = [Document(text=text, id_="mountain"), Document(text=TEXTS["cat"], id_="animal")]
    nodes = HierarchicalNodeParser.from_defaults(chunk_sizes=[512, 48], chunk_overlap=0).get_nodes_from_documents(
        documents
    )
    storage = StorageContext.from_defaults()
    storage.docstore.add_documents(nodes)
    leaves = get_leaf_nodes(nodes)
    retriever = JaColBERTRetriever.from_nodes(leaves, mini, store=store, similarity_top_k=len(leaves) - 1)
    merging = AutoMergingRetriever(retriever, storage)  # type: ignore[arg-type]  # asks for a class, needs a method
    found = merging.retrieve("富士山の山小屋")
    assert len(found) < len(retriever.retrieve("富士山の山小屋"))
    assert text in {node.text for node in found}


def test_recursive_and_objects(store: MultiVectorStore, mini: JaColBERT) -> None:
    nodes = make_nodes()
    children = {
        "geography": JaColBERTRetriever.from_nodes(nodes[:3], mini, similarity_top_k=1),
        "animals": JaColBERTRetriever.from_nodes(nodes[3:], mini, similarity_top_k=1),
    }
    roots = [
        IndexNode(text="日本の山や都市について", index_id="geography", id_="g"),
        IndexNode(text="動物の食べ物について", index_id="animals", id_="a"),
    ]
    root = JaColBERTRetriever.from_nodes(roots, mini, store=store, similarity_top_k=1)
    recursive = RecursiveRetriever("root", {"root": root, **children})
    assert [n.node_id for n in recursive.retrieve("動物は何を食べるか")] == ["cat"]
    with_objects = JaColBERTRetriever(store, mini, similarity_top_k=1, object_map=dict(children))
    assert [n.node_id for n in with_objects.retrieve("日本で一番高い山")] == ["fuji"]
    batch = ["日本で一番高い山", "動物は何を食べるか"]
    assert [[n.node_id for n in own] for own in with_objects.retrieve_batch(batch)] == [["fuji"], ["cat"]]
    assert asyncio.run(with_objects.aretrieve_batch(batch))[1][0].node_id == "cat"
    with pytest.raises(InputError, match="has 2 objects"):
        with_objects.to_dict()


def test_index_nodes_lead_to_what_no_store_can_keep(store: MultiVectorStore, mini: JaColBERT) -> None:
    animals = JaColBERTRetriever.from_nodes(make_nodes()[3:], mini)
    capital = RetrieverQueryEngine.from_args(JaColBERTRetriever.from_nodes(make_nodes()[:1], mini), llm=MockLLM())
    roots = [
        IndexNode(id_="a", text="動物の食べ物について", index_id="animals", obj=animals),
        IndexNode(id_="c", text="日本の首都について", index_id="capital", obj=capital),
        IndexNode(id_="m", text="山の高さについて", index_id="mountain", obj=TextNode(id_="fuji", text="富士山")),
        IndexNode(id_="s", text="点数について", index_id="s", obj=NodeWithScore(node=TextNode(id_="x"), score=9.0)),
        IndexNode(id_="n", text="何もない", index_id="nothing"),
    ]
    handed_in = {"nothing": None}
    retriever = JaColBERTRetriever.from_nodes(roots, mini, store=store, similarity_top_k=1, object_map=handed_in)
    assert set(retriever.object_map) == {"animals", "capital", "s", "nothing"}
    assert set(handed_in) == {"nothing"}
    assert [node.obj for node in roots[:2]] == [animals, capital]  # what is handed in stays as it is
    queries = [node.text for node in roots]
    expected = retriever.retrieve_batch(queries)
    assert [own[0].node_id for own in expected[::2]] == ["cat", "fuji", "n"]
    assert TEXTS["tokyo"] in expected[1][0].text
    assert (expected[3][0].node_id, expected[3][0].score) == ("x", 9.0)
    for query, own in zip(queries, expected, strict=True):
        for found in (retriever.retrieve(query), asyncio.run(retriever.aretrieve(query))):
            assert [n.text for n in found] == [n.text for n in own]


def test_a_node_that_cannot_be_written_leaves_no_object(store: MultiVectorStore, mini: JaColBERT) -> None:
    retriever = JaColBERTRetriever(store, mini)
    root = IndexNode(text="山", index_id="r", obj=retriever)
    with pytest.raises(InputError, match="have no text"):
        retriever.insert_nodes([root, TextNode(text="")])
    assert (retriever.object_map, store.count()) == ({}, 0)
    asyncio.run(retriever.ainsert_nodes([root]))
    assert (retriever.object_map, store.count()) == ({"r": retriever}, 1)


def test_transform_ranks_by_the_mean_over_its_texts(retriever: JaColBERTRetriever, mini: JaColBERT) -> None:
    hyde = HyDEQueryTransform(llm=MockLLM(), include_original=True)
    assert len(TransformRetriever(retriever, hyde).retrieve(QUESTIONS[1])) == 3
    texts = ["日本で一番高い山", "静岡県の山", " "]
    found = retriever.retrieve(QueryBundle("山", custom_embedding_strs=texts))
    documents = {n.node_id: n.get_content(metadata_mode=MetadataMode.EMBED) for n in make_nodes()}
    for node in found:
        expected = mini.score(texts[:2], [documents[node.node_id]]).mean()
        np.testing.assert_allclose(node.get_score(), expected, atol=1e-4)


# Many queries


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_batch_is_as_its_queries(retriever: JaColBERTRetriever, asynchronous: bool) -> None:
    queries: list[str | QueryBundle] = [QUESTIONS[0], QueryBundle(QUESTIONS[1]), QUESTIONS[2], QUESTIONS[0]]
    found = asyncio.run(retriever.aretrieve_batch(queries)) if asynchronous else retriever.retrieve_batch(queries)
    for own, query in zip(found, queries, strict=True):
        assert_same(own, retriever.retrieve(query))
    assert [own[0].node_id for own in found] == [*ANSWERS, "tokyo"]
    assert retriever.retrieve_batch([]) == []


def test_a_batch_is_one_request(retriever: JaColBERTRetriever, monkeypatch: pytest.MonkeyPatch) -> None:
    store = retriever.store
    if isinstance(store, OneByOne):
        retriever.retrieve_batch(QUESTIONS)
        assert store.asked == 3
        return
    asked: list[int] = []
    real = QdrantStore.search_batch

    def recording(self: QdrantStore, queries: Sequence[Query], **kwargs: Any) -> Any:
        asked.append(len(queries))
        return real(self, queries, **kwargs)

    monkeypatch.setattr(QdrantStore, "search_batch", recording)
    retriever.filters = MetadataFilters(filters=[MetadataFilter(key="name", value="cat", operator=FilterOperator.NE)])
    assert [own[0].node_id for own in retriever.retrieve_batch(QUESTIONS)][:2] == ["tokyo", "fuji"]
    assert asked == [3]


def test_a_batch_has_the_events_of_its_queries(in_memory: JaColBERTRetriever, events: list[BaseEvent]) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    in_memory.callback_manager = CallbackManager([debug])
    found = in_memory.retrieve_batch(QUESTIONS)
    kinds = [type(event).__name__ for event in events if "Retrieval" in type(event).__name__]
    assert kinds == ["RetrievalStartEvent"] * 3 + ["RetrievalEndEvent"] * 3
    assert all(event.span_id and event.span_id.startswith("JaColBERTRetriever.retrieve_batch") for event in events)
    pairs = debug.get_event_pairs(CBEventType.RETRIEVE)
    assert [(pair[0].payload or {})[EventPayload.QUERY_STR] for pair in pairs] == QUESTIONS
    assert [(pair[1].payload or {})[EventPayload.NODES] for pair in pairs] == found
    assert len(next(iter(in_memory.callback_manager.trace_map.values()))) == 3  # side by side, none inside another


def test_a_failing_batch_ends_its_callbacks(in_memory: JaColBERTRetriever) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    in_memory.callback_manager = CallbackManager([debug])
    in_memory.filters = 3
    with pytest.raises(StoreError):
        in_memory.retrieve_batch(QUESTIONS)
    for pair in debug.get_event_pairs(CBEventType.RETRIEVE):
        assert isinstance((pair[1].payload or {})[EventPayload.EXCEPTION], StoreError)
    in_memory.filters = None
    assert len(in_memory.retrieve_batch(QUESTIONS)) == 3


# What a node's score comes from


def test_a_threshold(retriever: JaColBERTRetriever) -> None:
    best, second, _ = retriever.retrieve(QUESTIONS[0])
    retriever.score_threshold = second.get_score()
    assert [n.node_id for n in retriever.retrieve(QUESTIONS[0])] == [best.node_id, second.node_id]
    retriever.score_threshold = best.get_score() + 1
    assert retriever.retrieve(QUESTIONS[0]) == []
    assert retriever.retrieve_batch(QUESTIONS[:1]) == [[]]
    for bad in ("3", float("nan"), True):
        with pytest.raises(InputError, match="score_threshold is"):
            retriever.score_threshold = bad  # type: ignore[assignment]


def test_a_threshold_is_of_the_mean_over_texts(in_memory: JaColBERTRetriever) -> None:
    asked = QueryBundle("首都", custom_embedding_strs=[QUESTIONS[0], "東京の人口"])
    best, second, _ = in_memory.retrieve(asked)
    in_memory.score_threshold = (best.get_score() + second.get_score()) / 2
    assert [node.node_id for node in in_memory.retrieve(asked)] == [best.node_id]
    assert [[node.node_id for node in own] for own in in_memory.retrieve_batch([asked])] == [[best.node_id]]


def test_provenance_is_beside_the_node(retriever: JaColBERTRetriever, mini: JaColBERT) -> None:
    original = {node.node_id: node for node in make_nodes()}
    for node in retriever.retrieve(QUESTIONS[0]):
        assert isinstance(node, ScoredNode)
        assert node.node.metadata == original[node.node_id].metadata
        assert node.node.hash == original[node.node_id].hash
        assert node.node.get_content(MetadataMode.ALL) == original[node.node_id].get_content(MetadataMode.ALL)
        said = node.provenance
        assert (said.step, said.score, said.score_kind, said.approximate) == ("retrieve", node.score, "maxsim", False)
        assert (said.model, said.fingerprint) == (mini.name, mini.fingerprint)
        assert said.collection == ("OneByOne" if isinstance(retriever.store, MemoryStore) else "nodes")
        for again in (ScoredNode.from_json(node.to_json()), ScoredNode.model_validate_json(node.model_dump_json())):
            assert again == node
        assert pickle.loads(pickle.dumps(node)) == node


def test_candidates_of_a_first_stage_are_said_to_be_approximate(mini: JaColBERT) -> None:
    client = QdrantClient(":memory:")
    store = QdrantStore(client, "words", first_stage=Lexical())
    retriever = JaColBERTRetriever.from_nodes(make_nodes(), mini, store=store)
    for found in (retriever.retrieve(QUESTIONS[0]), *retriever.retrieve_batch(QUESTIONS)):
        assert all(isinstance(node, ScoredNode) and node.provenance.approximate for node in found)
    client.close()


def test_a_node_that_was_written_in_windows_comes_once(mini: JaColBERT) -> None:
    filler = "この文は長さのためだけにある。" * 70
    long = TextNode(id_="long", text=filler + TEXTS["fuji"] + filler, metadata={"title": "山"})
    client = QdrantClient(":memory:")
    store = QdrantStore(client, "windows")
    QdrantWriter(store, mini, too_long="split").write(to_documents([long, *make_nodes()[2:]]))
    assert store.count() > 4
    retriever = JaColBERTRetriever(store, mini, similarity_top_k=3)
    for found in (retriever.retrieve(QUESTIONS[1]), *retriever.retrieve_batch(QUESTIONS)):
        assert {node.node_id for node in found} == {"long", "kyoto", "cat"}
    best = retriever.retrieve(QUESTIONS[1])[0]
    assert isinstance(best, ScoredNode)
    assert TEXTS["fuji"] in best.best_window != best.text
    assert best.text == long.text
    client.close()


def test_a_filter_holds_for_further_windows(mini: JaColBERT) -> None:
    """Where windows of one node come first, more points are asked for, of the same filter."""
    long = TextNode(id_="long", text=TEXTS["fuji"] * 80, metadata={"kind": "a"})
    short = TextNode(id_="short", text=TEXTS["cat"], metadata={"kind": "a"})
    others = [TextNode(id_=f"o{i}", text=TEXTS["fuji"], metadata={"kind": "b"}) for i in range(3)]
    filters = MetadataFilters(filters=[MetadataFilter(key="kind", value="a")])
    retriever = JaColBERTRetriever.from_nodes([long, short, *others], mini, similarity_top_k=2, filters=filters)
    for found in (retriever.retrieve(QUESTIONS[1]), *retriever.retrieve_batch([QUESTIONS[1], "富士山"])):
        assert [node.node_id for node in found] == ["long", "short"]


def test_provenance_reaches_the_response_and_not_the_prompt(in_memory: JaColBERTRetriever, mini: JaColBERT) -> None:
    rerank = JaColBERTRerank(mini, top_n=1)
    engine = RetrieverQueryEngine.from_args(in_memory, llm=MockLLM(), node_postprocessors=[rerank])
    response = engine.query(QUESTIONS[0])
    (source,) = response.source_nodes
    assert isinstance(source, ScoredNode)
    assert source.provenance.step == "rerank"
    assert source.provenance.previous is not None
    assert source.provenance.previous.collection == "MemoryStore"
    assert mini.fingerprint not in str(response)  # MockLLM repeats its prompt
    assert "maxsim" not in str(response)


# Serialisation


def test_a_description_makes_the_same_retriever(retriever: JaColBERTRetriever, mini: JaColBERT) -> None:
    retriever.filters = MetadataFilters(
        filters=[
            MetadataFilter(key="name", value="cat", operator=FilterOperator.NE),
            MetadataFilters(filters=[MetadataFilter(key="name", value=["fuji", "tokyo"], operator=FilterOperator.IN)]),
        ]
    )
    retriever.score_threshold = -100.0
    data = json.loads(json.dumps(retriever.to_dict()))
    assert data["class_name"] == JaColBERTRetriever.class_name() == "JaColBERTRetriever"
    again = JaColBERTRetriever.from_dict(data, retriever.store)
    assert again.to_dict() == retriever.to_dict()
    assert_same(again.retrieve(QUESTIONS[0]), retriever.retrieve(QUESTIONS[0]))
    assert JaColBERTRetriever.from_dict(data, retriever.store, model=mini).model is mini
    retriever.filters = object()
    with pytest.raises(InputError, match="filters is a object, which only its store understands"):
        retriever.to_dict()
    descriptions: list[Any] = [{"model": {}}, {**data, "model": {"model": "m", "token": "t"}}, None]
    for bad in descriptions:
        with pytest.raises(InputError, match="no description of a JaColBERTRetriever"):
            JaColBERTRetriever.from_dict(bad, retriever.store)
    with pytest.raises(InputError, match="a description holds no nodes"):
        JaColBERTRetriever.from_dict(data)


@pytest.mark.parametrize(
    ("name", "told"), [("fingerprint", "holds other weights now"), ("configuration", "has another tokenizer")]
)
def test_a_description_names_the_weights_and_settings(in_memory: JaColBERTRetriever, name: str, told: str) -> None:
    data = in_memory.to_dict()
    data["model"][name] = "0" * 64
    with pytest.raises(ModelMismatchError, match=f"'jacolbert-mini' {told}"):
        JaColBERTRetriever.from_dict(data, MemoryStore())


def test_pickling(in_memory: JaColBERTRetriever) -> None:
    in_memory.similarity_top_k = 2
    again = pickle.loads(pickle.dumps(in_memory))
    assert again.similarity_top_k == 2
    assert again.model is not in_memory.model
    assert_same(again.retrieve(QUESTIONS[0]), in_memory.retrieve(QUESTIONS[0]))


def test_a_connection_is_not_pickled_with_its_key(mini: JaColBERT) -> None:
    key = "a-very-secret-key"
    client = QdrantClient(url="https://localhost:1", api_key=key, check_compatibility=False)
    retriever = JaColBERTRetriever.from_nodes(make_nodes(), mini)
    retriever._store = QdrantStore(client, "nodes")
    with pytest.raises(StoreError, match=r"cannot be pickled.*Send retriever\.to_dict\(\) instead"):
        pickle.dumps(retriever)
    assert key not in json.dumps(retriever.to_dict())
    client.close()


# Bad input


@pytest.mark.parametrize("query", ["", " \n　", QueryBundle(""), QueryBundle("山", custom_embedding_strs=[""])])
def test_an_empty_query_is_an_error_and_nothing_is_asked(in_memory: JaColBERTRetriever, query: Any) -> None:
    store = in_memory._store = OneByOne()
    with pytest.raises(InputError, match="the query has no text"):
        in_memory.retrieve(query)
    with pytest.raises(InputError, match="query 2 of 2 has no text"):
        in_memory.retrieve_batch(["山", query])
    with pytest.raises(InputError, match="query 2 of 2 has no text"):
        asyncio.run(in_memory.aretrieve_batch(["山", query]))
    assert store.asked == 0
    with pytest.raises(InputError, match="expected a list of queries, but got one"):
        in_memory.retrieve_batch("山")


def test_an_empty_store_answers_with_nothing(store: MultiVectorStore, mini: JaColBERT) -> None:
    retriever = JaColBERTRetriever(store, mini)
    assert retriever.retrieve("山") == []
    assert retriever.retrieve_batch(["山", "猫"]) == [[], []]
    retriever.insert_nodes([])
    assert retriever.retrieve("山") == []


def test_a_filter_on_a_key_that_no_node_has(retriever: JaColBERTRetriever) -> None:
    retriever.filters = MetadataFilters(filters=[MetadataFilter(key="missing", value=1)])
    assert retriever.retrieve("山") == []


def test_unusual_metadata(store: MultiVectorStore, mini: JaColBERT) -> None:
    metadata = {"nested": {"a": [1, {"b": None}]}, "絵文字": "🗻", "none": None, "big": 2**53, "list": [True, "x", 1.5]}
    retriever = JaColBERTRetriever.from_nodes([TextNode(text="山", metadata=metadata)], mini, store=store)
    assert retriever.retrieve("山")[0].node.metadata == metadata
    odd = TextNode(id_="odd", text="川", metadata={"nan": float("nan"), "set": {1}, "date": date(2026, 1, 2)})
    retriever.insert_nodes([odd])
    assert retriever.retrieve("川")[0].node.metadata == {"nan": None, "set": [1], "date": "2026-01-02"}
    for value in (object(), b"\xff", np.float32(1)):
        with pytest.raises(InputError, match="the node 'bad' cannot be written as JSON"):
            retriever.insert_nodes([TextNode(text="海"), TextNode(id_="bad", text="川", metadata={"value": value})])
    assert store.count() == 2


def test_a_node_without_an_id(store: MultiVectorStore, mini: JaColBERT) -> None:
    retriever = JaColBERTRetriever(store, mini)
    with pytest.raises(InputError, match="an id is a non-empty string"):
        retriever.insert_nodes([TextNode(text="山"), TextNode(id_="", text="川")])
    assert store.count() == 0


@pytest.mark.parametrize("kind", ["local", "edge"])
def test_a_store_closed_under_the_retriever(kind: str, mini: JaColBERT, tmp_path: Path) -> None:
    client = QdrantClient(":memory:")
    store = QdrantStore(client, "nodes") if kind == "local" else EdgeStore(tmp_path)
    retriever = JaColBERTRetriever.from_nodes(make_nodes(), mini, store=store)
    rerank = JaColBERTRerank(mini, store=store)
    found = retriever.retrieve("山")
    client.close()
    if isinstance(store, EdgeStore):
        store.close()
    for use in (
        lambda: retriever.retrieve("山"),
        lambda: retriever.retrieve_batch(QUESTIONS),
        lambda: asyncio.run(retriever.aretrieve("山")),
        lambda: asyncio.run(retriever.aretrieve_batch(QUESTIONS)),
        lambda: retriever.insert_nodes([TextNode(text="川")]),
        lambda: asyncio.run(retriever.ainsert_nodes([TextNode(text="川")])),
        lambda: JaColBERTRetriever(store, mini),
        lambda: rerank.postprocess_nodes(found, query_str="山"),
    ):
        with pytest.raises(StoreError, match="has been closed"):
            use()


# Beside other tasks


class WaitsForTheLoop(MemoryStore):
    """Answers when as many searches as expected are under way, and the event loop has gone on meanwhile."""

    def __init__(self, searches: int) -> None:
        super().__init__()
        self.loop = FreeLoop()
        self._together = threading.Barrier(searches)

    def search(self, query: Query, *, top_k: int, filter: object | None = None) -> Hits:
        self._together.wait(PATIENCE)
        self.loop.goes_on("search")
        return super().search(query, top_k=top_k, filter=filter)


def test_the_async_query_engine_runs_queries_at_once_and_the_loop_goes_on(mini: JaColBERT) -> None:
    store = WaitsForTheLoop(3)
    retriever = JaColBERTRetriever.from_nodes(make_nodes(), mini, store=store)
    rerank = JaColBERTRerank(mini, top_n=1, store=store)
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM(), node_postprocessors=[rerank])

    async def run() -> list[Any]:
        return list(await asyncio.gather(*(engine.aquery(question) for question in QUESTIONS)))

    responses = store.loop.run(run)
    assert [response.source_nodes[0].node_id for response in responses] == ANSWERS


@pytest.mark.parametrize("kind", ["memory", "local", "edge"])
def test_nodes_are_added_while_queries_are_answered(kind: str, mini: JaColBERT, tmp_path: Path) -> None:
    client = QdrantClient(":memory:")
    stores: dict[str, Callable[[], MultiVectorStore]] = {
        "memory": MemoryStore,
        "local": lambda: QdrantStore(client, "nodes"),
        "edge": lambda: EdgeStore(tmp_path),
    }
    store = stores[kind]()
    retriever = JaColBERTRetriever.from_nodes(make_nodes(), mini, store=store, similarity_top_k=1)
    more = [[TextNode(id_=f"{batch} {i}", text=f"{i}番目の鳥が空を飛ぶ。") for i in range(3)] for batch in range(3)]

    async def run() -> list[Any]:
        queries = [retriever.aretrieve(question) for question in QUESTIONS * 3]
        return list(await asyncio.gather(*queries, *(retriever.ainsert_nodes(nodes) for nodes in more)))

    assert [found[0].node_id for found in asyncio.run(run())[:9]] == ANSWERS * 3
    assert store.count() == len(TEXTS) + 9
    if isinstance(store, EdgeStore):
        store.close()
    client.close()


class Retrieved(Event):
    nodes: list[NodeWithScore]
    query: str


class Answering(Workflow):
    """Retrieves and reranks in two steps."""

    def __init__(self, retriever: JaColBERTRetriever, rerank: JaColBERTRerank) -> None:
        super().__init__(timeout=PATIENCE)
        self.retriever = retriever
        self.reranker = rerank

    @step
    async def retrieve(self, start: StartEvent) -> Retrieved:
        return Retrieved(nodes=await self.retriever.aretrieve(start.query), query=start.query)

    @step
    async def rerank(self, retrieved: Retrieved) -> StopEvent:
        nodes = await self.reranker.apostprocess_nodes(retrieved.nodes, query_str=retrieved.query)
        return StopEvent(result=nodes[0].node_id)


def test_workflows_run_at_once_and_the_loop_goes_on(mini: JaColBERT) -> None:
    store = WaitsForTheLoop(3)
    retriever = JaColBERTRetriever.from_nodes(make_nodes(), mini, store=store)
    workflow = Answering(retriever, JaColBERTRerank(mini, top_n=1))

    async def run() -> list[Any]:
        return list(await asyncio.gather(*(workflow.run(query=question) for question in QUESTIONS)))

    assert store.loop.run(run) == ANSWERS
