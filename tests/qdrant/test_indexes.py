"""Payload indexes: what they answer wrongly is refused or said, and else a filter means the same with each of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import models

from jacolbert_integrations import Condition, EdgeStore, Filter, MemoryStore, Point, QdrantStore
from jacolbert_integrations.errors import FilterWarning, PayloadIndexError
from jacolbert_integrations.qdrant import EdgeClient
from jacolbert_integrations.qdrant.clients import Client
from jacolbert_integrations.qdrant.indexes import index_of, needs
from jacolbert_integrations.types import Operator, TokenVectors

from ..server import WAYS, opened
from ..stores.samples import DIMENSION, IDENTITY

UNIT: TokenVectors = np.eye(1, DIMENSION, dtype=np.float32)
VALUES = {"one": 1, "fraction": 1.5, "text": "x", "date": "2024-05-01", "true": True, "none": None}
KINDS = ["integer", "float", "keyword", "datetime", "bool", "uuid"]


@pytest.fixture(scope="module", params=["edge", *(way for way in WAYS if way != "server-strict")])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    if request.param in WAYS:
        with opened(request.param) as server:
            yield server
        return
    with EdgeClient(tmp_path_factory.mktemp("indexes")) as client:
        yield client


def filled(client: Client, values: dict[str, Any], kind: str | None) -> QdrantStore:
    client.delete_collection("c")
    store = QdrantStore(client, "c", indexes={} if kind is None else {"n": kind})
    store.bind(IDENTITY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FilterWarning)
        store.upsert([Point(name, UNIT, {} if value is None else {"n": value}) for name, value in values.items()])
    store._whole._told.clear()
    return store


def ids(store: Any, condition: Condition) -> set[str]:
    return {point.id for point in store.points(filter=Filter([condition]), with_vectors=False)}


@pytest.mark.parametrize("kind", ["integer", "float", "uuid"])
def test_dates_are_not_compared_by_an_index_of_numbers(engine: Client, kind: str) -> None:
    store = filled(engine, VALUES, kind)
    with pytest.raises(
        PayloadIndexError,
        match=rf"has an? {kind} index over 'n', by which Qdrant cannot compare dates.*Remove.*of a datetime type",
    ):
        ids(store, Condition("n", ">", "2024-01-01"))


def test_numbers_are_not_compared_by_an_index_of_dates(engine: Client) -> None:
    store = filled(engine, VALUES, "datetime")
    with pytest.raises(PayloadIndexError, match=r"has a datetime index over 'n'.*cannot compare numbers"):
        ids(store, Condition("n", ">", 0))


@pytest.mark.parametrize(("operator", "value"), [("==", 1.5), (">", 0), ("<=", 2)])
def test_an_index_of_whole_numbers_leaves_fractions_out(engine: Client, operator: Operator, value: float) -> None:
    store = filled(engine, VALUES, "integer")
    with pytest.warns(FilterWarning, match=r"integer index over 'n', and numbers there that are not whole"):
        assert "fraction" not in ids(store, Condition("n", operator, value))
    ids(store, Condition("n", operator, value))  # said once
    fresh = filled(engine, {"one": 1, "two": 2.0, "text": "x"}, "integer")
    assert ids(fresh, Condition("n", ">", 0)) == {"one", "two"}  # without a warning


@pytest.mark.parametrize("key", ["n", "a.b", "日本 語"])
def test_a_fraction_is_told_of_when_it_is_written(tmp_path: Path, key: str) -> None:
    with EdgeStore(tmp_path, "c", indexes={key: "integer"}) as store:
        store.bind(IDENTITY)
        store.upsert([Point("a", UNIT, {key: 1}), Point("b", UNIT, {key: 2.0})])
        with pytest.warns(FilterWarning, match=f"index over {key!r}"):
            store.upsert([Point("c", UNIT, {key: [1, 2.5]})])
        store.upsert([Point("d", UNIT, {key: 3.5})])


SCALARS = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([0.5, 1.0, -2.5, 2.0, 9007199254740991, 1 << 53, -1e10]),
    st.sampled_from(["x", "", "2024-05-01", "2024-05-02T10:00:00Z", "1", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"]),
    st.booleans(),
    st.none(),
)
NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 1.5, 1.0, -2.5, 9007199254740991, 1 << 53]))
STRINGS = st.sampled_from(["x", "", "1", "2024-05-01", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"])
CONDITIONS = st.one_of(
    st.builds(Condition, st.just("n"), st.sampled_from(["==", "!="]), st.one_of(NUMBERS, STRINGS, st.booleans())),
    st.builds(Condition, st.just("n"), st.sampled_from(["<", "<=", ">", ">="]), NUMBERS),
    st.builds(Condition, st.just("n"), st.sampled_from(["<", ">"]), st.sampled_from(["2024-05-01", "2024-05-02"])),
    st.builds(Condition, st.just("n"), st.sampled_from(["in", "not in"]), st.lists(NUMBERS | STRINGS, max_size=3)),
    st.builds(Condition, st.just("n"), st.just("is_empty")),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(SCALARS | st.lists(SCALARS.filter(lambda v: v is not None), max_size=2), min_size=1, max_size=5),
    conditions=st.lists(CONDITIONS, min_size=1, max_size=6),
    kind=st.sampled_from([None, *KINDS]),
)
def test_a_filter_means_the_same_with_and_without_an_index(
    engine: Client, values: list[Any], conditions: list[Condition], kind: str | None
) -> None:
    """Or it is refused, or warned about."""
    named = {f"p{place}": value for place, value in enumerate(values)}
    exact = MemoryStore()
    exact.bind(IDENTITY)
    exact.upsert([Point(name, UNIT, {} if value is None else {"n": value}) for name, value in named.items()])
    store = filled(engine, named, kind)
    for condition in conditions:
        store._whole._told.clear()
        store._whole._checked.clear()
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always")
            try:
                found = ids(store, condition)
            except PayloadIndexError:
                assert kind in ("integer", "float", "datetime", "uuid")
                continue
        if not any(issubclass(one.category, FilterWarning) for one in noted):
            assert found == ids(exact, condition), condition


def test_what_a_filter_of_qdrants_own_needs() -> None:
    """Also where it is nested, and the forms that this package never makes."""
    field, nested = models.FieldCondition, models.Nested
    condition = models.Filter(
        must=field(key="a", match=models.MatchText(text="x")),
        should=[
            models.NestedCondition(nested=nested(key="items", filter=models.Filter(must=[
                field(key="n", range=models.Range(gt=1)), field(key="k", match=models.MatchAny(any=["x"]))
            ]))),
            models.IsNullCondition(is_null=models.PayloadField(key="z")),
            models.HasIdCondition(has_id=[1]),
        ],
        must_not=[field(key="e", match=models.MatchExcept(**{"except": [1, 2]})), field(key="c", is_empty=True)],
        min_should=models.MinShould(conditions=[field(
            key="g", geo_radius=models.GeoRadius(center=models.GeoPoint(lon=0, lat=0), radius=1)
        )], min_count=1),
    )  # fmt: skip
    assert [(need.key, need.types[0]) for need in needs(condition)] == [
        ("a", "text"), ("items[].n", "float"), ("items[].k", "keyword"), ("z", "keyword"), ("e", "integer"),
        ("c", "keyword"), ("g", "geo"),
    ]  # fmt: skip
    assert list(needs(models.Filter(must=[field(key="a", match=models.MatchAny(any=[]))]))) == []
    uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    (need,) = needs(models.Filter(must=[field(key="a", match=models.MatchValue(value=uuid))]))
    assert need.types == ("keyword", "uuid")


def test_an_index_is_found_however_its_path_is_quoted() -> None:
    info = models.PayloadIndexInfo(data_type=models.PayloadSchemaType.KEYWORD, points=0)
    assert index_of({'"日本 語"': info}, '"日本 語"') is info
    assert index_of({"日本語": info}, '"日本語"') is info
    assert index_of({'"a"."b"': info}, "a.b") is info
    assert index_of({'"a.b"': info}, "a.b") is None


@pytest.mark.parametrize("value", [9007199254740991, 9007199254740991.0, -900719925474099, 1 << 60])
def test_large_whole_numbers_are_sent_as_whole_numbers(engine: Client, value: float) -> None:
    """A server reads the JSON text 9007199254740991.0 as ...990, and a range has floats alone."""
    store = filled(engine, {"a": int(value), "b": int(value) - 1}, None)
    sent = store.condition(Filter([Condition("n", "==", value)]))
    assert sent is not None
    assert sent.model_dump(exclude_none=True) == {"must": [{"key": "n", "match": {"value": int(value)}}]}
    assert ids(store, Condition("n", "==", value)) == {"a"}
