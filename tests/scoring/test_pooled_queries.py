"""Queries of fewer vectors, beside SciPy's clusters and MaxSim with all of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from jacolbert_integrations.scoring.maxsim import maxsim
from jacolbert_integrations.scoring.pooled_queries import pool_query
from jacolbert_integrations.types import TokenVectors


def _vectors(tokens: int, seed: int, dimension: int = 8) -> TokenVectors:
    drawn = np.random.default_rng(seed).normal(size=(tokens, dimension)).astype(np.float32)
    unit: TokenVectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


def test_by_hand() -> None:
    query = np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8]], np.float32)
    np.testing.assert_allclose(pool_query(query, 3), [[2.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    np.testing.assert_allclose(pool_query(query, 2), [[2.0, 0.0], [0.6, 1.8]], rtol=1e-6)
    np.testing.assert_allclose(pool_query(query, 1), [[2.6, 1.8]], rtol=1e-6)


def test_one_of_few_vectors_is_itself() -> None:
    query = _vectors(3, 0)
    assert pool_query(query, 3) is query
    assert pool_query(query, 12) is query


@given(tokens=st.integers(2, 60), share=st.floats(0, 1), seed=st.integers(0, 2**16))
def test_the_clusters_are_those_of_scipy(tokens: int, share: float, seed: int) -> None:
    query = _vectors(tokens, seed)
    count = max(1, round(share * (tokens - 1)))
    clusters = fcluster(linkage(query.astype(np.float64), "ward"), count, "maxclust")
    expected = np.array([query[clusters == each].sum(axis=0) for each in np.unique(clusters)])
    own = pool_query(query, count)
    np.testing.assert_allclose(own[np.lexsort(own.T)], expected[np.lexsort(expected.T)], atol=1e-4)


@given(tokens=st.integers(1, 40), count=st.integers(1, 40), length=st.integers(1, 30), seed=st.integers(0, 2**16))
def test_it_scores_no_more_than_all_vectors(tokens: int, count: int, length: int, seed: int) -> None:
    query, document = _vectors(tokens, seed), _vectors(length, seed + 1)
    pooled = pool_query(query, count)
    assert len(pooled) == min(tokens, count)
    own = maxsim([pooled], [document])[0, 0]
    whole = maxsim([query], [document])[0, 0]
    assert own <= whole + 1e-4
    if len(document) == 1:  # then all vectors take the same token
        np.testing.assert_allclose(own, whole, atol=1e-4)
