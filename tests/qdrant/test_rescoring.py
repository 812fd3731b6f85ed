"""Candidates that are ranked by fewer vectors of the query first, and the best of them by all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qdrant_client import models

from jacolbert_integrations import Condition, Filter, Point, Query
from jacolbert_integrations.errors import InputError
from jacolbert_integrations.qdrant import NearestCentroids, QdrantStore, SearchOptions
from jacolbert_integrations.qdrant.clients import Client
from jacolbert_integrations.qdrant.points import VECTOR_NAME
from jacolbert_integrations.qdrant.search import checked_search
from jacolbert_integrations.scoring.maxsim import maxsim
from jacolbert_integrations.scoring.pooled_queries import pool_query

from ..scoring.test_centroids import some
from ..stores.samples import DIMENSION, FLOAT32, IDENTITY, vectors

OWN = some(20, DIMENSION)
STAGE = NearestCentroids(OWN)
QUERY = Query(vectors(999, 40))
POOLED = pool_query(QUERY.vectors, 14)  # a third of 40
EVERY = SearchOptions(candidates=60, rescored=None, exact_limit=0)
FEW = replace(EVERY, rescored=8)


def made(count: int = 60) -> list[Point]:
    return [Point(f"p{i}", vectors(i, 12 + i % 5), {"n": i, "of": i % 3}) for i in range(count)]


@pytest.fixture
def store(client: Client) -> QdrantStore:
    store = QdrantStore(client, "c", first_stage=STAGE, vector_options=FLOAT32)
    store.bind(IDENTITY)
    store.upsert(made())
    return store


def scores(query: np.ndarray) -> dict[str, float]:
    points = made()
    return dict(zip((p.id for p in points), maxsim([query], [p.vectors for p in points])[0].tolist(), strict=True))


def best(own: dict[str, float], count: int) -> list[str]:
    return sorted(own, key=lambda each: -own[each])[:count]


def test_the_best_by_the_pooled_query_are_ranked_by_the_whole_one(store: QdrantStore) -> None:
    whole = scores(QUERY.vectors)
    assert [hit.id for hit in store.search(QUERY, top_k=2, options=EVERY)] == best(whole, 2)
    left = best(scores(POOLED), 12)  # four times as many as the 2 that are wanted, and the one that shows a tie
    expected = best({each: whole[each] for each in left}, 2)
    for found in (
        store.search(QUERY, top_k=2, options=FEW),
        store.search_batch([QUERY, QUERY], top_k=2, options=FEW)[1],
    ):
        assert [hit.id for hit in found] == expected
        np.testing.assert_allclose([hit.score for hit in found], [whole[each] for each in expected], atol=1e-4)
        assert found.approximate


def test_with_a_filter(store: QdrantStore) -> None:
    found = store.search(QUERY, top_k=2, filter=Filter([Condition("n", "<", 30)]), options=FEW)
    own = {each: value for each, value in scores(POOLED).items() if int(each[1:]) < 30}
    whole = {each: scores(QUERY.vectors)[each] for each in best(own, 12)}
    assert [hit.id for hit in found] == best(whole, 2)


def test_a_group_is_not_lost_because_another_has_the_best(store: QdrantStore) -> None:
    found = store.search_groups(QUERY, group_by="of", top_k=3, options=FEW)
    assert {hit.payload["of"] for hit in found} == {0, 1, 2}
    assert [hit.id for hit in found] == [
        h.id for h in store.search_groups(QUERY, group_by="of", top_k=3, options=EVERY)
    ]


def prefetch(query: Query, limit: int, options: SearchOptions) -> models.Prefetch:
    search = checked_search(query, 1, None, options, [STAGE], DIMENSION)
    (found,) = search.arguments(limit)["prefetch"]
    assert isinstance(found, models.Prefetch)
    return found


def test_in_the_same_request() -> None:
    params = models.SearchParams(quantization=models.QuantizationSearchParams(oversampling=4))
    narrow = prefetch(QUERY, 2, replace(FEW, params=params))
    assert (narrow.using, narrow.limit, narrow.params) == (VECTOR_NAME, 8, params)
    np.testing.assert_array_equal(narrow.query, POOLED)
    assert isinstance(narrow.prefetch, list)
    assert [(each.using, each.limit) for each in narrow.prefetch] == [("centroids", 60)]


@pytest.mark.parametrize(
    ("query", "limit", "options"),
    [
        (QUERY, 2, EVERY),
        (QUERY, 8, FEW),  # 32 of 60 candidates: that would save nothing
        (Query(vectors(999, 12)), 2, FEW),
        (QUERY, 2, SearchOptions(candidates=199)),
    ],
)
def test_where_nothing_is_saved_all_are_scored(query: Query, limit: int, options: SearchOptions) -> None:
    assert prefetch(query, limit, options).using == "centroids"


@pytest.mark.parametrize("rescored", [0, -1, True, "50", 1.5])
def test_what_is_refused(rescored: object) -> None:
    with pytest.raises(InputError, match="but it must be an integer of at least 1, or None for all"):
        SearchOptions(rescored=rescored)  # type: ignore[arg-type]
