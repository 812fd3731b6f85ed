"""Collections in strict mode, as Qdrant's cloud makes them: filters need indexes, and requests have caps."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core import Document as LlamaDocument
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters
from qdrant_client import QdrantClient, models

from jacolbert_integrations import (
    Condition,
    Filter,
    JaColBERT,
    JaColBERTRetriever,
    JaColBERTVectorStore,
    MemoryStore,
    QdrantStore,
)
from jacolbert_integrations.errors import InputError, PayloadIndexError
from jacolbert_integrations.llama_index import to_documents
from jacolbert_integrations.llama_index.indexes import OUR_INDEXES
from jacolbert_integrations.qdrant import Lexical, QdrantWriter, SearchOptions
from jacolbert_integrations.qdrant.points import VERSION_KEY
from jacolbert_integrations.qdrant.strict_mode import StrictMode
from jacolbert_integrations.types import WithIds

from ..stores.samples import IDENTITY, QUERY, points
from .rest_server import Backend

TEXTS = ["駅前の書店は九時に開く。", "港の灯台は百年前に建てられた。", "山の茶屋では団子を売る。"]


def bound(client: QdrantClient, **options: object) -> QdrantStore:
    store = QdrantStore(client, "documents", **options)  # type: ignore[arg-type]
    store.bind(IDENTITY)
    return store


def since(year: int) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key="year", value=year, operator=FilterOperator.GTE)])


@pytest.mark.parametrize("existing", [False, True])
def test_the_vector_store_needs_nothing_else(
    server: QdrantClient, backend: Backend, mini: JaColBERT, existing: bool
) -> None:
    """What LlamaIndex itself filters by is indexed before the first write, also in a collection that is there."""
    if existing:
        JaColBERTRetriever.from_nodes([TextNode(text="古い文である。")], mini, store=QdrantStore(server, "nodes"))
        backend.indexes.clear()
    backend.strict = {"indexed": True}
    store = JaColBERTVectorStore(mini, QdrantStore(server, "nodes"), indexes={"year": "integer"})
    index = store.as_index()
    for number, text in enumerate(TEXTS):
        index.insert(LlamaDocument(text=text, doc_id=f"d{number}", metadata={"year": 2020 + number}))
    first_write = [path for method, path, _ in backend.requests if method == "PUT"]
    assert first_write.index("/collections/nodes/index") < first_write.index("/collections/nodes/points")
    assert {found["field_name"] for found in backend.indexes} == {*OUR_INDEXES, VERSION_KEY, "year"}
    index.update_ref_doc(LlamaDocument(text="書店は十時に開く。", doc_id="d0", metadata={"year": 2020}))
    index.delete_ref_doc("d2")
    assert [n.text for n in index.as_retriever(doc_ids=["d1"]).retrieve("灯台")] == [TEXTS[1]]
    assert [n.text for n in index.as_retriever(filters=since(2021)).retrieve("灯台")] == [TEXTS[1]]
    assert len(store.get_nodes()) == 2 + existing


def test_a_filter_without_its_index_names_it(server: QdrantClient, backend: Backend, mini: JaColBERT) -> None:
    nodes = [TextNode(id_=f"n{i}", text=text, metadata={"year": 2020 + i}) for i, text in enumerate(TEXTS)]
    backend.strict = {"indexed": True}
    retriever = JaColBERTRetriever.from_nodes(nodes, mini, store=QdrantStore(server, "nodes"), filters=since(2021))
    with pytest.raises(
        PayloadIndexError,
        match=r"'nodes' is in strict mode, and finds numbers under 'year' only with a float index \(or integer\). Make "
        r"it once: client.create_payload_index\('nodes', 'year', 'float'\); or open the store with "
        r"indexes=\{'year': 'float'\}, or with create_missing_indexes=True",
    ):
        retriever.retrieve("灯台")
    allowed = JaColBERTRetriever(
        QdrantStore(server, "nodes"), mini, filters=since(2021), create_missing_indexes=True, similarity_top_k=3
    )
    assert {n.node_id for n in allowed.retrieve("灯台")} == {"n1", "n2"}
    assert {"field_name": "year", "field_schema": "float"} in backend.indexes


@pytest.mark.parametrize(
    ("condition", "kind"),
    [
        (Condition("k", "==", "x"), "keyword"),
        (Condition("k", "in", ["x", "y"]), "keyword"),
        (Condition("k", "not in", ["x"]), "keyword"),
        (Condition("k", "==", True), "bool"),
        (Condition("k", "==", 1), "float"),
        (Condition("k", "<", 1.5), "float"),
        (Condition("k", "==", 1 << 60), "integer"),
        (Condition("k", ">", "2024-01-01"), "datetime"),
        (Condition("k", "is_empty"), "keyword"),
        (Condition("k", "text_match", "x"), "keyword"),
    ],
)
def test_missing_indexes_are_made_of_the_right_type(
    server: QdrantClient, backend: Backend, condition: Condition, kind: str
) -> None:
    bound(server).upsert(points(3))
    backend.strict = {"indexed": True}
    for call in ("search", "count", "delete", "update", "points", "batch", "groups"):
        refused, allowed = bound(server), bound(server, create_missing_indexes=True)
        backend.indexes.clear()
        for store in (refused, allowed):

            def ask(store: QdrantStore = store, call: str = call) -> object:
                only = Filter([condition])
                match call:
                    case "search":
                        return store.search(QUERY, top_k=1, filter=only)
                    case "count":
                        return store.count(filter=only)
                    case "delete":
                        return store.delete(filter=Filter([Condition("k", "==", "none"), only]))
                    case "update":
                        return store.condition(only)
                    case "points":
                        return list(store.points(filter=only))
                    case "batch":
                        return store.search_batch([QUERY], top_k=1, filter=only)
                    case _:
                        return store.search_groups(QUERY, group_by="k", top_k=1, filter=only)

            if call in ("delete", "groups"):
                continue  # of which the key has two types at once
            if store is refused:
                with pytest.raises(PayloadIndexError, match="under 'k'"):
                    ask()
            else:
                ask()
                assert backend.indexes == [{"field_name": "k", "field_schema": kind}], call


def test_whether_there_is_something_under_a_key_of_numbers(
    server: QdrantClient, backend: Backend, mini: JaColBERT
) -> None:
    """LlamaIndex's IS_EMPTY means an empty string, too, which no index of numbers can be asked for."""
    backend.strict = {"indexed": True}
    store = JaColBERTVectorStore(mini, QdrantStore(server, "nodes"), indexes={"year": "integer"})
    store.add([TextNode(id_="old", text=TEXTS[0], metadata={"year": 1900}), TextNode(id_="none", text=TEXTS[1])])
    empty = MetadataFilters(filters=[MetadataFilter(key="year", value=None, operator=FilterOperator.IS_EMPTY)])
    assert [node.node_id for node in store.get_nodes(filters=empty)] == ["none"]


def test_groups_need_an_index_too(server: QdrantClient, backend: Backend) -> None:
    bound(server).upsert(points(3))
    backend.strict = {"indexed": True}
    with pytest.raises(PayloadIndexError, match="finds groups under 'n' only with a keyword index"):
        bound(server).search_groups(QUERY, group_by="n", top_k=2)


def test_an_index_of_another_type_is_not_replaced(server: QdrantClient, backend: Backend) -> None:
    store = bound(server, indexes={"n": "keyword"}, create_missing_indexes=True)
    store.upsert(points(3))
    backend.strict = {"indexed": True}
    with pytest.raises(PayloadIndexError, match="finds numbers under 'n' only with a float index"):
        store.count(filter=Filter([Condition("n", ">", 0)]))


def test_keys_with_dots(server: QdrantClient, backend: Backend) -> None:
    """A key may be a name with dots, or lead into nested payloads: indexed are both, or what is there counts."""
    backend.strict = {"indexed": True}
    store = bound(server, indexes={"a.b": "keyword"})
    store.upsert([points(1)[0]])
    assert {index["field_name"] for index in backend.indexes} >= {'"a.b"', "a.b"}
    condition = Filter([Condition("a.b", "==", "x")])
    assert store.count(filter=condition) == 0
    backend.indexes[:] = [index for index in backend.indexes if index["field_name"] != '"a.b"']
    assert bound(server).count(filter=condition) == 0


def test_caps(server: QdrantClient, backend: Backend) -> None:
    backend.strict = {
        "indexed": True, "max_query_limit": 7, "upsert_max_batchsize": 3, "search_max_batchsize": 2,
        "condition_max_size": 4, "filter_max_conditions": 20,
    }  # fmt: skip
    store, exact = bound(server), MemoryStore()
    exact.bind(IDENTITY)
    bound(server).create()
    bound(server).upsert(points(20))
    exact.upsert(points(20))
    expected = [hit.id for hit in exact.search(QUERY, top_k=7)]
    assert [hit.id for hit in store.search(QUERY, top_k=7)] == expected
    assert [hit.id for hit in store.search(QUERY, top_k=2, options=SearchOptions(offset=5))] == expected[5:]
    assert [[hit.id for hit in hits] for hits in store.search_batch([QUERY] * 5, top_k=7)] == [expected] * 5
    with pytest.raises(InputError, match=r"returns 7 points at most \(max_query_limit\), but 8 are asked for"):
        store.search(QUERY, top_k=8)
    with pytest.raises(InputError, match="but 8 are asked for"):
        store.search(QUERY, top_k=2, options=SearchOptions(offset=6))
    assert len(list(store.points())) == 20
    ids = [point.id for point in points(20)]
    assert store.count(filter=Filter([WithIds(frozenset(ids[:11]))])) == 11
    store.delete(ids[:6])
    assert store.count() == 14
    many = Filter([Condition("n", "==", number) for number in range(21)], "or")
    store.create_missing_indexes = True
    with pytest.raises(InputError, match=r"filters of 20 conditions at most \(filter_max_conditions\).* has 21"):
        store.count(filter=many)


def test_candidates_are_as_many_as_may_be(server: QdrantClient, backend: Backend, mini: JaColBERT) -> None:
    backend.strict = {"indexed": True, "max_query_limit": 50}
    store = QdrantStore(server, "texts", first_stage=Lexical())
    result = QdrantWriter(store, mini).write(to_documents(TextNode(text=text) for text in TEXTS))
    assert (result.written, result.failed) == (3, ())
    hits = store.search(mini.query("港の灯台"), top_k=2)
    assert len(hits) == 2
    assert hits.approximate is False or hits[0].score > 0


def test_without_exact_requests_counts_are_not_asked_for_exactly(server: QdrantClient, backend: Backend) -> None:
    store = bound(server)
    store.upsert(points(5))
    backend.strict = {"search_allow_exact": False}
    backend.sent = []
    assert store.count() == 5
    (sent,) = [sent for sent in backend.sent if sent.path.endswith("/count")]
    assert sent.body["exact"] is False


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_filters_that_are_split_pass_the_same_points(local: QdrantClient, size: int) -> None:
    store = bound(local)
    store.upsert(points(12))
    ids: list[Any] = [models.HasIdCondition(has_id=store.qdrant_ids([p.id for p in points(12)][:7]))]
    nested = models.Filter(
        must=[
            models.FieldCondition(key="n", match=models.MatchAny(any=[1, 2, 3, 4])),
            models.Filter(should=ids, must_not=[models.FieldCondition(key="n", match=models.MatchAny(any=[2, 9]))]),
        ]
    )
    for condition in (
        models.Filter(must=ids),
        models.Filter(must_not=ids),
        nested,
        models.Filter(must=[models.FieldCondition(key="n", match=models.MatchExcept(**{"except": [1, 2, 3]}))]),
        models.Filter(min_should=models.MinShould(conditions=[nested, *ids], min_count=2)),
    ):
        fitted = StrictMode(condition_size=size).fitted(condition, "here")
        expected = {point.id for point in store.points(filter=condition)}
        assert {point.id for point in store.points(filter=fitted)} == expected


def test_strict_mode_that_is_off_allows_all() -> None:
    config = models.StrictModeConfigOutput(enabled=False, unindexed_filtering_retrieve=False, max_query_limit=1)
    assert StrictMode.of(config) == StrictMode.of(None) == StrictMode()


def test_what_is_no_index_is_refused(local: QdrantClient) -> None:
    with pytest.raises(InputError, match="the index of 'n' is 'number', but it must be one of keyword, integer"):
        QdrantStore(local, "c", indexes={"n": "number"})
    with pytest.raises(InputError, match="the index of 'n' is 1"):
        QdrantStore(local, "c").add_indexes({"n": 1})  # type: ignore[dict-item]
