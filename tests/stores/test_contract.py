"""The contract of every store, and that they rank alike."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from jacolbert_integrations import Condition, Filter, MemoryStore, MultiVectorStore, Point, QdrantStore, Query
from jacolbert_integrations.errors import (
    InputError,
    ModelMismatchError,
    QueryLengthWarning,
    StoreNotBoundError,
    UnsupportedFilterError,
    VectorError,
)
from jacolbert_integrations.qdrant import EdgeClient, EdgeProcess, EdgeStore
from jacolbert_integrations.types import ScoresById

from ..server import WAYS, opened
from .samples import DIMENSION, FLOAT32, IDENTITY, IDS, QUERY, points, vectors

Open = Callable[[], MultiVectorStore]


@pytest.fixture(scope="module")
def edge_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeProcess]:
    with EdgeProcess(tmp_path_factory.mktemp("edge")) as client:
        yield client


@pytest.fixture(params=["memory", "qdrant-memory", "qdrant-disk", "edge", "edge-process", *WAYS])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same store anew, unbound."""
    if request.param == "memory":
        saved = tmp_path / "store"
        first = MemoryStore()

        def again() -> MultiVectorStore:
            if first.exists():
                first.save(saved)
                return MemoryStore.open(saved)
            return first

        yield again
        return
    if request.param == "edge":
        with EdgeClient(tmp_path / "edge") as edge:
            yield lambda: QdrantStore(edge, "documents", vector_options=FLOAT32)
        return
    if request.param == "edge-process":
        process = request.getfixturevalue("edge_process")
        yield lambda: QdrantStore(process, "documents", vector_options=FLOAT32)
        process.delete_collection("documents")
        return
    if request.param in WAYS:
        with opened(request.param) as server:
            yield lambda: QdrantStore(server, "documents")
        return
    client = QdrantClient(":memory:") if request.param == "qdrant-memory" else QdrantClient(path=str(tmp_path / "q"))
    yield lambda: QdrantStore(client, "documents")
    client.close()


@pytest.fixture
def store(reopen: Open) -> MultiVectorStore:
    opened = reopen()
    opened.bind(IDENTITY)
    return opened


def test_is_a_store(store: MultiVectorStore) -> None:
    assert isinstance(store, MultiVectorStore)


def test_ranks_by_exact_maxsim(store: MultiVectorStore) -> None:
    given = points(40)
    assert store.upsert(given) == 40
    hits = store.search(QUERY, top_k=10)
    expected = sorted(((float((QUERY.vectors @ p.vectors.T).max(axis=1).sum()), p.id) for p in given), reverse=True)
    assert [hit.id for hit in hits] == [point_id for _, point_id in expected[:10]]
    np.testing.assert_allclose([hit.score for hit in hits], [score for score, _ in expected[:10]], atol=1e-5)
    by_id = {point.id: point for point in given}
    assert all(hit.payload == by_id[hit.id].payload for hit in hits)
    assert len(store.search(QUERY, top_k=100)) == 40


def test_named_documents_are_scored_as_a_search_scores_them(store: MultiVectorStore) -> None:
    assert isinstance(store, ScoresById)
    assert store.score(QUERY, ["a"]) == {}
    given = points(40)
    store.upsert(given)
    ids = ["文書 7", "missing", *(point.id for point in given[::-3])]
    found = store.score(QUERY, [*ids, "文書 7"])
    assert list(found) == [i for i in dict.fromkeys(ids) if i != "missing"]
    assert [hit.id for hit in found.values()] == list(found)
    hits = {hit.id: hit for hit in store.search(QUERY, top_k=40)}
    assert {i: hit.payload for i, hit in found.items()} == {i: hits[i].payload for i in found}
    assert [hit.score for hit in found.values()] == pytest.approx([hits[i].score for i in found], abs=1e-6)
    assert store.score(QUERY, []) == {}
    store.upsert([Point(point_id, vectors(i)) for i, point_id in enumerate(IDS)])
    assert list(store.score(QUERY, IDS)) == IDS
    with pytest.raises(VectorError, match="the query: expected vectors of 8 dimensions, but got 4"):
        store.score(Query(np.ones((2, 4), np.float32)), ["a"])
    with pytest.raises(InputError, match="ids are 'abc', but they must be a list of strings"):
        store.score(QUERY, "abc")


def test_any_number_of_documents_is_scored_at_once(store: MultiVectorStore) -> None:
    assert isinstance(store, ScoresById)
    given = [Point(str(i), vectors(i, 2)) for i in range(1500)]
    store.upsert(given)
    found = store.score(QUERY, [str(i) for i in range(3000)])
    expected = [float((QUERY.vectors @ point.vectors.T).max(axis=1).sum()) for point in given]
    assert [hit.score for hit in found.values()] == pytest.approx(expected, abs=1e-5)


def test_negative_scores_are_ranked_too(store: MultiVectorStore) -> None:
    ones = np.ones((1, DIMENSION), np.float32) / np.sqrt(DIMENSION)
    store.upsert([Point("far", -ones), Point("farther", np.concatenate([-ones] * 3)), Point("middle", -ones / 2)])
    hits = store.search(Query(ones), top_k=3)
    assert [hit.id for hit in hits] == ["middle", "far", "farther"]
    np.testing.assert_allclose([hit.score for hit in hits], [-0.5, -1, -1], atol=1e-6)


def test_empty_before_anything_is_written(store: MultiVectorStore) -> None:
    assert store.count() == 0
    assert store.search(QUERY, top_k=3) == []
    assert store.get(["a"]) == {}
    store.delete(["a"])
    assert store.upsert([]) == 0


def test_upsert_replaces_and_delete_removes(store: MultiVectorStore) -> None:
    store.upsert(points(6))
    store.upsert([Point("文書 3", vectors(77), {"new": True})])
    assert store.count() == 6
    assert store.exists()
    assert store.get(["文書 3"])["文書 3"].payload == {"new": True}
    store.delete(iter(["文書 3", "文書 4", "no such id"]))
    assert store.count() == 4
    assert "文書 3" not in [hit.id for hit in store.search(QUERY, top_k=10)]


def test_the_last_of_a_repeated_id_wins(store: MultiVectorStore) -> None:
    assert store.upsert([Point("a", vectors(1), {"n": 1}), Point("a", vectors(2), {"n": 2})]) == 2
    assert store.count() == 1
    assert store.get(["a"])["a"].payload == {"n": 2}


def test_get_returns_vectors_in_the_order_asked(store: MultiVectorStore) -> None:
    given = points(5)
    store.upsert(given)
    found = store.get(["文書 4", "missing", "文書 0"])
    assert list(found) == ["文書 4", "文書 0"]
    np.testing.assert_allclose(found["文書 4"].vectors, given[4].vectors, atol=1e-6)
    assert found["文書 0"].vectors.dtype == np.float32
    assert found["文書 0"].payload == {"n": 0, "parity": "even"}


def test_any_string_is_an_id(store: MultiVectorStore) -> None:
    store.upsert([Point(point_id, vectors(i)) for i, point_id in enumerate(IDS)])
    assert store.count() == len(IDS)
    assert {hit.id for hit in store.search(QUERY, top_k=20)} == set(IDS)
    assert list(store.get(IDS)) == IDS
    store.delete(IDS[3:5])
    assert store.count() == len(IDS) - 2


def test_all_points_come_once(store: MultiVectorStore) -> None:
    assert list(store.points()) == []
    given = points(60)
    store.upsert(given)
    found = {point.id: point for point in store.points()}
    assert len(list(store.points())) == len(found) == 60
    for point in given:
        np.testing.assert_allclose(found[point.id].vectors, point.vectors, atol=1e-3)
        assert found[point.id].vectors.dtype == np.float32
        assert found[point.id].payload == point.payload
    odd = [point.id for point in store.points(filter=Filter([Condition("parity", "==", "odd")]))]
    assert sorted(odd) == sorted(point.id for point in given[1::2])
    with pytest.raises(UnsupportedFilterError, match=r"but got a builtins.str"):
        store.points(filter="n > 3")


def test_reading_without_vectors(store: MultiVectorStore) -> None:
    store.upsert(points(5))
    for found in (
        store.get(["文書 4", "missing", "文書 0"], with_vectors=False).values(),
        store.points(filter=Filter([Condition("n", "in", [0, 4])]), with_vectors=False),
    ):
        read = {point.id: point for point in found}
        assert {point_id: point.payload["n"] for point_id, point in read.items()} == {"文書 0": 0, "文書 4": 4}
        assert {point.vectors.shape for point in read.values()} == {(0, 8)}
        assert {point.vectors.dtype for point in read.values()} == {np.dtype(np.float32)}


def test_contains_some_ids(store: MultiVectorStore) -> None:
    assert store.contains(["a"]) == set()
    store.upsert([Point(point_id, vectors(i)) for i, point_id in enumerate(IDS[1:])])
    assert store.contains(IDS) == set(IDS[1:])
    assert store.contains([]) == set()


def test_checked_writes_nothing(store: MultiVectorStore) -> None:
    first, second = Point("a", vectors(1), {"n": 1}), Point("a", vectors(2), {"n": (2,)})
    (checked,) = store.checked([first, second])
    assert checked.payload == {"n": [2]}
    with pytest.raises(VectorError, match="expected vectors of 8 dimensions, but got 9"):
        store.checked([first, Point("bad", np.ones((2, DIMENSION + 1), np.float32))])
    assert store.count() == 0


def test_identity_is_known_without_a_model(reopen: Open) -> None:
    store = reopen()
    assert store.identity() is None
    store.bind(IDENTITY)
    assert store.identity() == IDENTITY
    store.upsert(points(1))
    again = reopen()
    assert again.identity() == IDENTITY
    with pytest.warns(QueryLengthWarning):
        again.bind(replace(IDENTITY, query_length="fixed"))
    assert again.identity() == IDENTITY


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.empty((0, DIMENSION)), r"point 'bad': expected the shape \(tokens, dimension\)"),
        (np.ones((2, DIMENSION + 1)), "expected vectors of 8 dimensions, but got 9"),
        (np.ones(DIMENSION), r"but got \(8,\)"),
        (np.full((2, DIMENSION), np.nan), "point 'bad': row 0 holds NaN or infinity"),
        (np.concatenate([vectors(1), np.zeros((1, DIMENSION))]), "point 'bad': row 5 is all zero"),
        ([[1.0, 2.0], [1.0]], "expected a matrix of numbers"),
    ],
)
def test_bad_vectors_and_nothing_half_written(store: MultiVectorStore, bad: Any, message: str) -> None:
    with pytest.raises(VectorError, match=message):
        store.upsert([*points(3), Point("bad", bad)])
    assert store.count() == 0


def test_bad_arguments(store: MultiVectorStore) -> None:
    store.upsert(points(3))
    for top_k in (0, -1, True, 2.0):
        with pytest.raises(InputError, match="top_k is"):
            store.search(QUERY, top_k=top_k)  # type: ignore[arg-type]
    with pytest.raises(VectorError, match="the query: expected vectors of 8 dimensions, but got 4"):
        store.search(Query(np.ones((2, 4), np.float32)), top_k=1)
    for bad_id in ("", 3):
        with pytest.raises(InputError, match="an id is a non-empty string"):
            store.upsert([Point(bad_id, vectors(1))])  # type: ignore[arg-type]
    with pytest.raises(UnsupportedFilterError, match=r"but got a builtins.str"):
        store.search(QUERY, top_k=1, filter="n > 3")


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), object()])
def test_payloads_are_json(store: MultiVectorStore, value: object) -> None:
    with pytest.raises(InputError, match="point 'bad' has a payload that is not JSON-serialisable"):
        store.upsert([*points(2), Point("bad", vectors(1), {"value": value})])
    assert store.count() == 0


def test_a_store_wants_to_know_its_model(reopen: Open) -> None:
    store = reopen()
    for act in (
        lambda: store.upsert(points(1)),
        lambda: store.search(QUERY, top_k=1),
        lambda: store.count(),
        lambda: store.get(["a"]),
        lambda: store.delete(["a"]),
        lambda: store.checked(points(1)),
        lambda: store.contains(["a"]),
        lambda: store.points(),
        lambda: store.score(QUERY, ["a"]),  # type: ignore[attr-defined]
    ):
        with pytest.raises(StoreNotBoundError, match=r"call bind\(model\.identity\) first"):
            act()


@pytest.mark.parametrize(
    "change", [{"fingerprint": "0" * 64}, {"dimension": 16}, {"pooling": "hierarchical-2"}, {"document_maxlen": 228}]
)
def test_another_model_is_refused_before_anything_happens(
    store: MultiVectorStore, reopen: Open, change: dict[str, Any]
) -> None:
    store.upsert(points(3))
    other = reopen()
    with pytest.raises(
        ModelMismatchError, match=f"was made by the model 'made-up', not by 'other': {next(iter(change))}"
    ):
        other.bind(replace(IDENTITY, name="other", **change))
    with pytest.raises(StoreNotBoundError):
        other.search(QUERY, top_k=1)
    again = reopen()
    again.bind(replace(IDENTITY, name="renamed"))
    assert again.count() == 3


def test_another_query_rule_is_pointed_out(store: MultiVectorStore, reopen: Open) -> None:
    store.upsert(points(2))
    again = reopen()
    with pytest.warns(QueryLengthWarning, match="recorded with the query-length rule 'released', and the model now"):
        again.bind(replace(IDENTITY, query_length="fixed"))
    assert again.count() == 2


PAYLOADS: list[dict[str, Any]] = [
    {"n": 1, "name": "東京", "tags": ["a", "b"], "flag": True, "price": 1.5},
    {"n": 2, "name": "京都", "tags": ["b"], "flag": False, "price": 2.5},
    {"n": 3, "name": "大阪", "tags": [], "price": 10},
    {"n": 4, "name": "東京都", "tags": ["c", "a", "b"], "flag": True},
    {"name": "other", "tags": None, "n": "1"},
]


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (Filter([Condition("n", "==", 1)]), {0}),
        (Filter([Condition("name", "==", "東京")]), {0}),
        (Filter([Condition("flag", "==", True)]), {0, 3}),
        (Filter([Condition("price", "==", 2.5)]), {1}),
        (Filter([Condition("n", "!=", 1)]), {1, 2, 3, 4}),
        (Filter([Condition("n", ">", 2)]), {2, 3}),
        (Filter([Condition("n", ">=", 2), Condition("n", "<", 4)]), {1, 2}),
        (Filter([Condition("price", "<=", 2.5)]), {0, 1}),
        (Filter([Condition("n", "in", [1, 4])]), {0, 3}),
        (Filter([Condition("n", "in", [])]), set()),
        (Filter([Condition("name", "not in", ["東京", "京都"])]), {2, 3, 4}),
        (Filter([Condition("tags", "contains", "a")]), {0, 3}),
        (Filter([Condition("tags", "any", ["a", "c"])]), {0, 3}),
        (Filter([Condition("tags", "all", ["a", "b"])]), {0, 3}),
        (Filter([Condition("tags", "is_empty")]), {2, 4}),
        (Filter([Condition("missing", "is_empty")]), {0, 1, 2, 3, 4}),
        (Filter([Condition("missing", "==", 1)]), set()),
        (Filter([Condition("n", "==", 1), Condition("n", "==", 2)], "or"), {0, 1}),
        (Filter([Condition("n", "==", 1), Condition("n", "==", 2)], "not"), {2, 3, 4}),
        (Filter([]), {0, 1, 2, 3, 4}),
        (Filter([Filter([Condition("n", "<", 3)]), Filter([Condition("flag", "==", True)], "not")]), {1}),
    ],
)  # fmt: skip
def test_filters(store: MultiVectorStore, filter: Filter, expected: set[int]) -> None:
    store.upsert([Point(str(i), vectors(i), payload) for i, payload in enumerate(PAYLOADS)])
    assert {int(hit.id) for hit in store.search(QUERY, top_k=10, filter=filter)} == expected
    assert store.count(filter=filter) == len(expected)


VALUES = st.none() | st.integers(0, 3) | st.sampled_from(["a", "b", "ab"]) | st.lists(st.integers(0, 3), max_size=3)
CONDITIONS = (
    st.builds(Condition, st.sampled_from("xy"), st.sampled_from(["==", "!=", "contains"]),
              st.integers(0, 3) | st.just("a"))
    | st.builds(Condition, st.sampled_from("xy"), st.sampled_from([">", ">=", "<", "<="]), st.integers(0, 3))
    | st.builds(Condition, st.sampled_from("xy"), st.sampled_from(["in", "not in", "any", "all"]),
                st.lists(st.integers(0, 3), max_size=3))
    | st.builds(Condition, st.sampled_from("xy"), st.just("is_empty"))
)  # fmt: skip
FILTERS = st.recursive(
    st.builds(Filter, st.lists(CONDITIONS, max_size=3), st.sampled_from(["and", "or", "not"])),
    lambda inner: st.builds(Filter, st.lists(inner | CONDITIONS, max_size=3), st.sampled_from(["and", "or", "not"])),
    max_leaves=4,
)


@settings(max_examples=80)
@given(st.lists(st.dictionaries(st.sampled_from("xy"), VALUES), min_size=1, max_size=6), FILTERS)
def test_qdrant_filters_as_the_memory_store_does(payloads: list[dict[str, Any]], filter: Filter) -> None:
    client = QdrantClient(":memory:")
    with tempfile.TemporaryDirectory() as folder, EdgeStore(folder, vector_options=FLOAT32) as edge:
        stores: list[MultiVectorStore] = [MemoryStore(), QdrantStore(client, "c"), edge]
        for store in stores:
            store.bind(IDENTITY)
            store.upsert([Point(str(i), vectors(i), payload) for i, payload in enumerate(payloads)])
        memory, *others = [store.search(QUERY, top_k=10, filter=filter) for store in stores]
    client.close()
    for found in others:
        assert [hit.id for hit in found] == [hit.id for hit in memory]
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in memory], abs=1e-4)


def test_native_filters_pass_through() -> None:
    memory, client = MemoryStore(), QdrantClient(":memory:")
    qdrant = QdrantStore(client, "c")
    for store in (memory, qdrant):
        store.bind(IDENTITY)
        store.upsert(points(10))
    native = models.Filter(must=[models.FieldCondition(key="n", range=models.Range(gte=7))])
    expected = {"文書 7", "文書 8", "文書 9"}
    assert {hit.id for hit in qdrant.search(QUERY, top_k=10, filter=native)} == expected
    assert {hit.id for hit in memory.search(QUERY, top_k=10, filter=lambda payload: payload["n"] >= 7)} == expected
    client.close()


def test_pages_of_points_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    client = QdrantClient(":memory:")
    store = QdrantStore(client, "c")
    store.bind(IDENTITY)
    store.upsert(points(50))
    real, asked = client.scroll, []

    def scroll(*arguments: Any, **options: Any) -> Any:
        asked.append(options["limit"])
        if len(asked) % 2:
            raise ConnectionError("reset by peer")
        return real(*arguments, **options)

    monkeypatch.setattr(client, "scroll", scroll)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert len({point.id for point in store.points(batch=20)}) == 50
    assert asked == [16, 16, 20, 20, 20, 20]
    for batch in (0, -1, True, 2.0):
        with pytest.raises(InputError, match="batch is"):
            store.points(batch=batch)  # type: ignore[arg-type]
    client.close()
