"""What the retriever, the reranker and the vector store say of how a node was matched, on request."""

from __future__ import annotations

import pytest
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

from jacolbert_integrations import JaColBERT, JaColBERTRerank, JaColBERTRetriever, JaColBERTVectorStore, MemoryStore
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.llama_index.provenance import ScoredNode

QUERY = "日本の首都はどこですか。"


@pytest.fixture(scope="module")
def nodes() -> list[TextNode]:
    texts = ["東京は日本の首都である。", "富士山は日本一高い山である。", "猫は小さな動物である。"]
    long = "".join(passage.text for passage in load_jsquad().passages[:10]) + "日本の首都は東京である。"
    return [TextNode(id_=f"n{i}", text=text, metadata={"出典": "百科"}) for i, text in enumerate([*texts, long])]


def explained(found: list[NodeWithScore]) -> list[ScoredNode]:
    """The nodes, each of which explains its score."""
    checked = []
    for node in found:
        assert isinstance(node, ScoredNode)
        assert node.explanation is not None
        assert node.explanation.score == pytest.approx(node.provenance.score, abs=1e-3)
        assert all(match.end <= len(node.explanation.document) for match in node.explanation.matches)
        checked.append(node)
    return checked


def test_of_the_retriever(mini: JaColBERT, nodes: list[TextNode]) -> None:
    retriever = JaColBERTRetriever.from_nodes(nodes, mini, similarity_top_k=4, explain=True)
    found = explained(retriever.retrieve(QUERY))
    assert {node.node_id for node in found} == {"n0", "n1", "n2", "n3"}
    for node in found:
        assert node.explanation is not None
        assert node.explanation.document == node.node.get_content(MetadataMode.EMBED)
        assert (node.explanation.window is None) == (node.provenance.window is None)
    long = next(node for node in found if node.node_id == "n3")
    assert long.explanation is not None
    assert long.explanation.window is not None
    assert all(long.explanation.window[0] <= match.start for match in long.explanation.matches)
    assert ScoredNode.model_validate(long.model_dump()) == long
    assert ScoredNode.model_validate_json(long.model_dump_json()).explanation == long.explanation


def test_of_a_query_of_several_texts(mini: JaColBERT, nodes: list[TextNode]) -> None:
    retriever = JaColBERTRetriever.from_nodes(nodes[:3], mini, similarity_top_k=2, explain=True)
    bundle = QueryBundle(QUERY, custom_embedding_strs=["首都は東京です。", QUERY])
    for node in explained(retriever.retrieve(bundle)):
        assert node.explanation is not None
        assert node.explanation.query == f"首都は東京です。\n{QUERY}"


def test_only_on_request(mini: JaColBERT, nodes: list[TextNode]) -> None:
    retriever = JaColBERTRetriever.from_nodes(nodes[:3], mini)
    assert [node.explanation for node in retriever.retrieve(QUERY) if isinstance(node, ScoredNode)] == [None, None]
    reranked = JaColBERTRerank(mini).postprocess_nodes([NodeWithScore(node=n) for n in nodes[:3]], query_str=QUERY)
    assert [node.explanation for node in reranked if isinstance(node, ScoredNode)] == [None, None]


@pytest.mark.parametrize("window_size", [None, 40])
def test_of_the_reranker(mini: JaColBERT, nodes: list[TextNode], window_size: int | None) -> None:
    reranker = JaColBERTRerank(mini, top_n=4, explain=True, window_size=window_size)
    found = explained(reranker.postprocess_nodes([NodeWithScore(node=node) for node in nodes], query_str=QUERY))
    long = next(node for node in found if node.node_id == "n3")
    assert long.provenance.window is not None
    assert long.explanation is not None
    assert long.best_window in long.explanation.document
    assert "首都" in {long.explanation.document[match.start : match.end] for match in long.explanation.matches}


def test_of_the_reranker_over_a_store(mini: JaColBERT, nodes: list[TextNode]) -> None:
    store = MemoryStore()
    JaColBERTRetriever.from_nodes(nodes, mini, store=store)
    reranker = JaColBERTRerank(mini, top_n=4, explain=True, store=store)
    explained(reranker.postprocess_nodes([NodeWithScore(node=node) for node in nodes], query_str=QUERY))


def test_of_the_vector_store(mini: JaColBERT, nodes: list[TextNode]) -> None:
    vector_store = JaColBERTVectorStore(mini)
    vector_store.add(nodes)
    index = vector_store.as_index()
    retriever = index.as_retriever(similarity_top_k=4, vector_store_kwargs={"explain": True})
    assert len(explained(retriever.retrieve(QUERY))) == 4
    plain = index.as_retriever().retrieve(QUERY)
    assert [node.explanation for node in plain if isinstance(node, ScoredNode)] == [None, None]
    diverse = index.as_retriever(
        similarity_top_k=2, vector_store_query_mode="mmr", vector_store_kwargs={"explain": True, "mmr_threshold": 0.9}
    ).retrieve(QUERY)
    assert all(isinstance(node, ScoredNode) and node.explanation is not None for node in diverse)


def test_a_described_retriever_explains_as_before(mini: JaColBERT, nodes: list[TextNode]) -> None:
    store = MemoryStore()
    retriever = JaColBERTRetriever.from_nodes(nodes[:2], mini, store=store, explain=True)
    described = retriever.to_dict()
    assert JaColBERTRetriever.from_dict(described, store, model=mini).explain
    del described["explain"]  # as it was described before there was any
    assert not JaColBERTRetriever.from_dict(described, store, model=mini).explain
