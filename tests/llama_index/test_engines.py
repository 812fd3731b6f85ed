"""The retriever and the reranker inside real LlamaIndex engines."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from llama_index.core import Settings
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent, RetrievalStartEvent
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import NodeParser, SentenceSplitter
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import Document, MetadataMode, NodeWithScore, TextNode
from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from qdrant_client import QdrantClient, models

from jacolbert_integrations import (
    JaColBERT,
    JaColBERTRerank,
    JaColBERTRetriever,
    JaColBERTSentenceSplitter,
    JaColBERTVectorStore,
    MemoryStore,
    MultiVectorStore,
    Point,
    QdrantStore,
)
from jacolbert_integrations.encoding.sources import ModelSource
from jacolbert_integrations.errors import InputError, ModelMismatchError, StoreFileError, UnsupportedFilterError
from jacolbert_integrations.llama_index import to_documents
from jacolbert_integrations.qdrant import QdrantWriter, reindex
from jacolbert_integrations.stores.payload_text import payload_text
from jacolbert_integrations.types import TokenVectors

from ..waiting import FreeLoop

TEXTS = {
    "tokyo": ("東京は日本の首都であり、人口は約千四百万人である。", 1868),
    "fuji": ("富士山は静岡県と山梨県にまたがる日本で一番高い山である。", 781),
    "kyoto": ("京都は平安京が置かれた古い都である。", 794),
    "cat": ("猫は魚や肉を食べる小さな動物である。", 0),
}


def make_nodes() -> list[TextNode]:
    return [
        TextNode(id_=name, text=text, metadata={"year": year, "kind": "animal" if name == "cat" else "place"})
        for name, (text, year) in TEXTS.items()
    ]


@pytest.fixture(params=["memory", "qdrant"])
def store(request: pytest.FixtureRequest) -> Iterator[MultiVectorStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    client = QdrantClient(":memory:")
    yield QdrantStore(client, "nodes")
    client.close()


@pytest.fixture
def retriever(store: MultiVectorStore, mini: JaColBERT) -> JaColBERTRetriever:
    return JaColBERTRetriever.from_nodes(make_nodes(), mini, store=store, similarity_top_k=3)


def test_hierarchy() -> None:
    assert BaseRetriever in JaColBERTRetriever.__mro__
    assert BaseNodePostprocessor in JaColBERTRerank.__mro__
    assert JaColBERTRerank.class_name() == "JaColBERTRerank"


def test_retrieves_by_maxsim(retriever: JaColBERTRetriever, mini: JaColBERT) -> None:
    question = "日本の首都はどこですか。"
    found = retriever.retrieve(question)
    assert found[0].node_id == "tokyo"
    assert len(found) == 3
    texts = {node.node_id: node.get_content(metadata_mode=MetadataMode.EMBED) for node in make_nodes()}
    for node in found:
        np.testing.assert_allclose(node.get_score(), mini.score([question], [texts[node.node_id]])[0, 0], atol=1e-4)
        assert node.node.metadata == {"year": TEXTS[node.node_id][1], "kind": node.node.metadata["kind"]}
        assert node.text == TEXTS[node.node_id][0]


def test_an_existing_collection(store: MultiVectorStore, retriever: JaColBERTRetriever, mini: JaColBERT) -> None:
    again = JaColBERTRetriever(store, mini, similarity_top_k=1)
    assert again.store is store
    assert [node.node_id for node in again.retrieve("日本で一番高い山は？")] == ["fuji"]
    again.similarity_top_k = 4
    assert len(again.retrieve("山")) == 4


def test_inserting_a_node_again_replaces_it(retriever: JaColBERTRetriever) -> None:
    retriever.insert_nodes([TextNode(id_="cat", text="犬は散歩が好きな動物である。")])
    assert retriever.store.count() == 4
    retriever.similarity_top_k = 1
    assert retriever.retrieve("犬の散歩")[0].text == "犬は散歩が好きな動物である。"


def test_from_documents_splits_as_it_is_told(mini: JaColBERT) -> None:
    document = Document(text="。".join(text for text, _ in TEXTS.values()) * 3, metadata={"source": "本"}, id_="doc")
    splitter = SentenceSplitter(chunk_size=80, chunk_overlap=0)
    retriever = JaColBERTRetriever.from_documents([document], mini, transformations=[splitter])
    expected = len(splitter.get_nodes_from_documents([document]))
    assert retriever.store.count() == expected > 1
    assert retriever.retrieve("首都")[0].node.ref_doc_id == "doc"
    assert JaColBERTRetriever.from_documents([Document(text="猫")], mini).retrieve("猫")[0].text == "猫"


ARTICLE = Document(text="".join(f"{i}番目の文は猫について述べている。" for i in range(80)), id_="doc")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """LlamaIndex's settings as they are before anything is set or needed."""
    monkeypatch.setattr(Settings, "_transformations", None)
    monkeypatch.setattr(Settings, "_node_parser", None)
    return Settings


def by_retriever(mini: JaColBERT) -> list[str]:
    store = JaColBERTRetriever.from_documents([ARTICLE], mini).store
    return sorted(payload_text(point.payload) for point in store.points())


def by_index(mini: JaColBERT) -> list[str]:
    store = JaColBERTVectorStore(mini)
    store.as_index().insert(ARTICLE)
    return sorted(payload_text(point.payload) for point in store.store.points())


def four_a_character(text: str) -> list[str]:
    return list(text) * 4


def chunks(splitter: NodeParser) -> list[str]:
    return sorted(node.get_content() for node in splitter.get_nodes_from_documents([ARTICLE]))


@pytest.mark.parametrize("way", [by_retriever, by_index])
def test_documents_are_split_as_the_model_reads_them(
    way: Callable[[JaColBERT], list[str]], mini: JaColBERT, settings: Any
) -> None:
    expected = chunks(JaColBERTSentenceSplitter(mini))
    assert all(chunk.endswith("。") for chunk in expected)
    assert way(mini) == expected
    assert settings._transformations is None  # not even LlamaIndex's default was made
    assert settings._node_parser is None
    assert chunks(settings.transformations[0]) != expected  # now it is
    assert way(mini) == expected


@pytest.mark.parametrize("way", [by_retriever, by_index])
@pytest.mark.parametrize("name", ["transformations", "node_parser", "text_splitter", "chunk_size", "tokenizer"])
def test_what_a_user_has_set_is_taken(
    way: Callable[[JaColBERT], list[str]], name: str, mini: JaColBERT, settings: Any
) -> None:
    splitter: NodeParser = SentenceSplitter(chunk_size=300, chunk_overlap=0)
    if name == "chunk_size":
        settings.node_parser.chunk_overlap = 0
        settings.chunk_size = 300
    elif name == "tokenizer":
        splitter = SentenceSplitter(tokenizer=four_a_character)
        settings.node_parser = splitter
    else:
        setattr(settings, name, [splitter] if name == "transformations" else splitter)
    assert way(mini) == chunks(splitter) != chunks(JaColBERTSentenceSplitter(mini))


def test_an_index_loads_its_model_once_and_when_it_is_needed(
    mini: JaColBERT, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def load(source: ModelSource) -> JaColBERT:
        loaded.append(source.model)
        return mini

    monkeypatch.setattr(ModelSource, "load", load)
    index = JaColBERTVectorStore().as_index()
    assert loaded == []
    (sent,) = pickle.loads(pickle.dumps(index._transformations))
    index.insert(ARTICLE)
    assert loaded == ["jacolbert-mini"]
    assert chunks(sent) == chunks(JaColBERTSentenceSplitter(mini))
    assert len(loaded) == 2  # in another process, for itself


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([MetadataFilter(key="kind", value="animal")], {"cat"}),
        ([MetadataFilter(key="year", value=790, operator=FilterOperator.GT)], {"tokyo", "kyoto"}),
        ([MetadataFilter(key="year", value=[0, 781], operator=FilterOperator.IN)], {"cat", "fuji"}),
        ([MetadataFilter(key="kind", value="animal", operator=FilterOperator.NE),
          MetadataFilter(key="year", value=794, operator=FilterOperator.LTE)], {"fuji", "kyoto"}),
        ([MetadataFilters(filters=[MetadataFilter(key="year", value=0), MetadataFilter(key="year", value=781)],
                          condition=FilterCondition.OR)], {"cat", "fuji"}),
        ([MetadataFilters(filters=[MetadataFilter(key="kind", value="place")], condition=FilterCondition.NOT)],
         {"cat"}),
    ],
)  # fmt: skip
def test_metadata_filters(retriever: JaColBERTRetriever, filters: list[Any], expected: set[str]) -> None:
    retriever.filters = MetadataFilters(filters=filters)
    retriever.similarity_top_k = 10
    assert {node.node_id for node in retriever.retrieve("日本")} == expected


def test_native_and_unsupported_filters(retriever: JaColBERTRetriever) -> None:
    if isinstance(retriever.store, MemoryStore):
        retriever.filters = lambda payload: payload["year"] == 0
    else:
        retriever.filters = models.Filter(must=[models.FieldCondition(key="year", match=models.MatchValue(value=0))])
    assert [node.node_id for node in retriever.retrieve("日本")] == ["cat"]
    retriever.filters = MetadataFilters(
        filters=[MetadataFilter(key="kind", value=3, operator=FilterOperator.TEXT_MATCH)]
    )
    with pytest.raises(UnsupportedFilterError, match="kind text_match 3: the value must be a string"):
        retriever.retrieve("日本")


def test_async_gives_the_same_and_leaves_the_loop_free(retriever: JaColBERTRetriever) -> None:
    expected = retriever.retrieve("日本の首都は？")
    loop = FreeLoop()
    retriever._search = loop.waiting(retriever._search)  # type: ignore[method-assign]
    found = loop.run(lambda: retriever.aretrieve("日本の首都は？"))
    assert loop.calls == ["_search"]
    assert [(n.node_id, n.score) for n in found] == [(n.node_id, n.score) for n in expected]


def test_events_and_callbacks(store: MultiVectorStore, mini: JaColBERT, events: list[BaseEvent]) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    retriever = JaColBERTRetriever.from_nodes(
        make_nodes(), mini, store=store, callback_manager=CallbackManager([debug])
    )
    found = retriever.retrieve("日本の首都は？")
    assert [type(e) for e in events if "Retrieval" in type(e).__name__] == [RetrievalStartEvent, RetrievalEndEvent]
    assert len(debug.get_event_pairs(CBEventType.RETRIEVE)) == 1

    events.clear()
    rerank = JaColBERTRerank(mini, top_n=1, callback_manager=CallbackManager([debug]))
    rerank.postprocess_nodes(found, query_str="日本の首都は？")
    start, end = (e for e in events if "ReRank" in type(e).__name__)
    assert isinstance(start, ReRankStartEvent)
    assert isinstance(end, ReRankEndEvent)
    assert (start.top_n, start.model_name, len(start.nodes), len(end.nodes)) == (1, "jacolbert-mini", 2, 1)
    assert len(debug.get_event_pairs(CBEventType.RERANKING)) == 1


@pytest.mark.parametrize("asynchronous", [False, True])
def test_inside_a_query_engine(retriever: JaColBERTRetriever, mini: JaColBERT, asynchronous: bool) -> None:
    engine = RetrieverQueryEngine.from_args(
        retriever, llm=MockLLM(), node_postprocessors=[JaColBERTRerank(mini, top_n=1, store=retriever.store)]
    )
    question = "日本の首都はどこですか。"
    response = asyncio.run(engine.aquery(question)) if asynchronous else engine.query(question)
    assert [node.node_id for node in response.source_nodes] == ["tokyo"]
    assert "東京は日本の首都" in str(response)  # MockLLM repeats the prompt
    assert "富士山" not in str(response)


def test_rerank_orders_by_maxsim_and_changes_nothing(mini: JaColBERT) -> None:
    nodes = [NodeWithScore(node=node, score=0.5 + i) for i, node in enumerate(make_nodes())]
    before = [node.model_dump() for node in nodes]
    question = "日本で一番高い山は？"
    ranked = JaColBERTRerank(mini, top_n=3, keep_retrieval_score=True).postprocess_nodes(nodes, query_str=question)
    assert [node.model_dump() for node in nodes] == before
    assert ranked[0].node_id == "fuji"
    scores = mini.score([question], [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes])[0]
    np.testing.assert_allclose([node.get_score() for node in ranked], np.sort(scores)[::-1][:3], atol=1e-4)
    kept = {node.node_id: node.node.metadata["retrieval_score"] for node in ranked}
    assert kept == {node.node_id: node.score for node in nodes if node.node_id in kept}
    assert "retrieval_score" not in ranked[0].node.get_content(metadata_mode=MetadataMode.LLM)
    assert "retrieval_score" not in JaColBERTRerank(mini).postprocess_nodes(nodes, query_str="山")[0].node.metadata


def test_rerank_edges(mini: JaColBERT) -> None:
    rerank = JaColBERTRerank(mini)
    assert rerank.postprocess_nodes([], query_str="問い") == []
    with pytest.raises(ValueError, match="Missing query bundle"):
        rerank.postprocess_nodes([NodeWithScore(node=make_nodes()[0])])
    twice = [NodeWithScore(node=make_nodes()[0], score=None)] * 2
    assert len(rerank.postprocess_nodes(twice, query_str="東京")) == 2
    with pytest.raises(ValueError, match="top_n"):
        JaColBERTRerank(mini, top_n=0)
    assert rerank.to_dict()["model"] == "jacolbert-mini"
    nodes = [NodeWithScore(node=node) for node in make_nodes()]
    assert asyncio.run(rerank.apostprocess_nodes(nodes, query_str="猫の食べ物"))[0].node_id == "cat"


def test_rerank_reuses_stored_vectors(
    retriever: JaColBERTRetriever, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    real = mini.encode_document

    def recording(texts: list[str]) -> list[TokenVectors]:
        encoded.extend(texts)
        return real(texts)

    monkeypatch.setattr(mini, "encode_document", recording)
    found = retriever.retrieve("日本の首都は？")
    with_store = JaColBERTRerank(mini, top_n=5, store=retriever.store)
    changed = TextNode(id_="fuji", text="富士山は書きかえられた。", metadata={"year": 781, "kind": "place"})
    unknown = TextNode(id_="dog", text="犬は忠実な動物である。")
    others = [NodeWithScore(node=node, score=0.0) for node in (changed, unknown)]
    nodes = [node for node in found if node.node_id != "fuji"] + others
    ranked = with_store.postprocess_nodes(nodes, query_str="日本の首都は？")
    assert [text.split("\n")[-1] for text in encoded] == ["富士山は書きかえられた。", "犬は忠実な動物である。"]
    without = JaColBERTRerank(mini, top_n=5).postprocess_nodes(nodes, query_str="日本の首都は？")
    assert [node.node_id for node in ranked] == [node.node_id for node in without]
    np.testing.assert_allclose([n.get_score() for n in ranked], [n.get_score() for n in without], atol=1e-4)


def test_bad_nodes_are_refused_whole(store: MultiVectorStore, mini: JaColBERT) -> None:
    retriever = JaColBERTRetriever(store, mini)
    with pytest.raises(InputError, match=r"1 of 2 nodes have no text \(the first is 'empty'\)"):
        retriever.insert_nodes([make_nodes()[0], TextNode(id_="empty", text=" \n")])
    with pytest.raises(InputError, match=r"come more than once: \['tokyo'\]"):
        retriever.insert_nodes([make_nodes()[0], make_nodes()[0]])
    assert store.count() == 0
    for top_k in (0, -3):
        with pytest.raises(InputError, match="top_k is"):
            JaColBERTRetriever(store, mini, similarity_top_k=top_k)


def test_another_models_collection_is_refused(
    retriever: JaColBERTRetriever, store: MultiVectorStore, model: JaColBERT
) -> None:
    with pytest.raises(ModelMismatchError, match="was made by the model 'jacolbert-mini', not by 'stanford'"):
        JaColBERTRetriever(store, model)
    with pytest.raises(ModelMismatchError, match="was made by the model"):
        JaColBERTRerank(model, store=store)


def test_a_collection_without_nodes(store: MultiVectorStore, mini: JaColBERT) -> None:
    store.bind(mini.identity)
    store.upsert([Point("a", mini.encode_document(["猫"])[0], {"text": "猫"})])
    with pytest.raises(StoreFileError, match=r"holds points that are no LlamaIndex nodes \(payload keys: \['text'\]\)"):
        JaColBERTRetriever(store, mini).retrieve("猫")


def test_payloads_are_llama_indexs_own(retriever: JaColBERTRetriever) -> None:
    payload = retriever.store.get(["tokyo"])["tokyo"].payload
    assert {"_node_content", "_node_type", "document_id", "doc_id", "ref_doc_id", "year", "kind"} == set(payload)


def test_nodes_for_a_writer(mini: JaColBERT) -> None:
    """What the writer writes of nodes is what the retriever writes, and can be indexed anew with their metadata."""
    client = QdrantClient(":memory:")
    nodes = [
        TextNode(id_=f"n{i}", text=f"{word}の話である。", metadata={"word": word}) for i, word in enumerate("猫犬鳥")
    ]
    by_retriever = QdrantStore(client, "a")
    JaColBERTRetriever(by_retriever, mini).insert_nodes(nodes)
    by_writer = QdrantStore(client, "b")
    assert QdrantWriter(by_writer, mini).write(to_documents(iter(nodes))).written == 3
    assert reindex(client, "b", QdrantStore(client, "c"), mini).written == 3
    anew = QdrantStore(client, "c")
    anew.bind(mini.identity)
    for store in (by_writer, anew):
        assert [dict(p.payload) for p in store.points()] == [dict(p.payload) for p in by_retriever.points()]
        for one, other in zip(store.points(), by_retriever.points(), strict=True):
            np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-5)
    long = TextNode(id_="long", text="猫は魚を食べる。" * 100, metadata={"word": "魚"})
    split = QdrantStore(client, "split")
    assert QdrantWriter(split, mini, too_long="split").write(to_documents([long])).windows == 2
    windows = sorted(split.points(), key=lambda point: point.payload["_jacolbert_span"])
    assert "".join(payload_text(p.payload) for p in windows) == long.get_content(metadata_mode=MetadataMode.EMBED)
    found = JaColBERTRetriever(anew, mini, similarity_top_k=1).retrieve("犬")[0].node
    assert (found.node_id, found.metadata) == ("n1", {"word": "犬"})
    client.close()
