"""The mean similarity of a query's vectors as a score, which one threshold can cut for all queries."""

from __future__ import annotations

from pathlib import Path

import pytest
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from jacolbert_integrations import JaColBERT, JaColBERTRerank, JaColBERTRetriever, JaColBERTVectorStore, MemoryStore
from jacolbert_integrations.llama_index.provenance import ScoredNode

SHORT, LONG = "首都は？", "日本の首都であり、世界有数の大都市でもある、人口の多い都市はどこですか。"


@pytest.fixture(scope="module")
def nodes() -> list[TextNode]:
    texts = ["東京は日本の首都である。", "富士山は日本一高い山である。", "猫は小さな動物である。"]
    return [TextNode(id_=f"n{i}", text=text) for i, text in enumerate(texts)]


def maxsim(node: NodeWithScore) -> float:
    assert isinstance(node, ScoredNode)
    return node.provenance.score


@pytest.mark.parametrize("query", [SHORT, LONG])
def test_of_the_retriever(mini: JaColBERT, nodes: list[TextNode], query: str) -> None:
    store = MemoryStore()
    plain = JaColBERTRetriever.from_nodes(nodes, mini, store=store, similarity_top_k=3).retrieve(query)
    retriever = JaColBERTRetriever(store, mini, similarity_top_k=3, normalize_scores=True)
    count = len(mini.encode_query([query])[0])
    found = retriever.retrieve(query)
    assert [node.node_id for node in found] == [node.node_id for node in plain]
    assert [node.score for node in found] == pytest.approx([(node.score or 0) / count for node in plain])
    assert [maxsim(node) for node in found] == pytest.approx([node.score for node in plain])
    assert all(0 < (node.score or 0) <= 1 for node in found)
    threshold = ((found[0].score or 0) + (found[1].score or 0)) / 2
    retriever.score_threshold = threshold
    assert [node.node_id for node in retriever.retrieve(query)] == [found[0].node_id]
    cut = SimilarityPostprocessor(similarity_cutoff=threshold).postprocess_nodes(found)
    assert [node.node_id for node in cut] == [found[0].node_id]


def test_of_a_query_of_several_texts(mini: JaColBERT, nodes: list[TextNode]) -> None:
    retriever = JaColBERTRetriever.from_nodes(nodes, mini, similarity_top_k=1, normalize_scores=True)
    (found,) = retriever.retrieve(QueryBundle(SHORT, custom_embedding_strs=[SHORT, LONG]))
    short, long = (len(vectors) for vectors in mini.encode_query([SHORT, LONG]))
    assert found.score == pytest.approx(2 * maxsim(found) / (short + long))


def test_of_the_reranker(mini: JaColBERT, nodes: list[TextNode]) -> None:
    given = [NodeWithScore(node=node, score=1.0) for node in nodes]
    count = len(mini.encode_query([SHORT])[0])
    for node in JaColBERTRerank(mini, top_n=3, normalize_scores=True).postprocess_nodes(given, query_str=SHORT):
        assert node.score == pytest.approx(maxsim(node) / count)
    mixed = JaColBERTRerank(mini, top_n=3, normalize_scores=True, retrieval_weight=0.1)
    same = JaColBERTRerank(mini, top_n=3, retrieval_weight=0.1)
    assert [node.score for node in mixed.postprocess_nodes(given, query_str=SHORT)] == pytest.approx(
        [node.score for node in same.postprocess_nodes(given, query_str=SHORT)]
    )


def test_of_the_vector_store(mini: JaColBERT, nodes: list[TextNode], tmp_path: Path) -> None:
    vector_store = JaColBERTVectorStore(mini, location=tmp_path / "nodes", first_stage=["lexical"])
    vector_store.add(nodes)
    index = vector_store.as_index()
    count = len(mini.encode_query([SHORT])[0])
    for node in index.as_retriever(vector_store_kwargs={"normalize_scores": True}).retrieve(SHORT):
        assert node.score == pytest.approx(maxsim(node) / count)
    words = index.as_retriever(vector_store_query_mode="text_search", vector_store_kwargs={"normalize_scores": True})
    for node in words.retrieve(SHORT):
        assert node.score == maxsim(node), "BM25 is what it is"
    vector_store.close()


def test_hits_of_a_store(mini: JaColBERT, nodes: list[TextNode]) -> None:
    store = MemoryStore()
    JaColBERTRetriever.from_nodes(nodes, mini, store=store)
    query = mini.query(LONG)
    hits = store.search(query, top_k=2)
    normalized = hits.normalized(query)
    assert [hit.id for hit in normalized] == [hit.id for hit in hits]
    assert [hit.score for hit in normalized] == pytest.approx([hit.score / len(query.vectors) for hit in hits])
    assert normalized.approximate == hits.approximate


def test_a_described_retriever_normalizes_as_before(mini: JaColBERT, nodes: list[TextNode]) -> None:
    store = MemoryStore()
    retriever = JaColBERTRetriever.from_nodes(nodes[:2], mini, store=store, normalize_scores=True)
    assert JaColBERTRetriever.from_dict(retriever.to_dict(), store, model=mini).normalize_scores
