"""The retriever of a vector store's index in what LlamaIndex builds of retrievers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

import pytest
from llama_index.core import QueryBundle, StorageContext
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import HierarchicalNodeParser, get_leaf_nodes
from llama_index.core.retrievers import (
    AutoMergingRetriever,
    QueryFusionRetriever,
    RecursiveRetriever,
    RouterRetriever,
    TransformRetriever,
)
from llama_index.core.retrievers.fusion_retriever import FUSION_MODES
from llama_index.core.schema import Document, IndexNode, NodeWithScore, TextNode
from llama_index.core.tools import RetrieverTool
from qdrant_client import QdrantClient

from jacolbert_integrations import JaColBERT, JaColBERTVectorStore, QdrantStore

from ..stand_ins import BySubject, Script

TEXTS = {
    "tokyo": "東京は日本の首都であり、人口は約千四百万人である。",
    "fuji": "富士山は静岡県と山梨県にまたがる日本で一番高い山である。",
    "kyoto": "京都は平安京が置かれた古い都である。",
    "cat": "猫は魚や肉を食べる小さな動物である。",
}
HIGHEST, EATS = "日本で一番高い山は？", "猫は何を食べますか。"

MakeStore = Callable[[], JaColBERTVectorStore]
Ask = Callable[[BaseRetriever, str], list[NodeWithScore]]


@pytest.fixture(params=["memory", "qdrant"])
def make_store(request: pytest.FixtureRequest, mini: JaColBERT) -> Iterator[MakeStore]:
    clients: list[QdrantClient] = []

    def make() -> JaColBERTVectorStore:
        if request.param == "memory":
            return JaColBERTVectorStore(mini)
        clients.append(QdrantClient(":memory:"))
        return JaColBERTVectorStore(mini, QdrantStore(clients[-1], "nodes"))

    yield make
    for client in clients:
        client.close()


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    def retrieve(retriever: BaseRetriever, query: str) -> list[NodeWithScore]:
        return retriever.retrieve(query) if request.param == "sync" else asyncio.run(retriever.aretrieve(query))

    return retrieve


class ByWord(BaseRetriever):
    """Finds the nodes that hold the query: somebody else's retriever, over the same nodes."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=node, score=0.5) for node in nodes(*TEXTS) if query_bundle.query_str in node.text]


def nodes(*names: str) -> list[TextNode]:
    return [TextNode(id_=name, text=TEXTS[name]) for name in names]


def retriever_over(store: JaColBERTVectorStore, *names: str, top_k: int = 2) -> BaseRetriever:
    """The retriever of the store's index, after these nodes were added."""
    store.add(nodes(*names))
    return store.as_index().as_retriever(similarity_top_k=top_k)


def ids(found: Sequence[NodeWithScore]) -> list[str]:
    return [node.node_id for node in found]


def maxsim(model: JaColBERT, *queries: str) -> dict[str, float]:
    """Of each text the mean over the queries, best first."""
    scores = model.score(list(queries), list(TEXTS.values())).mean(axis=0)
    return dict(sorted(zip(TEXTS, map(float, scores), strict=True), key=lambda each: -each[1]))


def test_router(make_store: MakeStore, ask: Ask) -> None:
    tools = [
        RetrieverTool.from_defaults(retriever_over(make_store(), *names), description=subject)
        for subject, names in (("山", ("tokyo", "fuji")), ("猫", ("kyoto", "cat")))
    ]
    router = RouterRetriever(BySubject(), tools, llm=MockLLM())
    assert ids(ask(router, HIGHEST)) == ["fuji", "tokyo"]
    assert ids(ask(router, EATS)) == ["cat", "kyoto"]


def test_auto_merging(make_store: MakeStore, ask: Ask) -> None:
    """Of a text all of whose leaves are found, the text comes, with the mean of their scores."""
    text = "".join(f"富士山の{i}合目には山小屋がある。" for i in range(1, 9))
    documents = [Document(text=text, id_="mountain"), Document(text=TEXTS["cat"], id_="animal")]
    parser = HierarchicalNodeParser.from_defaults(chunk_sizes=[512, 48], chunk_overlap=0)
    parsed = parser.get_nodes_from_documents(documents)
    leaves, store = get_leaf_nodes(parsed), make_store()
    storage = StorageContext.from_defaults(vector_store=store)
    storage.docstore.add_documents(parsed)
    index = store.as_index(storage)
    index.insert_nodes(leaves)
    retriever = index.as_retriever(similarity_top_k=len(leaves) - 1)
    parts = ask(retriever, "富士山の山小屋")
    assert len(parts) == len(leaves) - 1 > 1
    assert {node.node.ref_doc_id for node in parts} == {"mountain"}
    (merged,) = ask(AutoMergingRetriever(retriever, storage), "富士山の山小屋")
    assert merged.text == text
    assert merged.score == pytest.approx(sum(node.get_score() for node in parts) / len(parts), abs=1e-4)


def test_recursive(make_store: MakeStore, ask: Ask) -> None:
    """Index nodes lead to retrievers and query engines; text nodes beside them are answers."""
    geography = retriever_over(make_store(), "tokyo", "fuji", "kyoto", top_k=1)
    animals = make_store()
    animals.add(nodes("cat"))
    root = make_store().as_index()
    root.insert_nodes(
        [
            IndexNode(text="日本の山や都市について", index_id="geography", id_="g"),
            IndexNode(text="動物の食べ物について", index_id="animals", id_="a"),
            TextNode(text="これは図書館の案内である。", id_="library"),
        ]
    )
    recursive = RecursiveRetriever(
        "root",
        {"root": root.as_retriever(similarity_top_k=1), "geography": geography},
        query_engine_dict={"animals": animals.as_index().as_query_engine(llm=MockLLM())},
    )
    assert ids(ask(recursive, "日本で一番高い山")) == ["fuji"]
    assert ids(ask(recursive, "図書館の案内")) == ["library"]
    (answer,) = ask(recursive, "動物は何を食べるか")
    assert TEXTS["cat"] in answer.text


def test_objects_of_an_index(make_store: MakeStore, ask: Ask) -> None:
    """What an index node leads to is the index's, and reaches the retriever that the index makes."""
    animals = IndexNode(
        text="動物の食べ物について", obj=retriever_over(make_store(), "cat"), index_id="animals", id_="a"
    )
    index = make_store().as_index(objects=[animals])
    assert ids(ask(index.as_retriever(similarity_top_k=1), EATS)) == ["cat"]


@pytest.mark.parametrize("include_original", [False, True])
def test_transform(make_store: MakeStore, ask: Ask, mini: JaColBERT, include_original: bool) -> None:
    """HyDE searches by an answer that is made up, and by the question as well if it is to."""
    made_up, question = "魚や肉を食べる。", "にゃあ"
    hyde = HyDEQueryTransform(llm=Script(answer=made_up), include_original=include_original)
    found = ask(TransformRetriever(retriever_over(make_store(), *TEXTS, top_k=4), hyde), question)
    expected = maxsim(mini, *([made_up, question] if include_original else [made_up]))
    assert ids(found) == list(expected)
    assert ids(found)[0] == "cat"
    assert [node.score for node in found] == pytest.approx(list(expected.values()), abs=1e-3)


@pytest.mark.parametrize("use_async", [False, True])
@pytest.mark.parametrize("mode", FUSION_MODES)
def test_fusion(make_store: MakeStore, ask: Ask, mini: JaColBERT, mode: FUSION_MODES, use_async: bool) -> None:
    retriever = retriever_over(make_store(), *TEXTS, top_k=3)
    fusion = QueryFusionRetriever(
        [retriever, ByWord()], llm=MockLLM(), mode=mode, num_queries=1, similarity_top_k=9, use_async=use_async
    )
    found = ask(fusion, "富士山")
    assert sorted(ids(found)) == sorted(list(maxsim(mini, "富士山"))[:3])  # each of them once
    assert ids(found)[0] == "fuji"
    if mode is FUSION_MODES.RECIPROCAL_RANK:
        assert [node.score for node in found] == pytest.approx([2 / 60, 1 / 61, 1 / 62])


@pytest.mark.parametrize("use_async", [False, True])
def test_fusion_of_generated_queries(make_store: MakeStore, ask: Ask, mini: JaColBERT, use_async: bool) -> None:
    retriever = retriever_over(make_store(), *TEXTS, top_k=1)
    fusion = QueryFusionRetriever(
        [retriever], llm=Script(answer=EATS), num_queries=2, similarity_top_k=9, use_async=use_async
    )
    found = ask(fusion, HIGHEST)
    assert {node.node_id: node.score for node in found} == pytest.approx(
        {"fuji": maxsim(mini, HIGHEST)["fuji"], "cat": maxsim(mini, EATS)["cat"]}, abs=1e-3
    )
