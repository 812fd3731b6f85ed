"""What goes into any store: kept exactly by all of them, or refused by all of them, before anything is written."""

from __future__ import annotations

import datetime
import decimal
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient

from jacolbert_integrations import Condition, EdgeStore, Filter, MemoryStore, MultiVectorStore, Point, QdrantStore
from jacolbert_integrations.errors import FilterWarning, InputError, UnsupportedFilterError
from jacolbert_integrations.qdrant import QdrantWriter, reindex
from jacolbert_integrations.qdrant.clients import uses_grpc
from jacolbert_integrations.qdrant.points import native_id
from jacolbert_integrations.stores import payloads
from jacolbert_integrations.stores.payloads import MAX_DEPTH, json_copy
from jacolbert_integrations.types import Document, WithIds

from .. import server
from ..qdrant.writing import Encoder, as_model
from .samples import IDENTITY, QUERY, vectors

Reopen = Callable[[], MultiVectorStore]
WAYS = server.WAYS

Store = TypeVar("Store", bound=MultiVectorStore)


@pytest.fixture(params=["memory", "local", "edge", *WAYS])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reopen]:
    """Opens the same store again, from its files where it has some."""
    opened: list[EdgeStore] = []

    def edge() -> MultiVectorStore:
        while opened:
            opened.pop().close()
        opened.append(EdgeStore(tmp_path / "edge"))
        return bound(opened[-1])

    if request.param == "memory":
        memory = bound(MemoryStore())

        def again() -> MultiVectorStore:
            if not memory.count():
                return memory
            memory.save(tmp_path / "memory")
            return bound(MemoryStore.open(tmp_path / "memory"))

        yield again
    elif request.param in WAYS:
        with server.opened(request.param) as real:
            yield lambda: bound(QdrantStore(real, "c"))
    elif request.param == "local":
        client = QdrantClient(":memory:")
        yield lambda: bound(QdrantStore(client, "c"))
        client.close()
    else:
        yield edge
        edge()
        opened.pop().close()


def bound(store: Store) -> Store:
    store.bind(IDENTITY)
    return store


def nested(depth: int, kind: type = dict) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = {"a": value} if kind is dict else [value]
    return value


@pytest.mark.parametrize("kind", [dict, list])
def test_what_is_nested_as_deep_as_may_be_survives(reopen: Reopen, kind: type) -> None:
    store = reopen()
    over_grpc = isinstance(store, QdrantStore) and uses_grpc(store.client)
    payload = {"d": nested((32 if kind is dict else 48) if over_grpc else MAX_DEPTH - 1, kind)}
    store.upsert([Point("good", vectors(1)), Point("deep", vectors(2), payload)])
    again = reopen()
    assert again.count() == 2
    assert again.get(["deep"])["deep"].payload == payload
    assert {hit.id for hit in again.search(QUERY, top_k=2)} == {"good", "deep"}


REFUSED: list[tuple[Any, str]] = [
    ({"d": nested(MAX_DEPTH)}, r"'d\.a\.a'.*nested more than 100 deep"),
    ({"d": nested(3_000, list)}, "nested more than 100 deep"),
    ({"a": {"b": "x\ud800"}}, r"under 'a\.b', it holds a lone surrogate"),
    ({"a\udfff": 1}, "the key .* holds a lone surrogate"),
    ({"a": 1 << 63}, "under 'a', 9223372036854775808 is beyond 64 bits"),
    ({"a": [-(1 << 63) - 1]}, r"under 'a\.0'.*beyond 64 bits"),
    ({"a": 10**6_000}, "beyond 64 bits"),
    ({"a": float("nan")}, "nan is no JSON number"),
    ({"a": [1, float("-inf")]}, r"under 'a\.1', -inf"),
    ({"a": {1, 2}}, "a set is no JSON value"),
    ({"a": b"x"}, "a bytes is no JSON value"),
    ({"a": datetime.date(2024, 5, 1)}, r"a date is no JSON value.*isoformat\(\)"),
    ({"a": np.int64(3)}, r"a int64 is no JSON value.*item\(\)"),
    ({"a": np.float32(3)}, "a float32 is no JSON value"),
    ({"a": decimal.Decimal(1)}, "a Decimal is no JSON value"),
    ({1: "x"}, "the key 1 is a int, not a string"),
    (["a"], "it is a list"),
    (None, "it is a NoneType"),
]


@pytest.mark.parametrize(("payload", "message"), REFUSED)
def test_what_some_engine_cannot_keep_is_refused_by_all(reopen: Reopen, payload: Any, message: str) -> None:
    store = reopen()
    with pytest.raises(InputError, match=f"point 'bad' has a payload that is not JSON-serialisable: .*{message}"):
        store.upsert([Point("good", vectors(1)), Point("bad", vectors(2), payload)])
    assert store.count() == 0
    if hasattr(store, "update_payload") and isinstance(payload, dict):
        with pytest.raises(InputError, match=message):
            store.update_payload(payload, ids=["good"])


@pytest.mark.parametrize(
    ("point_id", "message"), [("", "non-empty"), (None, "non-empty"), (3, "non-empty"), ("x\ud800", "surrogate")]
)
def test_ids(reopen: Reopen, point_id: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        reopen().upsert([Point(point_id, vectors(1))])


@pytest.mark.parametrize("given", [("a", "text"), {"id": "a"}, Document("a", "text")])
def test_only_points(reopen: Reopen, given: Any) -> None:
    with pytest.raises(InputError, match=r"point 0 is a .*Point is expected"):
        reopen().upsert([given])


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.integers(-1000, 1000).map(lambda n: n / 16)  # Edge may change the last bit of longer fractions
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payload=st.dictionaries(st.sampled_from(["a", "日付", "b.c", "d[]", "e f"]), VALUES, max_size=4))
def test_what_is_taken_comes_back_as_it_was(reopen: Reopen, payload: dict[str, Any]) -> None:
    store = reopen()
    store.upsert([Point("a", vectors(1), payload)])
    kept = store.get(["a"])["a"].payload
    assert kept == payload
    # 1 stays 1, 1.0 stays 1.0, -0.0 stays so, too; only gRPC has no order of keys
    assert json.dumps(kept, sort_keys=True) == json.dumps(json_copy(payload, "it"), sort_keys=True)


def test_the_copy_is_nobody_elses() -> None:
    inner: list[Any] = [1, (2, 3)]
    copy = json_copy({"a": inner}, "it")
    inner.append(4)
    assert copy == {"a": [1, [2, 3]]}


def test_the_writer_reports_what_it_cannot_write_and_writes_the_others(client: Any) -> None:
    store = QdrantStore(client, "documents")
    bad = [Document(f"bad {i}", "文", payload) for i, (payload, _) in enumerate(REFUSED) if isinstance(payload, dict)]
    documents = [
        Document("a", "よい文"),
        *bad,
        Document("x\ud800", "文"),
        Document("s", "楽しい\ud83d"),
        Document("z", "よい文"),
    ]
    result = QdrantWriter(store, as_model(Encoder())).write(documents)
    assert result.written == 2
    assert {failed.id for failed in result.failed} == {document.id for document in documents[1:-1]}
    assert "lone surrogate" in result.failed[-1].reason
    assert {point.id for point in store.points()} == {"a", "z"}


@pytest.mark.parametrize("given", [("a", "text"), "text", None])
def test_the_writer_wants_documents(client: Any, given: Any) -> None:
    writer = QdrantWriter(QdrantStore(client, "documents"), as_model(Encoder()))
    with pytest.raises(InputError, match=r"a writer writes .*Document"):
        writer.write([given])


@pytest.fixture(params=["local", "edge", *WAYS])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "local":
        opened: Any = QdrantClient(":memory:")
        yield opened
        opened.close()
    elif request.param in WAYS:
        with server.opened(request.param) as real:
            yield real
    else:
        with EdgeStore(tmp_path) as store:
            yield store.client


@pytest.mark.parametrize("point_id", ["1" * 20, "1" * 25, "9" * 5_000, str(1 << 64), "007", "１２"])
def test_numbers_that_are_no_ids_of_qdrants(client: Any, point_id: str) -> None:
    assert isinstance(native_id(point_id), int) == (point_id == "1" * 20)
    store = bound(QdrantStore(client, "documents"))
    store.upsert([Point(point_id, vectors(1), {"text": "文"}), Point("other", vectors(2), {"text": "別"})])
    assert [hit.id for hit in store.search(QUERY, top_k=2, filter=Filter([WithIds([point_id])]))] == [point_id]
    target = QdrantStore(client, "copy")
    assert reindex(client, "documents", target, as_model(Encoder())).written == 2
    store.delete(filter=Filter([WithIds([point_id])]))
    assert [point.id for point in store.points()] == ["other"]


@pytest.mark.parametrize(
    "condition",
    [
        Condition("n", "==", 1 << 63),
        Condition("n", "in", [1, -(1 << 63) - 1]),
        Condition("n", ">", 10**30),
        Condition("n", "<", float("inf")),
        Condition("n", "==", float("nan")),
        Condition("n", "==", "x\ud800"),
        Condition("n", "text_match", "\udfff"),
        Condition("n", "like", "x"),  # type: ignore[arg-type]
        Condition(None, "==", "x"),  # type: ignore[arg-type]
    ],
)
def test_conditions_that_nothing_can_pass_are_refused(reopen: Reopen, condition: Condition) -> None:
    store = reopen()
    store.upsert([Point("a", vectors(1), {"n": 1})])
    for act in (
        lambda: store.search(QUERY, top_k=1, filter=Filter([condition])),
        lambda: store.count(filter=Filter([Filter([condition], "not")])),
        lambda: store.delete(filter=Filter([condition], "or")),
        lambda: list(store.points(filter=Filter([condition]))),
    ):
        with pytest.raises(UnsupportedFilterError):
            act()
    assert store.count() == 1


def test_dates_that_no_date_filter_finds_are_pointed_out_once(reopen: Reopen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "_told_of_dates", set())
    store = reopen()
    with pytest.warns(FilterWarning, match=r"'日付' holds '2024/6/1'.*write '2024-06-01'"):
        store.upsert([Point("a", vectors(1), {"日付": "2024/6/1"})])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.upsert([Point("b", vectors(1), {"日付": "2024.06.02"})])
        store.upsert([Point("c", vectors(1), {"iso": "2024-06-02", "text": "2024/06/02に改定した。"})])


PLACED: list[dict[str, Any]] = [
    {"items": [{"n": 1}, {"n": 2}]},
    {"items": [{"n": 3}]},
    {"items": []},
    {},
    {"items": [{"n": [4, 1]}, {"m": 1}]},
    {"items": {"n": 1}},
    {"items": [1, 2]},
    {"items[].n": 1},
    {"a": {"items": [{"n": 1}]}},
    {"items": [{"n": None}]},
]


@pytest.mark.parametrize(
    ("key", "operator", "value", "expected"),
    [
        ("items[].n", "==", 1, {0, 4, 7}),
        ("items[].n", "!=", 1, {1, 2, 3, 5, 6, 8, 9}),
        ("items[].n", "in", [1, 3], {0, 1, 4, 7}),
        ("items[].n", "not in", [1], {1, 2, 3, 5, 6, 8, 9}),
        ("items[].n", ">", 2, {1, 4}),
        ("items[].n", "all", [1, 2], {0}),
        ("items[].n", "is_empty", None, {2, 3, 5, 6, 8, 9}),
        ("items[0].n", "==", 1, {0, 4}),
        ("items[1].n", "==", 2, {0}),
        ("items[]", "==", 1, {6}),
        ("a.items[].n", "==", 1, {8}),
        ("items.n", "==", 1, {5}),
    ],
)
def test_paths_into_lists(reopen: Reopen, key: str, operator: Any, value: Any, expected: set[int]) -> None:
    store = reopen()
    store.upsert([Point(str(i), vectors(i), payload) for i, payload in enumerate(PLACED)])
    found = store.points(filter=Filter([Condition(key, operator, value)]))
    assert {int(point.id) for point in found} == expected
