"""LlamaIndex's own QdrantVectorStore reads, filters and deletes the nodes in our collections, and we take over its."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core import MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.schema import (
    BaseNode,
    Document,
    IndexNode,
    MetadataMode,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from jacolbert_integrations import JaColBERT, JaColBERTRetriever, JaColBERTVectorStore, QdrantStore
from jacolbert_integrations.errors import CollectionLayoutError, MissingCollectionWarning
from jacolbert_integrations.qdrant import EdgeClient, Lexical, add_late_interaction, reindex
from jacolbert_integrations.qdrant.clients import Client

TEXTS = {
    "tokyo": "東京は日本の首都であり、人口は約千四百万人である。",
    "fuji": "富士山は静岡県と山梨県にまたがる日本で一番高い山である。",
    "cat": "猫は魚や肉を食べる小さな動物である。",
}
QUESTION = "日本の首都はどこですか。"
OP = FilterOperator


def uuid_of(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def nodes(id_of: Callable[[str], str] = uuid_of) -> list[BaseNode]:
    """A node of each text, with all that a node can have; Tokyo and Fuji are of one document."""
    return [
        TextNode(
            id_=id_of(name),
            text=text,
            metadata={"題": name, "n": n, "tags": ["地理", "日本"][: n + 1], "nested": {"a": [1, None]}, "none": None},
            excluded_embed_metadata_keys=["n", "tags", "nested", "none"],
            excluded_llm_metadata_keys=["題"],
            metadata_template="{key}＝{value}",
            text_template="{metadata_str}：{content}",
            start_char_idx=3,
            end_char_idx=3 + len(text),
            relationships={
                NodeRelationship.SOURCE: RelatedNodeInfo(
                    node_id="animals" if name == "cat" else "places", metadata={"page": 1}, hash="0a"
                ),
                NodeRelationship.NEXT: RelatedNodeInfo(node_id="the next"),
                NodeRelationship.CHILD: [RelatedNodeInfo(node_id="one"), RelatedNodeInfo(node_id="two")],
            },
        )
        for n, (name, text) in enumerate(TEXTS.items())
    ]


def by_id(found: Sequence[BaseNode] | None) -> dict[str, BaseNode]:
    return {node.node_id: node for node in found or ()}


def one_filter(key: str, value: Any, operator: FilterOperator = OP.EQ) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=operator)])


def theirs(client: Any, collection: str, **options: Any) -> QdrantVectorStore:
    # Without the index over doc_id, which local mode does not have, and warns of.
    return QdrantVectorStore(collection, client=client, index_doc_id=False, **options)


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    opened = QdrantClient(":memory:")
    yield opened
    opened.close()


@pytest.fixture
def ours(client: QdrantClient, mini: JaColBERT) -> JaColBERTVectorStore:
    """A collection of ours, with its nodes."""
    store = JaColBERTVectorStore(mini, QdrantStore(client, "ours", first_stage=Lexical()))
    store.add(nodes())
    return store


# It reads ours.


@pytest.mark.parametrize("kind", ["memory", "path", "edge"])
def test_it_reads_our_nodes(kind: str, mini: JaColBERT, tmp_path: Path) -> None:
    make: dict[str, Callable[[], Client]] = {
        "memory": lambda: QdrantClient(":memory:"),
        "path": lambda: QdrantClient(path=str(tmp_path)),
        "edge": lambda: EdgeClient(tmp_path),
    }
    client = make[kind]()
    JaColBERTVectorStore(mini, QdrantStore(client, "ours", first_stage=Lexical())).add(nodes())
    if kind != "memory":
        client.close()
        client = make[kind]()
    added = by_id(nodes())
    store = theirs(client, "ours")
    assert by_id(store.get_nodes()) == added
    assert by_id(store.get_nodes([uuid_of("cat"), uuid_of("no such node")])) == {uuid_of("cat"): added[uuid_of("cat")]}
    found = by_id(store.get_nodes(filters=one_filter("n", 1, OP.GTE)))
    assert found.keys() == {uuid_of("fuji"), uuid_of("cat")}
    for node_id, node in found.items():
        assert node.ref_doc_id == added[node_id].ref_doc_id
        assert node.get_content(MetadataMode.EMBED) == added[node_id].get_content(MetadataMode.EMBED)
        assert node.get_content(MetadataMode.LLM) == added[node_id].get_content(MetadataMode.LLM)
        assert node.embedding is None
    client.close()


def test_it_reads_our_nodes_asynchronously(mini: JaColBERT, tmp_path: Path) -> None:
    client = QdrantClient(path=str(tmp_path))
    JaColBERTVectorStore(mini, QdrantStore(client, "ours")).add(nodes())
    client.close()  # one client at a time has the folder open

    async def read() -> tuple[list[BaseNode], list[BaseNode]]:
        aclient = AsyncQdrantClient(path=str(tmp_path))
        store = QdrantVectorStore("ours", aclient=aclient)
        every = await store.aget_nodes()
        await store.adelete("places")
        left = await store.aget_nodes()
        await aclient.close()
        return every, left

    every, left = asyncio.run(read())
    assert by_id(every) == by_id(nodes())
    assert by_id(left).keys() == {uuid_of("cat")}


def test_kinds_of_nodes_that_it_reads(client: QdrantClient, mini: JaColBERT) -> None:
    document = Document(id_=uuid_of("document"), text="大阪", metadata={"file_name": "大阪.txt"})
    plain: list[BaseNode] = [
        TextNode(id_=uuid_of("plain"), text="東京"),
        IndexNode(id_=uuid_of("index"), text="京都", index_id="another index"),
    ]
    ours = JaColBERTVectorStore(mini, QdrantStore(client, "ours"))
    ours.add([*plain, document])
    found = by_id(theirs(client, "ours").get_nodes())
    assert by_id(ours.get_nodes()) == by_id([*plain, document])
    # LlamaIndex itself reads a document as a node.
    read = found.pop(document.node_id)
    assert (type(read), read.get_content(), read.metadata) == (TextNode, document.text, document.metadata)
    assert found == by_id(plain)
    assert [type(found[node.node_id]) for node in plain] == [TextNode, IndexNode]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(max_size=5) | st.sampled_from([0.5, -2.0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.text(min_size=1, max_size=5).filter(lambda key: not key.startswith("_"))


@settings(max_examples=60)
@given(metadata=st.dictionaries(KEYS, JSON, max_size=4), text=st.text(max_size=8), source=st.none() | KEYS)
def test_any_node_comes_back_from_it(mini: JaColBERT, metadata: dict[str, Any], text: str, source: str | None) -> None:
    related = {} if source is None else {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=source)}
    node = TextNode(
        text=f"{text}。", metadata=metadata, relationships=related, excluded_embed_metadata_keys=list(metadata)
    )
    client = QdrantClient(":memory:")
    ours = JaColBERTVectorStore(mini, QdrantStore(client, "ours"))
    ours.add([node])
    assert theirs(client, "ours").get_nodes([node.node_id]) == [node] == ours.get_nodes([node.node_id])
    client.close()


def test_ids_that_are_no_uuids(client: QdrantClient, mini: JaColBERT) -> None:
    inner = QdrantStore(client, "ours")
    JaColBERTVectorStore(mini, inner).add(nodes(lambda name: f"文書 {name}"))
    store = theirs(client, "ours")
    expected = by_id(nodes(lambda name: f"文書 {name}"))
    assert by_id(store.get_nodes()) == expected  # all of them, and by filters, under the ids that they were given
    assert by_id(store.get_nodes(filters=one_filter("題", "cat"))).keys() == {"文書 cat"}
    # It takes ids for Qdrant's own, which are UUIDs: a server refuses others, and local mode finds nothing.
    assert store.get_nodes(["文書 cat"]) == []
    native = [str(point_id) for point_id in inner.qdrant_ids(["文書 cat", "文書 fuji"])]
    assert by_id(store.get_nodes(native)).keys() == {"文書 cat", "文書 fuji"}
    assert inner.qdrant_ids([uuid_of("cat")]) == [uuid_of("cat")]


def test_what_it_deletes_is_gone_for_us_and_the_rest_works(client: QdrantClient, ours: JaColBERTVectorStore) -> None:
    store = theirs(client, "ours")
    store.delete("animals")
    assert by_id(ours.get_nodes()).keys() == {uuid_of("tokyo"), uuid_of("fuji")}
    store.delete_nodes([uuid_of("tokyo")])
    store.delete_nodes(filters=one_filter("題", "no such title"))
    index = ours.as_index()
    for mode in ("default", "text_search", "hybrid", "mmr"):
        found = index.as_retriever(vector_store_query_mode=mode).retrieve("一番高い山")
        assert [node.node_id for node in found] == [uuid_of("fuji")], mode
    ours.add(nodes())
    assert by_id(store.get_nodes()) == by_id(nodes())
    ours.delete("places")
    assert by_id(store.get_nodes()).keys() == {uuid_of("cat")}


def test_a_collection_that_it_has_cleared_is_made_anew(client: QdrantClient, ours: JaColBERTVectorStore) -> None:
    theirs(client, "ours").clear()  # it deletes the collection itself
    assert not client.collection_exists("ours")
    assert ours.get_nodes() == []
    with pytest.warns(MissingCollectionWarning, match="'ours' has been deleted"):
        assert ours.as_index().as_retriever().retrieve(QUESTION) == []
    ours.add(nodes())
    assert ours.as_index().as_retriever(similarity_top_k=1).retrieve(QUESTION)[0].node_id == uuid_of("tokyo")


# Its filters, and ours.

WORDS = ["red", "green", "blue"]  # none of them a part of another
PHRASES = ["red", "green blue", "blue red", "red green blue"]


def filtered_metadata(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    always = {"year": int(rng.integers(0, 4)), "名": PHRASES[rng.integers(0, 4)]}
    tags = [WORDS[i] for i in rng.integers(0, 3, rng.integers(0, 3))]
    sometimes = {"price": [0.1, 1.0, 2.5][rng.integers(0, 3)], "tags": tags, "count": int(rng.integers(0, 3))}
    there = {key: None if rng.random() < 0.2 else value for key, value in sometimes.items() if rng.random() < 0.7}
    return {**always, **there}


@pytest.fixture(scope="module")
def both(mini: JaColBERT) -> Iterator[tuple[JaColBERTVectorStore, QdrantVectorStore]]:
    client = QdrantClient(":memory:")
    ours = JaColBERTVectorStore(mini, QdrantStore(client, "ours"))
    ours.add([TextNode(id_=uuid_of(str(i)), text="本文", metadata=filtered_metadata(i)) for i in range(40)])
    yield ours, theirs(client, "ours")
    client.close()


def leaf(keys: list[str], operators: list[FilterOperator], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(MetadataFilter, key=st.sampled_from(keys), operator=st.sampled_from(operators), value=values)


LEAVES = st.one_of(
    leaf(["year"], [OP.EQ, OP.NE], st.integers(0, 4)),
    leaf(["year"], [OP.IN, OP.NIN], st.lists(st.integers(0, 4), max_size=3)),
    leaf(["year", "count"], [OP.GT, OP.GTE, OP.LT, OP.LTE], st.integers(0, 4) | st.sampled_from([0.5, 2.0])),
    leaf(["price"], [OP.EQ, OP.GT, OP.GTE, OP.LT, OP.LTE], st.sampled_from([0.1, 1.0, 2.5, 3.0])),
    leaf(["count"], [OP.EQ], st.integers(0, 3)),
    leaf(["count"], [OP.IN], st.lists(st.integers(0, 3), max_size=3)),
    leaf(["名"], [OP.EQ, OP.NE], st.sampled_from(PHRASES)),
    leaf(["名"], [OP.IN, OP.NIN], st.lists(st.sampled_from(PHRASES), max_size=3)),
    leaf(["名"], [OP.TEXT_MATCH, OP.TEXT_MATCH_INSENSITIVE], st.sampled_from([*WORDS, "black"])),
    leaf(["year", "price", "tags", "count", "missing"], [OP.IS_EMPTY], st.none()),
)
CONDITIONS = st.sampled_from(list(FilterCondition))
FILTERS = st.recursive(
    st.builds(MetadataFilters, filters=st.lists(LEAVES, min_size=1, max_size=3), condition=CONDITIONS),
    lambda inner: st.builds(
        MetadataFilters, filters=st.lists(inner | LEAVES, min_size=1, max_size=3), condition=CONDITIONS
    ),
    max_leaves=4,
)
Both = tuple[JaColBERTVectorStore, QdrantVectorStore]


@settings(max_examples=150)
@given(filters=FILTERS)
def test_its_filters_choose_the_nodes_that_ours_choose(both: Both, filters: MetadataFilters) -> None:
    ours, store = both
    assert by_id(store.get_nodes(filters=filters)) == by_id(ours.get_nodes(filters=filters))


def test_it_has_every_operator_but_three(both: Both) -> None:
    lacking = set()
    for operator in FilterOperator:
        value: Any = {OP.IN: [1], OP.NIN: [1], OP.ANY: [1], OP.ALL: [1], OP.IS_EMPTY: None}.get(operator, 1)
        if operator in (OP.TEXT_MATCH, OP.TEXT_MATCH_INSENSITIVE):
            value = "1"
        try:
            both[1].get_nodes(filters=one_filter("year", value, operator))
        except NotImplementedError:
            lacking.add(operator)
    assert lacking == {OP.ANY, OP.ALL, OP.CONTAINS}


@pytest.mark.parametrize(
    ("filters", "its", "our"),
    [
        (one_filter("n", 1, OP.NE), {"two"}, {"two", "none"}),  # a node without the key
        (one_filter("n", [1], OP.NIN), {"two"}, {"two", "none"}),
        (one_filter("name", "OKYO", OP.TEXT_MATCH), set(), {"two"}),  # a part of a word
        (one_filter("name", "tower", OP.TEXT_MATCH), {"one"}, set()),  # in another case
        (one_filter("name", None, OP.IS_EMPTY), set(), {"none"}),  # a string without characters
        (one_filter("price", 2), set(), {"two"}),  # a float that is a whole number
    ],
)
def test_where_its_filters_differ_from_llama_index(
    client: QdrantClient, mini: JaColBERT, filters: MetadataFilters, its: set[str], our: set[str]
) -> None:
    """Ours choose as LlamaIndex's own evaluation does (test_metadata_filters.py)."""
    metadata: dict[str, dict[str, Any]] = {
        "one": {"n": 1, "name": "Tokyo Tower", "price": 1.5},
        "two": {"n": 2, "name": "TOKYO", "price": 2.0},
        "none": {"name": ""},
    }
    ours = JaColBERTVectorStore(mini, QdrantStore(client, "ours"))
    ours.add([TextNode(id_=uuid_of(name), text="本文", metadata=values) for name, values in metadata.items()])
    assert by_id(theirs(client, "ours").get_nodes(filters=filters)).keys() == {uuid_of(name) for name in its}
    assert by_id(ours.get_nodes(filters=filters)).keys() == {uuid_of(name) for name in our}


# We take over its.


def sparse(texts: list[str]) -> tuple[list[list[int]], list[list[float]]]:
    """In place of fastembed's sparse model: each character once."""
    indices = [sorted({ord(character) for character in text}) for text in texts]
    return indices, [[1.0] * len(each) for each in indices]


HYBRID: dict[str, Any] = {"enable_hybrid": True, "sparse_doc_fn": sparse, "sparse_query_fn": sparse}
KINDS: dict[str, dict[str, Any]] = {
    "unnamed": {},
    "named": {"dense_vector_name": "mine"},
    "hybrid": HYBRID,
    "hybrid of other names": {**HYBRID, "dense_vector_name": "mine", "sparse_vector_name": "words"},
}


@pytest.fixture(params=KINDS)
def dense(request: pytest.FixtureRequest, client: QdrantClient) -> VectorStoreIndex:
    """An index over a collection that QdrantVectorStore has made and filled."""
    if request.param == "named":
        params = models.VectorParams(size=8, distance=models.Distance.COSINE)
        client.create_collection("theirs", {"mine": params})
    store = theirs(client, "theirs", **KINDS[request.param])
    context = StorageContext.from_defaults(vector_store=store)
    return VectorStoreIndex(nodes(), storage_context=context, embed_model=MockEmbedding(embed_dim=8))


def answers(store: JaColBERTVectorStore, **options: Any) -> list[str]:
    found = store.as_index().as_retriever(similarity_top_k=1, **options).retrieve(QUESTION)
    return [node.node_id for node in found]


def test_as_it_is_its_collection_is_an_error_that_says_what_to_do(
    client: QdrantClient, dense: VectorStoreIndex, mini: JaColBERT
) -> None:
    before = client.get_collection("theirs")
    unopened = JaColBERTVectorStore(store=QdrantStore(client, "theirs"))
    tries: list[Callable[[], object]] = [
        lambda: JaColBERTVectorStore(mini, QdrantStore(client, "theirs")),
        lambda: JaColBERTRetriever(QdrantStore(client, "theirs"), mini),
        unopened.get_nodes,
        lambda: unopened.add(nodes()),
        lambda: unopened.delete("places"),
    ]
    for attempt in tries:
        with pytest.raises(
            CollectionLayoutError, match=r"'theirs' was not made by.*with reindex.*add_late_interaction"
        ):
            attempt()
    assert client.get_collection("theirs") == before
    assert len(dense.as_retriever(similarity_top_k=9).retrieve(QUESTION)) == 3


def test_its_collection_into_a_new_one_of_ours(client: QdrantClient, dense: VectorStoreIndex, mini: JaColBERT) -> None:
    new = QdrantStore(client, "new", first_stage=Lexical())
    result = reindex(client, "theirs", new, mini)
    assert (result.written, result.failed) == (3, ())
    store = JaColBERTVectorStore(mini, new)
    assert by_id(store.get_nodes()) == by_id(nodes())
    assert answers(store) == answers(store, vector_store_query_mode="hybrid") == [uuid_of("tokyo")]
    assert answers(store, filters=one_filter("題", "cat")) == [uuid_of("cat")]
    assert (
        JaColBERTRetriever(new, mini, similarity_top_k=1).retrieve(QUESTION)[0].node == by_id(nodes())[uuid_of("tokyo")]
    )
    # Their vectors are those that adding the nodes would have made, metadata included.
    points = new.get([node.node_id for node in nodes()])
    for node in nodes():
        expected = mini.encode_document([node.get_content(MetadataMode.EMBED)])[0]
        np.testing.assert_allclose(points[node.node_id].vectors, expected, atol=1e-5)
    dense.delete_ref_doc("animals")
    again = reindex(client, "theirs", new, mini)
    assert (again.written, again.unchanged, again.removed) == (0, 2, 1)
    assert by_id(theirs(client, "new").get_nodes()).keys() == {uuid_of("tokyo"), uuid_of("fuji")}


def test_token_vectors_beside_its_own(client: QdrantClient, dense: VectorStoreIndex, mini: JaColBERT) -> None:
    result = add_late_interaction(client, "theirs", mini, first_stage=Lexical())
    assert (result.written, result.failed) == (3, ())
    inner = QdrantStore(client, "theirs")
    store = JaColBERTVectorStore(mini, inner)
    assert by_id(store.get_nodes()) == by_id(nodes())
    assert answers(store) == answers(store, vector_store_query_mode="hybrid") == [uuid_of("tokyo")]
    assert JaColBERTRetriever(inner, mini, similarity_top_k=1).retrieve(QUESTION)[0].node_id == uuid_of("tokyo")
    # It goes on as before, and what it adds is found by us after the next run.
    dense.insert_nodes([TextNode(id_=uuid_of("kyoto"), text="京都には平安京が置かれた。")])
    assert len(dense.as_retriever(similarity_top_k=9).retrieve(QUESTION)) == 4
    retriever = store.as_index().as_retriever(similarity_top_k=1)
    assert retriever.retrieve("平安京が置かれた京都")[0].node_id != uuid_of("kyoto")
    assert add_late_interaction(client, "theirs", mini, first_stage=Lexical()).written == 1
    assert retriever.retrieve("平安京が置かれた京都")[0].node_id == uuid_of("kyoto")
    # Each deletes for both, and what we add is a node to it, though without a dense vector.
    dense.vector_store.delete("animals")
    store.delete("places")
    store.add([TextNode(id_="大阪", text="大阪には大阪城がある。")])
    assert by_id(store.get_nodes()).keys() == by_id(dense.vector_store.get_nodes()).keys() == {uuid_of("kyoto"), "大阪"}
    assert [node.node_id for node in dense.as_retriever(similarity_top_k=9).retrieve(QUESTION)] == [uuid_of("kyoto")]


def test_its_folder_is_taken_over_when_it_is_opened_again(mini: JaColBERT, tmp_path: Path) -> None:
    client = QdrantClient(path=str(tmp_path / "theirs"))
    context = StorageContext.from_defaults(vector_store=theirs(client, "theirs"))
    VectorStoreIndex(nodes(), storage_context=context, embed_model=MockEmbedding(embed_dim=8))
    client.close()
    client, edge = QdrantClient(path=str(tmp_path / "theirs")), EdgeClient(tmp_path / "ours")
    assert reindex(client, "theirs", QdrantStore(edge, "ours"), mini).written == 3
    client.close()
    edge.close()
    with EdgeClient(tmp_path / "ours") as edge:
        store = JaColBERTVectorStore(mini, QdrantStore(edge, "ours"))
        assert by_id(store.get_nodes()) == by_id(nodes())
        assert answers(store) == [uuid_of("tokyo")]
