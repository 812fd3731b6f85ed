"""The query modes of the vector store: what ranks, and what each number limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores.types import (
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from qdrant_client import QdrantClient

from jacolbert_integrations import EdgeStore, JaColBERT, JaColBERTRetriever, JaColBERTVectorStore, QdrantStore, Query
from jacolbert_integrations.errors import InputError, UnsupportedFilterError, UnsupportedModeError
from jacolbert_integrations.llama_index import ScoredNode, TextIndex
from jacolbert_integrations.llama_index.fusion import reciprocal_ranks, weighted
from jacolbert_integrations.llama_index.results import ScoredResult
from jacolbert_integrations.llama_index.vector_store.diversity import diverse
from jacolbert_integrations.llama_index.vector_store.index import TextIndexRetriever
from jacolbert_integrations.llama_index.vector_store.modes import TextsQuery, _scores
from jacolbert_integrations.qdrant import Lexical, QdrantBM25
from jacolbert_integrations.text.windows import DOCUMENT_KEY
from jacolbert_integrations.types import Hit, TokenVectors

from ...server import WAYS, opened

TEXTS = {
    "tokyo": "東京は日本の首都であり、人口は約千四百万人である。",
    "tokyo2": "東京は日本の首都であり、人口は約千四百万人を数える。",
    "fuji": "富士山は静岡県と山梨県にまたがる日本で一番高い山である。",
    "kyoto": "京都は平安京が置かれた古い都である。",
    "cat": "猫は魚や肉を食べる小さな動物である。",
}
QUESTION = "日本の首都はどこですか。"
MODE = VectorStoreQueryMode


def nodes() -> list[TextNode]:
    return [
        TextNode(id_=name, text=text, metadata={"kind": "animal" if name == "cat" else "place"})
        for name, text in TEXTS.items()
    ]


@pytest.fixture(params=["local", "edge", "edge-bm25", *WAYS])
def store(request: pytest.FixtureRequest, tmp_path: Path, mini: JaColBERT) -> Iterator[JaColBERTVectorStore]:
    """A collection that can be searched by words."""
    if request.param in WAYS:
        with opened(request.param) as server:
            store = JaColBERTVectorStore(mini, QdrantStore(server, "c", first_stage=Lexical()))
            store.add(nodes())
            yield store
        return
    if request.param == "local":
        client = QdrantClient(":memory:")
        store = JaColBERTVectorStore(mini, QdrantStore(client, "c", first_stage=Lexical()))
        store.add(nodes())
        yield store
        client.close()
        return
    stage = Lexical() if request.param == "edge" else QdrantBM25()
    with EdgeStore(tmp_path, first_stage=stage) as edge:
        store = JaColBERTVectorStore(mini, edge)
        store.add(nodes())
        yield store


@pytest.fixture
def memory(mini: JaColBERT) -> JaColBERTVectorStore:
    store = JaColBERTVectorStore(mini)
    store.add(nodes())
    return store


@pytest.fixture
def lexical(mini: JaColBERT) -> Iterator[JaColBERTVectorStore]:
    """An empty collection that can be searched by words."""
    client = QdrantClient(":memory:")
    yield JaColBERTVectorStore(mini, QdrantStore(client, "c", first_stage=Lexical()))
    client.close()


def ask(store: JaColBERTVectorStore, text: str = QUESTION, *, options: Any = None, **query: Any) -> list[str]:
    result = store.query(VectorStoreQuery(query_str=text, **query), **(options or {}))
    assert result.ids == [node.node_id for node in result.nodes or []]
    return result.ids


def scores(result: VectorStoreQueryResult) -> dict[str, float]:
    return dict(zip(result.ids or [], result.similarities or [], strict=True))


def maxsim(mini: JaColBERT, question: str = QUESTION) -> dict[str, float]:
    texts = {node.node_id: node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes()}
    return dict(zip(texts, mini.score([question], list(texts.values()))[0].tolist(), strict=True))


def test_default_is_maxsim(memory: JaColBERTVectorStore, store: JaColBERTVectorStore, mini: JaColBERT) -> None:
    expected = maxsim(mini)
    order = sorted(expected, key=lambda name: -expected[name])
    found = scores(memory.query(VectorStoreQuery(query_str=QUESTION, similarity_top_k=5)))
    assert list(found) == order
    np.testing.assert_allclose(list(found.values()), [expected[name] for name in order], atol=1e-4)
    approximate = scores(store.query(VectorStoreQuery(query_str=QUESTION, similarity_top_k=2)))
    np.testing.assert_allclose([approximate[n] for n in approximate], [expected[n] for n in approximate], atol=1e-2)


@pytest.mark.parametrize("mode", [MODE.TEXT_SEARCH, MODE.SPARSE])
def test_text_search_is_bm25(store: JaColBERTVectorStore, mode: VectorStoreQueryMode) -> None:
    result = store.query(VectorStoreQuery(query_str="富士山", mode=mode, similarity_top_k=5))
    assert result.ids == ["fuji"]
    assert ask(store, "人口", mode=mode, similarity_top_k=1) in (["tokyo"], ["tokyo2"])
    assert ask(store, "無関係", mode=mode, similarity_top_k=5) == []
    assert ask(store, "猫", mode=mode, similarity_top_k=5, node_ids=["fuji"]) == []


def test_sparse_top_k_is_of_the_mode_sparse(store: JaColBERTVectorStore) -> None:
    """As in LlamaIndex's Qdrant store: text search knows one number, similarity_top_k."""
    words = "東京と猫"
    best = ask(store, words, mode=MODE.SPARSE, similarity_top_k=3)
    assert len(best) == 3
    for similarity_top_k, sparse_top_k in ((1, 2), (3, 2), (2, None)):
        numbers: dict[str, Any] = {"similarity_top_k": similarity_top_k, "sparse_top_k": sparse_top_k}
        assert ask(store, words, mode=MODE.SPARSE, **numbers) == best[:2]
        assert ask(store, words, mode=MODE.TEXT_SEARCH, **numbers) == best[:similarity_top_k]


def test_bm25_by_hand(mini: JaColBERT) -> None:
    """Two texts of three words: BM25's term weight is 1 for a word that occurs once, so that its IDF is the score."""
    client = QdrantClient(":memory:")
    store = JaColBERTVectorStore(mini, QdrantStore(client, "c", first_stage=Lexical(average_words=3)))
    store.add([TextNode(id_="a", text="猫 犬 鳥"), TextNode(id_="b", text="猫 魚 山")])
    result = store.query(VectorStoreQuery(query_str="犬", mode=MODE.TEXT_SEARCH, similarity_top_k=5))
    assert result.ids == ["a"]
    np.testing.assert_allclose(result.similarities or [], [np.log(1 + (2 - 1 + 0.5) / (1 + 0.5))], atol=1e-5)
    client.close()


def test_hybrid_with_alpha(store: JaColBERTVectorStore, mini: JaColBERT) -> None:
    """Alpha 1 is MaxSim alone, 0 is BM25 alone, and what is between is their weighted mean by hand."""
    query: dict[str, Any] = {"mode": MODE.HYBRID, "similarity_top_k": 5}
    words = scores(store.query(VectorStoreQuery(query_str=QUESTION, mode=MODE.TEXT_SEARCH, similarity_top_k=5)))
    dense = scores(store.query(VectorStoreQuery(query_str=QUESTION, similarity_top_k=5)))
    assert ask(store, alpha=1.0, **query)[: len(dense)] == list(dense)
    assert ask(store, alpha=0.0, **query)[: len(words)] == list(words)
    low, high, most = min(dense.values()), max(dense.values()), max(words.values())
    for alpha in (0.0, 0, 0.5, 1.0):
        for name, score in scores(store.query(VectorStoreQuery(query_str=QUESTION, alpha=alpha, **query))).items():
            near = (dense[name] - low) / (high - low) if name in dense else 0.0
            np.testing.assert_allclose(score, alpha * near + (1 - alpha) * words.get(name, 0.0) / most, atol=1e-4)


def test_hybrid_with_alpha_gives_both_scores_to_what_either_ranking_has(lexical: JaColBERTVectorStore) -> None:
    """And to nothing else, although more nodes have the words."""
    texts = {
        "best": "首都 東京 人口",
        "second": "東京 人口",
        "third": "人口 町 道 川",
        "cat": "猫は人口の多い町で魚を食べる。",
    }
    lexical.add([TextNode(id_=name, text=text) for name, text in texts.items()])

    def asked(mode: VectorStoreQueryMode, top_k: int, **numbers: Any) -> dict[str, float]:
        query = TextsQuery(
            query_str="首都 東京 人口", mode=mode, similarity_top_k=top_k, search_strs=[texts["cat"]], **numbers
        )
        return scores(lexical.query(query))

    words, dense = asked(MODE.TEXT_SEARCH, 4), asked(MODE.DEFAULT, 4)
    assert list(words) == ["best", "second", "third", "cat"]
    assert next(iter(dense)) == "cat"
    three = ["best", "second", "cat"]
    low = min(dense[name] for name in three)
    expected = {
        name: 0.25 * (dense[name] - low) / (dense["cat"] - low) + 0.75 * words[name] / words["best"] for name in three
    }
    found = asked(MODE.HYBRID, 1, sparse_top_k=2, hybrid_top_k=4, alpha=0.25)
    assert found == pytest.approx(expected, abs=1e-4)
    assert min(found.values()) > 0


def test_hybrid_without_alpha_is_reciprocal_rank_fusion(store: JaColBERTVectorStore) -> None:
    dense = ask(store, similarity_top_k=3)
    words = ask(store, mode=MODE.TEXT_SEARCH, similarity_top_k=2)
    query = VectorStoreQuery(query_str=QUESTION, mode=MODE.HYBRID, similarity_top_k=3, sparse_top_k=2, hybrid_top_k=4)
    found = scores(store.query(query))
    assert set(found) == set(dense) | set(words)
    for name, score in found.items():
        ranks = [ranking.index(name) + 1 for ranking in (dense, words) if name in ranking]
        np.testing.assert_allclose(score, sum(1 / (60 + rank) for rank in ranks))


def test_hybrid_numbers_that_are_not_given_are_the_similarity_s(lexical: JaColBERTVectorStore) -> None:
    """hybrid_top_k limits what comes out, and neither of the two rankings."""
    lexical.add([TextNode(id_=f"n{i}", text=f"猫の話 {i}") for i in range(6)])
    query: dict[str, Any] = {"mode": MODE.HYBRID, "similarity_top_k": 1}
    assert len(ask(lexical, "猫", sparse_top_k=4, **query)) == 1
    assert len(ask(lexical, "猫", hybrid_top_k=6, **query)) <= 2
    assert len(ask(lexical, "猫", sparse_top_k=1, hybrid_top_k=6, **query)) <= 2


def test_words_are_the_question_s(lexical: JaColBERTVectorStore) -> None:
    """What HyDE imagines is for MaxSim; BM25 has the words that were asked."""
    lexical.add(nodes())
    index = lexical.as_index()
    asked = QueryBundle("富士山", custom_embedding_strs=["猫は魚や肉を食べる。"])

    def found(mode: str, **options: Any) -> list[str]:
        retriever = index.as_retriever(vector_store_query_mode=mode, similarity_top_k=1, **options)
        return [node.node_id for node in retriever.retrieve(asked)]

    assert found("default") == found("hybrid", alpha=1.0) == ["cat"]
    assert found("text_search") == found("hybrid", alpha=0.0) == ["fuji"]


def test_of_equal_ranks_the_first_id_comes_first(lexical: JaColBERTVectorStore) -> None:
    lexical.add(nodes())
    query = TextsQuery(
        query_str="猫", search_strs=[TEXTS["fuji"]], mode=MODE.HYBRID, similarity_top_k=1, hybrid_top_k=2
    )
    result = lexical.query(query)
    assert scores(result) == {"fuji": 1 / 61, "cat": 1 / 61}
    assert result.ids == ["cat", "fuji"]


def test_a_node_s_score_is_its_best_window_s() -> None:
    hits = [Hit("n#window-9", 3.0, {DOCUMENT_KEY: "n"}), Hit("m", 2.0), Hit("n", 1.0, {DOCUMENT_KEY: "n"})]
    assert _scores(hits) == {"n": 3.0, "m": 2.0}


def test_hybrid_numbers(store: JaColBERTVectorStore) -> None:
    query: dict[str, Any] = {"mode": MODE.HYBRID, "alpha": 0.5}
    assert len(ask(store, similarity_top_k=2, hybrid_top_k=1, **query)) == 1
    # the best by MaxSim, and the best by words of another text
    both = ask(store, "富士山 猫", similarity_top_k=1, sparse_top_k=2, hybrid_top_k=5, **query)
    assert set(both) == {"fuji", "cat"}
    assert ask(store, similarity_top_k=3, filters=of_kind("animal"), **query) in (["cat"], [])


@pytest.mark.parametrize("mode", [MODE.TEXT_SEARCH, MODE.HYBRID])
@pytest.mark.parametrize("alpha", [None, 0.5])
def test_what_limits_a_search_by_words(
    store: JaColBERTVectorStore, mode: VectorStoreQueryMode, alpha: float | None
) -> None:
    query: dict[str, Any] = {"mode": mode, "alpha": alpha, "similarity_top_k": 5}
    assert set(ask(store, "東京と猫", **query)) >= {"tokyo", "tokyo2", "cat"}
    assert ask(store, "東京と猫", filters=of_kind("animal"), **query) == ["cat"]
    assert ask(store, "東京と猫", node_ids=["cat", "no such id"], **query) == ["cat"]
    assert ask(store, "東京と猫", doc_ids=["cat"], **query) == ["cat"]  # a node of no document is one by itself
    assert ask(store, "東京と猫", doc_ids=["tokyo"], filters=of_kind("animal"), **query) == []


def test_weighted_scores() -> None:
    assert weighted({"a": 10.0, "b": 20.0}, {"b": 1.0, "c": 4.0}, 0.25) == {
        "a": 0.0,
        "b": 0.25 + 0.75 * 0.25,
        "c": 0.75,
    }
    assert weighted({"a": 3.0}, {}, 0.5) == {"a": 0.5}
    assert weighted({}, {}, 0.5) == {}
    assert reciprocal_ranks(["a", "b"], ["b"]) == {"a": 1 / 61, "b": 1 / 62 + 1 / 61}


def unit(*rows: tuple[float, ...]) -> TokenVectors:
    matrix = np.array(rows, np.float32)
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True), np.float32)


def test_mmr_by_hand() -> None:
    """Two documents that are the same, and one less relevant: half and half, the other one comes second."""
    query = unit((1, 0, 0), (0, 1, 0))
    twins, other = unit((1, 0, 0)), unit((0, 1, 1))
    half = np.sqrt(0.5)
    chosen = diverse(query, [twins, twins, other], 3, 0.5)
    assert [place for place, _ in chosen] == [0, 2, 1]
    # relevance: one of the two query tokens, wholly or by half; the twins are all the same, the other is orthogonal
    expected = [0.5 / 2, 0.5 * half / 2, 0.5 / 2 - 0.5]
    np.testing.assert_allclose([score for _, score in chosen], expected, atol=1e-6)
    assert [place for place, _ in diverse(query, [other, twins, twins], 3, 1.0)] == [1, 2, 0]
    assert [place for place, _ in diverse(query, [twins, twins, other], 2, 0.0)] == [0, 2]


def test_mmr_leaves_out_what_is_said_already(memory: JaColBERTVectorStore) -> None:
    plain = ask(memory, similarity_top_k=2)
    assert set(plain) == {"tokyo", "tokyo2"}
    diverse_ids = ask(memory, mode=MODE.MMR, similarity_top_k=2)
    assert diverse_ids[0] == plain[0]
    assert diverse_ids[1] not in plain
    assert ask(memory, mode=MODE.MMR, similarity_top_k=2, mmr_threshold=1.0) == plain
    assert ask(memory, mode=MODE.MMR, similarity_top_k=2, options={"mmr_threshold": 1}) == plain
    # a query's own threshold of 0.0 is a threshold
    avoiding = ask(memory, mode=MODE.MMR, similarity_top_k=2, mmr_threshold=0.0, options={"mmr_threshold": 1.0})
    assert avoiding[1] not in plain
    assert ask(memory, mode=MODE.MMR, similarity_top_k=2, options={"mmr_prefetch_k": 2}) == plain
    assert ask(memory, mode=MODE.MMR, similarity_top_k=2, options={"mmr_prefetch_factor": 1.0}) == plain


def test_redundancy_is_of_both_directions_and_with_all_that_were_chosen() -> None:
    query = unit((1, 0, 0))
    long, part = unit((1, 0, 0), (0, 1, 0)), unit((1, 0, 0))
    (_, first), (_, second) = diverse(query, [long, part], 2, 0.5)
    assert first == pytest.approx(0.5)
    # all of the part is in the long one, and half of the long one is in the part
    assert second == pytest.approx(0.5 * 1 - 0.5 * (1 + 0.5) / 2)
    # what is like the first is still like the first when the one chosen last is another
    chosen = diverse(query, [part, unit((1, 1, 0)), part], 3, 0.5)
    assert chosen[2][0] == 2
    assert chosen[2][1] == pytest.approx(0.5 * 1 - 0.5 * 1)


def test_mmr_gives_as_many_as_are_wanted(memory: JaColBERTVectorStore) -> None:
    assert len(ask(memory, mode=MODE.MMR, similarity_top_k=3, options={"mmr_prefetch_k": 1})) == 3


def test_mmr_leaves_out_what_is_deleted_meanwhile(
    memory: JaColBERTVectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = memory.store
    real = inner.get

    def get(ids: list[str], **options: Any) -> Any:
        inner.delete(["fuji"])
        return real(ids, **options)

    monkeypatch.setattr(inner, "get", get)
    assert sorted(ask(memory, mode=MODE.MMR, similarity_top_k=5)) == ["cat", "kyoto", "tokyo", "tokyo2"]


def of_kind(kind: str) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key="kind", value=kind)])


@pytest.mark.parametrize("mode", [MODE.DEFAULT, MODE.MMR])
def test_what_limits_a_query(memory: JaColBERTVectorStore, mode: VectorStoreQueryMode) -> None:
    query: dict[str, Any] = {"mode": mode, "similarity_top_k": 10}
    assert len(ask(memory, **query)) == 5
    assert ask(memory, filters=of_kind("animal"), **query) == ["cat"]
    assert set(ask(memory, node_ids=["cat", "fuji", "no such id"], **query)) == {"cat", "fuji"}
    assert ask(memory, node_ids=["cat", "fuji"], filters=of_kind("place"), **query) == ["fuji"]
    assert ask(memory, doc_ids=["no such document"], **query) == []
    assert ask(memory, doc_ids=["cat", "fuji"], node_ids=["cat", "tokyo"], **query) == ["cat"]
    assert ask(memory, doc_ids=["cat", "fuji"], node_ids=["cat"], filters=of_kind("place"), **query) == []
    assert len(ask(memory, node_ids=[], doc_ids=[], **query)) == 5
    assert ask(memory, filters=of_kind("none"), **query) == []


def test_native_filters(memory: JaColBERTVectorStore) -> None:
    native: Any = lambda payload: payload["kind"] == "animal"  # noqa: E731
    assert ask(memory, filters=native) == ["cat"]
    with pytest.raises(UnsupportedFilterError, match="cannot be joined with doc_ids or node_ids"):
        ask(memory, filters=native, node_ids=["cat"])


@pytest.mark.parametrize("mode", [MODE.SVM, MODE.LOGISTIC_REGRESSION, MODE.LINEAR_REGRESSION, MODE.SEMANTIC_HYBRID])
def test_modes_that_there_are_not(memory: JaColBERTVectorStore, mode: VectorStoreQueryMode) -> None:
    with pytest.raises(UnsupportedModeError, match=f"'{mode.value}' is not one of late interaction"):
        ask(memory, mode=mode)


@pytest.mark.parametrize("mode", [MODE.TEXT_SEARCH, MODE.SPARSE, MODE.HYBRID])
def test_words_want_a_lexical_collection(
    memory: JaColBERTVectorStore, mini: JaColBERT, mode: VectorStoreQueryMode
) -> None:
    with pytest.raises(UnsupportedModeError, match=r"searches by words, which MemoryStore\(5 points\) cannot"):
        ask(memory, mode=mode)
    client = QdrantClient(":memory:")
    store = JaColBERTVectorStore(mini, QdrantStore(client, "c"))
    store.add(nodes())
    with pytest.raises(UnsupportedModeError, match="'c' cannot be searched by words"):
        ask(store, mode=mode)
    client.close()


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        ({"query_str": None}, {}, "the query has no text"),
        ({"query_str": " \n"}, {}, "the query has no text"),
        ({"similarity_top_k": 0}, {}, "top_k is 0"),
        ({"similarity_top_k": -1}, {}, "top_k is -1"),
        ({"hybrid_top_k": 0}, {}, "top_k is 0"),
        ({"sparse_top_k": 0}, {}, "top_k is 0"),
        ({"alpha": 1.5}, {}, r"alpha is 1\.5"),
        ({"alpha": -0.1}, {}, r"alpha is -0\.1"),
        ({"alpha": float("nan")}, {}, "alpha is nan"),
        ({"alpha": True}, {}, "alpha is True"),
        ({"alpha": "1"}, {}, "alpha is '1'"),
        ({"mode": MODE.MMR, "mmr_threshold": 2}, {}, "mmr_threshold is 2"),
        ({}, {"mmr_prefetch_k": 0}, "top_k is 0"),
        ({}, {"mmr_prefetch_factor": 0.5}, r"mmr_prefetch_factor is 0\.5"),
        ({}, {"mmr_prefetch_factor": 2, "mmr_prefetch_k": 4}, "either mmr_prefetch_k or mmr_prefetch_factor"),
        ({}, {"qdrant_filters": None}, r"no option \['qdrant_filters'\]"),
    ],
)
def test_bad_queries(
    memory: JaColBERTVectorStore, query: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        memory.query(VectorStoreQuery(**{"query_str": QUESTION, **query}), **options)


def test_an_empty_store_answers_nothing(lexical: JaColBERTVectorStore, mini: JaColBERT) -> None:
    for mode in (MODE.DEFAULT, MODE.MMR):
        result = JaColBERTVectorStore(mini).query(VectorStoreQuery(query_str=QUESTION, mode=mode))
        assert (result.ids, result.nodes, result.similarities) == ([], [], [])
    for mode in (MODE.DEFAULT, MODE.MMR, MODE.HYBRID, MODE.TEXT_SEARCH):
        for alpha in (None, 0.5):
            assert ask(lexical, mode=mode, alpha=alpha) == []


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        (MODE.DEFAULT, "maxsim"),
        (MODE.TEXT_SEARCH, "bm25"),
        (MODE.SPARSE, "bm25"),
        (MODE.HYBRID, "hybrid"),
        (MODE.MMR, "mmr"),
    ],
)
def test_nodes_say_what_scored_them(
    store: JaColBERTVectorStore, mini: JaColBERT, mode: VectorStoreQueryMode, kind: str
) -> None:
    retriever = store.as_index().as_retriever(vector_store_query_mode=mode, similarity_top_k=3)
    found = retriever.retrieve("東京の人口")
    assert len(found) > 1
    answer = store.query(VectorStoreQuery(query_str="東京の人口", mode=mode, similarity_top_k=3))
    assert isinstance(answer, ScoredResult)
    assert [node.node_id for node in found] == answer.ids
    assert asyncio.run(retriever.aretrieve("東京の人口")) == found
    approximate = store.store.search(mini_query(mini, "東京の人口"), top_k=3)
    for node, provenance in zip(found, answer.provenances, strict=True):
        assert isinstance(node, ScoredNode)
        assert node.provenance == provenance
        assert node.score == provenance.score
        assert (provenance.step, provenance.score_kind) == ("retrieve", kind)
        assert (provenance.model, provenance.fingerprint) == (mini.name, mini.fingerprint)
        assert provenance.collection == getattr(store.store, "collection")  # noqa: B009 - not of the protocol
        assert provenance.approximate == (kind != "bm25" and getattr(approximate, "approximate", False))
        assert provenance.window is None


def mini_query(mini: JaColBERT, text: str) -> Query:
    return Query(mini.encode_query([text])[0], text)


def test_a_long_node_s_best_window_is_said(mini: JaColBERT) -> None:
    answer = "富士山の標高は3776メートルである。"
    store = JaColBERTVectorStore(mini)
    store.add([TextNode(id_="long", text="猫は魚や肉を食べる小さな動物である。" * 100 + answer)])
    index = store.as_index()
    assert type(index) is TextIndex
    (found,) = index.as_retriever().retrieve("富士山の高さは何メートルですか。")
    assert isinstance(found, ScoredNode)
    assert answer in found.best_window != found.text
    assert found.provenance.collection == "MemoryStore"
    (again,) = JaColBERTRetriever(store.store, mini).retrieve("富士山の高さは何メートルですか。")
    assert again == found


def test_another_store_s_answer_has_nothing_to_say(memory: JaColBERTVectorStore) -> None:
    retriever = memory.as_index().as_retriever()
    plain = VectorStoreQueryResult(nodes=nodes()[:1], similarities=[0.5], ids=["tokyo"])
    assert isinstance(retriever, TextIndexRetriever)
    assert [type(node) for node in retriever._convert_nodes_to_scored_nodes(plain)] == [NodeWithScore]


@pytest.mark.parametrize("mode", ["default", "mmr", "hybrid"])
@pytest.mark.parametrize("question", ["ペット", "ねこ", "cat"])
def test_a_question_that_shares_no_word_is_answered(
    lexical: JaColBERTVectorStore, memory: JaColBERTVectorStore, mode: str, question: str
) -> None:
    for store in (lexical, memory):
        store.add([TextNode(id_=name, text=text) for name, text in TEXTS.items()])
    alpha = 0.7 if mode == "hybrid" else None
    asked = VectorStoreQuery(query_str=question, similarity_top_k=2, mode=VectorStoreQueryMode(mode), alpha=alpha)
    plain = VectorStoreQuery(
        query_str=question,
        similarity_top_k=2,
        mode=VectorStoreQueryMode.MMR if mode == "mmr" else VectorStoreQueryMode.DEFAULT,
    )
    found = lexical.query(asked)
    assert found.ids == memory.query(plain).ids
    assert not any(provenance.approximate for provenance in found.provenances)  # type: ignore[attr-defined]


def test_candidates_by_centroids(mini: JaColBERT, tmp_path: Path) -> None:
    """Neither the default mode nor MMR needs a word, also in a store that is opened by its name again."""
    store = JaColBERTVectorStore(mini, location=tmp_path, collection="c", first_stage=["centroids"])
    store.add(nodes())
    store.close()
    again = JaColBERTVectorStore(mini, location=tmp_path, collection="c")
    for mode in (MODE.DEFAULT, MODE.MMR):
        found = again.query(VectorStoreQuery(query_str="とうきょう", similarity_top_k=1, mode=mode))
        assert found.ids == ["tokyo"] or found.ids == ["tokyo2"]
    with pytest.raises(UnsupportedModeError, match="cannot be searched by words"):
        again.query(VectorStoreQuery(query_str="東京", similarity_top_k=1, mode=MODE.TEXT_SEARCH))
    again.close()
