"""LlamaIndex's metadata filters, by every store, as LlamaIndex itself means them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from llama_index.core.vector_stores.utils import build_metadata_filter_fn
from qdrant_client import QdrantClient, models

from jacolbert_integrations import (
    Condition,
    EdgeStore,
    Filter,
    MemoryStore,
    MultiVectorStore,
    Point,
    QdrantStore,
    Query,
)
from jacolbert_integrations.errors import InputError, UnsupportedFilterError
from jacolbert_integrations.llama_index.nodes import node_text, to_payload, to_store_filter
from jacolbert_integrations.qdrant.filters import to_qdrant
from jacolbert_integrations.stores.filters import as_date
from jacolbert_integrations.types import ModelIdentity, TokenVectors, WithIds

from ..server import WAYS, opened

IDENTITY = ModelIdentity("made-up", "f" * 64, 8, 300)
WORDS = ["京都", "東京", "東京都", "Tokyo Tower", "tokyo", "", "c++ 言語"]
TAGS = [word for word in WORDS if word]  # a list that holds an empty string is empty to us, and not to LlamaIndex
DAYS = ["2024-05-01", "2024-05-02", "2023-12-31"]
OP = FilterOperator
ORDER = [OP.GT, OP.GTE, OP.LT, OP.LTE]


def metadata(seed: int) -> dict[str, Any]:
    """Random metadata; of each kind of value something, or nothing."""
    rng = np.random.default_rng(seed)
    full = {
        "year": int(rng.integers(0, 4)),
        "price": [1.0, 2.5, 3, 0.1][rng.integers(0, 4)],
        "name": WORDS[rng.integers(0, len(WORDS))],
        "day": DAYS[rng.integers(0, len(DAYS))],
        "tags": [TAGS[i] for i in rng.integers(0, len(TAGS), rng.integers(0, 3))],
        "marks": [int(i) for i in rng.integers(0, 4, rng.integers(0, 3))],
        "題 名": WORDS[rng.integers(0, len(WORDS))],
    }
    return {key: None if rng.random() < 0.1 else value for key, value in full.items() if rng.random() < 0.75}


NODES = {f"n{i}": metadata(i) for i in range(40)}


def vectors(seed: int) -> TokenVectors:
    return np.random.default_rng(seed).standard_normal((2, 8)).astype(np.float32)


QUERY = Query(vectors(999))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, MultiVectorStore]]:
    client = QdrantClient(":memory:")
    with EdgeStore(Path(tmp_path_factory.mktemp("edge"))) as edge, ExitStack() as servers:
        every: dict[str, MultiVectorStore] = {"memory": MemoryStore(), "local": QdrantStore(client, "c"), "edge": edge}
        every |= {
            way: QdrantStore(servers.enter_context(opened(way)), "c") for way in WAYS if "strict" not in way
        }  # keys of many types
        for store in every.values():
            store.bind(IDENTITY)
            nodes = [TextNode(id_=name, text="本文", metadata=values) for name, values in NODES.items()]
            store.upsert([Point(n.node_id, vectors(i), to_payload(n), node_text(n)) for i, n in enumerate(nodes)])
        yield every
    client.close()


def leaf(keys: list[str], operators: list[FilterOperator], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(MetadataFilter, key=st.sampled_from(keys), operator=st.sampled_from(operators), value=values)


NUMBER = st.integers(0, 4) | st.sampled_from([0.1, 1.0, 2.5])
NUMBERS = st.lists(st.integers(0, 4), max_size=3) | st.lists(st.sampled_from([0.1, 1.0, 2.5]), max_size=3)
WORD = st.sampled_from(WORDS)
LEAVES = st.one_of(
    leaf(["year", "price"], [OP.EQ, OP.NE, *ORDER], NUMBER),
    leaf(["year", "price"], [OP.IN, OP.NIN], NUMBERS),
    leaf(["name", "題 名"], [OP.EQ, OP.NE], WORD),
    leaf(["name", "題 名"], [OP.IN, OP.NIN], st.lists(WORD, max_size=3)),
    leaf(["name", "題 名"], [OP.TEXT_MATCH, OP.TEXT_MATCH_INSENSITIVE],
         st.sampled_from(["京", "Tokyo", "TOKYO", "o T", "kyo", "++", "無い"])),
    leaf(["day"], ORDER, st.sampled_from(DAYS)),
    leaf(["tags"], [OP.CONTAINS], WORD),
    leaf(["marks"], [OP.CONTAINS], st.integers(0, 4)),
    leaf(["tags"], [OP.ANY, OP.ALL], st.lists(WORD, min_size=1, max_size=3)),
    leaf(["marks"], [OP.ANY, OP.ALL], st.lists(st.integers(0, 4), min_size=1, max_size=3)),
    leaf(["year", "name", "tags", "題 名", "no such key"], [OP.IS_EMPTY], st.none()),
    leaf(["year", "name"], [OP.EQ, OP.NE], st.none()),
)  # fmt: skip
CONDITIONS = st.sampled_from([*FilterCondition, None])
FILTERS = st.recursive(
    st.builds(MetadataFilters, filters=st.lists(LEAVES, max_size=3), condition=CONDITIONS),
    lambda inner: st.builds(MetadataFilters, filters=st.lists(inner | LEAVES, max_size=3), condition=CONDITIONS),
    max_leaves=4,
)


def passes(filters: MetadataFilters | MetadataFilter, values: dict[str, Any]) -> bool:
    """LlamaIndex's own evaluation of each filter; it has none of nested ones."""
    if isinstance(filters, MetadataFilter):
        return build_metadata_filter_fn(lambda _: values, MetadataFilters(filters=[filters]))("any")
    results = [passes(each, values) for each in filters.filters]
    match filters.condition:
        case FilterCondition.OR:
            return any(results) or not results
        case FilterCondition.NOT:
            return not any(results)
        case _:
            return all(results)


@settings(max_examples=150)
@given(filters=FILTERS)
def test_every_store_filters_as_llama_index_does(stores: dict[str, MultiVectorStore], filters: MetadataFilters) -> None:
    expected = {name for name, values in NODES.items() if passes(filters, values)}
    condition = to_store_filter(filters)
    found = {
        name: {hit.id for hit in store.search(QUERY, top_k=100, filter=condition)} for name, store in stores.items()
    }
    assert found == dict.fromkeys(stores, expected)


def test_every_operator_is_among_them() -> None:
    assert {condition.value for condition in FilterCondition} == {"and", "or", "not"}
    for operator in FilterOperator:
        value: Any = {"in": ["a"], "nin": ["a"], "any": ["a"], "all": ["a"]}.get(operator.value, "2024-05-01")
        filters = MetadataFilters(filters=[MetadataFilter(key="name", value=value, operator=operator)])
        assert isinstance(to_store_filter(filters), Filter), operator


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        (OP.GT, "京都", "a number, or a date"),
        (OP.LTE, "2024-13-01", "a number, or a date"),
        (OP.IN, "京都", "a list of"),
        (OP.ANY, 1, "a list of"),
        (OP.TEXT_MATCH, 1, "a string"),
        (OP.EQ, ["a"], "a string, a number or a boolean"),
        (OP.GT, None, "a number, or a date"),
    ],
)
def test_values_that_cannot_be_compared(
    stores: dict[str, MultiVectorStore], operator: FilterOperator, value: Any, expected: str
) -> None:
    filters = MetadataFilters(filters=[MetadataFilter(key="name", value=value, operator=operator)])
    for store in stores.values():
        with pytest.raises(UnsupportedFilterError, match=f"name .*: the value must be {expected}"):
            store.search(QUERY, top_k=1, filter=to_store_filter(MetadataFilters(filters=[filters])))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2024-05-01", "2024-05-01T00:00:00Z"),
        ("2024-05-01 09:30", "2024-05-01T09:30:00+00:00"),
        ("2024-05-01T09:30:00+09:00", "2024-05-01T00:30:00Z"),
        ("2024-05-01T09:30:00.5Z", "2024-05-01T09:30:00.500000+00:00"),
    ],
)
def test_dates(text: str, same: str) -> None:
    assert as_date(text) == as_date(same) is not None


@pytest.mark.parametrize(
    "value", ["", "2024", "2024-02-30", "２０２４-05-01", "2024-05-01T25:00", "昨日", 20240501, None]
)
def test_no_dates(value: object) -> None:
    assert as_date(value) is None


def test_points_by_their_ids(stores: dict[str, MultiVectorStore]) -> None:
    both = Filter([WithIds(["n1", "n2", "no such id"]), Filter([WithIds(["n2"])], "not")])
    for store in stores.values():
        assert {hit.id for hit in store.search(QUERY, top_k=100, filter=both)} == {"n1"}
        assert store.count(filter=Filter([WithIds([])])) == 0
        assert store.count(filter=Filter([WithIds(["n1"])], "not")) == len(NODES) - 1


SCALARS = [True, False, 1, 0, 1.0, 0.0, "1", "true"]


@pytest.mark.parametrize(
    ("value", "equal"),
    [(True, [True]), (False, [False]), (1, [1, 1.0]), (0.0, [0, 0.0]), ("1", ["1"]), ("true", ["true"])],
)
def test_kinds_of_values_are_kept_apart(stores: dict[str, MultiVectorStore], value: Any, equal: list[Any]) -> None:
    """As in JSON: true is no 1, and 1.0 is one."""
    ids, equal_ids = {repr(scalar) for scalar in SCALARS}, {repr(scalar) for scalar in equal}
    for name, store in stores.items():
        store.upsert([Point(repr(scalar), vectors(1), {"scalar": scalar}) for scalar in SCALARS])
        for operator, other, asked in (("==", "!=", value), ("in", "not in", [value])):
            assert ids_in(store, ids, Condition("scalar", operator, asked)) == equal_ids, name  # type: ignore[arg-type]
            assert ids_in(store, ids, Condition("scalar", other, asked)) == ids - equal_ids, name  # type: ignore[arg-type]
        store.delete(filter=Filter([WithIds(ids)]))


@pytest.mark.parametrize("value", [2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2, -(2**53) - 1])
def test_whole_numbers_that_are_the_same_float_are_not_equal(stores: dict[str, MultiVectorStore], value: int) -> None:
    numbers = {str(number): number for number in range(value - 2, value + 3)}
    for name, store in stores.items():
        store.upsert([Point(each, vectors(1), {"number": number}) for each, number in numbers.items()])
        assert ids_in(store, numbers, Condition("number", "==", value)) == {str(value)}, name
        store.delete(filter=Filter([WithIds(numbers)]))


def ids_in(store: MultiVectorStore, ids: Collection[str], condition: Condition) -> set[str]:
    """Those of some points that a condition holds for."""
    return {hit.id for hit in store.search(QUERY, top_k=99, filter=Filter([WithIds(ids), condition]))}


def test_keys_with_dots_reach_into_nested_metadata(stores: dict[str, MultiVectorStore]) -> None:
    filter = Filter([Condition("a.b", "==", 1)])
    for store in stores.values():
        store.upsert([Point("nested", vectors(1), {"a": {"b": 1}}), Point("other", vectors(2), {"a": {"b": 2}})])
        assert [hit.id for hit in store.search(QUERY, top_k=9, filter=filter)] == ["nested"]
        text = Filter([Condition("a.c", "text_match", "京")])
        store.upsert([Point("nested", vectors(1), {"a": {"c": "京都"}})])
        assert [hit.id for hit in store.search(QUERY, top_k=9, filter=text)] == ["nested"]
        store.delete(filter=Filter([WithIds(["nested", "other"])]))
        assert store.count() == len(NODES)


def test_keys_with_dots_are_keys_before_they_are_paths(stores: dict[str, MultiVectorStore]) -> None:
    payloads: dict[str, dict[str, Any]] = {
        "flat": {"a.b.c": 1, "a[0]": "京都"},
        "half": {"a": {"b.c": 1}},
        "deep": {"a": {"b": {"c": 1}}},
        "both": {"a.b.c": 2, "a": {"b": {"c": 1}}},
        "none": {"a": {"b": 1}},
        "null": {"a.b.c": None, "a": {"b.c": [], "b": {"c": 1}}},
        "list": {"a": [{"b": {"c": 1}}], "a[0]": None},
    }
    ours = WithIds(payloads)
    for store in stores.values():
        store.upsert([Point(name, vectors(i + 1), payload) for i, (name, payload) in enumerate(payloads.items())])

        def found(condition: Condition, store: MultiVectorStore = store) -> set[str]:
            return {hit.id for hit in store.search(QUERY, top_k=99, filter=Filter([ours, condition]))}

        assert found(Condition("a.b.c", "==", 1)) == {"flat", "half", "deep", "null"}
        assert found(Condition("a.b.c", "!=", 1)) == {"both", "none", "list"}
        assert found(Condition("a.b.c", ">", 1)) == {"both"}
        assert found(Condition("a.b.c", "is_empty")) == {"none", "list"}
        assert found(Condition("a[].b.c", "==", 1)) == found(Condition("a[0].b.c", ">", 0)) == {"list"}
        assert found(Condition("a[].b.c", "is_empty")) == payloads.keys() - {"list"}
        assert found(Condition("a[0]", "==", "京都")) == {"flat"}
        assert found(Condition("a[0]", "text_match", "京")) == {"flat"}
        store.upsert([Point("flat", vectors(1), {"a.b": "東京都"}), Point("deep", vectors(2), {"a": {"b": "京都"}})])
        assert found(Condition("a.b", "text_match", "京")) == {"flat", "deep"}
        store.upsert([Point("none", vectors(1), {"a[]": {"b": "東京"}}), Point("list", vectors(2), {"a[].b": "京都"})])
        assert found(Condition("a[].b", "in", ["東京", "京都"])) == {"none", "list"}
        assert found(Condition("a[].b", "text_match", "京都")) == {"list"}
        store.delete(filter=Filter([ours]))


@pytest.mark.parametrize(("operator", "where"), [("in", "should"), ("any", "should"), ("not in", "must_not")])
def test_any_number_of_strings_are_one_condition(operator: Any, where: str) -> None:
    """A condition for each takes seconds where there are some hundred, in local mode."""
    words = [f"語{i}" for i in range(500)]
    (condition,) = conditions(to_qdrant(Filter([Condition("k", operator, [*words, "語0"])])))
    (only,) = conditions(condition)
    assert getattr(condition, where) == [only]
    assert only.match == models.MatchAny(any=words)
    assert len(conditions(conditions(to_qdrant(Filter([Condition("k", operator, ["語", 1, 2.5])])))[0])) == 3


def conditions(filter: Any) -> list[Any]:
    """What a filter of Qdrant's is made of."""
    return [each for part in (filter.must, filter.should, filter.must_not) for each in part or ()]


def test_deleting_by_filter_wants_one_or_the_other(stores: dict[str, MultiVectorStore]) -> None:
    for store in stores.values():
        with pytest.raises(InputError, match="either ids or a filter"):
            store.delete()
        with pytest.raises(InputError, match="either ids or a filter"):
            store.delete(["n1"], filter=Filter([]))


def test_native_filters_know_no_more(stores: dict[str, MultiVectorStore]) -> None:
    native = models.Filter(must=[models.FieldCondition(key="year", match=models.MatchValue(value=1))])
    expected = {name for name, values in NODES.items() if values.get("year") == 1}
    for name in ("local", "edge"):
        assert {hit.id for hit in stores[name].search(QUERY, top_k=100, filter=native)} == expected
