from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from jacolbert_integrations.errors import VectorError
from jacolbert_integrations.scoring.maxsim import MEMORY_BUDGET, PackedDocuments, maxsim
from jacolbert_integrations.types import TokenVectors


def double_loop(queries: list[TokenVectors], documents: list[TokenVectors]) -> NDArray[np.float64]:
    """MaxSim as it is defined, in float64."""
    scores = np.zeros((len(queries), len(documents)))
    for i, query in enumerate(queries):
        for j, document in enumerate(documents):
            others = document.astype(np.float64)
            for token in query.astype(np.float64):
                scores[i, j] += (others @ token).max()
    return scores


def matrices(rng: np.random.Generator, lengths: list[int], dimension: int) -> list[TokenVectors]:
    found = []
    for length in lengths:
        matrix = rng.standard_normal((length, dimension)).astype(np.float32)
        found.append(matrix / np.linalg.norm(matrix, axis=1, keepdims=True))
    return found


def test_by_hand() -> None:
    query = np.array([[1, 0], [0, 1]], np.float32)
    documents = [
        np.array([[1, 0], [0.6, 0.8]], np.float32),  # 1 + 0.8
        np.array([[0, 1]], np.float32),  # 0 + 1
        np.array([[0.5, -0.5], [-1, 0], [0, 0.25]], np.float32),  # 0.5 + 0.25
    ]
    np.testing.assert_allclose(maxsim([query], documents), [[1.8, 1.0, 0.75]], atol=1e-6)


def test_negative_similarities_survive_beside_longer_documents() -> None:
    query = np.array([[1.0, 0.0]], np.float32)
    against = np.array([[-1.0, 0.0]], np.float32)
    longer = np.array([[-0.5, 0.0]] * 7, np.float32)
    np.testing.assert_array_equal(maxsim([query], [against, longer, against]), [[-1.0, -0.5, -1.0]])


LENGTHS = st.lists(st.integers(1, 40), max_size=12)


@settings(max_examples=80)
@given(st.integers(0, 2**32 - 1), LENGTHS, LENGTHS, st.integers(1, 24))
def test_any_ragged_shapes_equal_the_double_loop(
    seed: int, query_lengths: list[int], document_lengths: list[int], dimension: int
) -> None:
    rng = np.random.default_rng(seed)
    queries = matrices(rng, query_lengths, dimension)
    documents = matrices(rng, document_lengths, dimension)
    expected = double_loop(queries, documents)
    for scores in (maxsim(queries, documents), PackedDocuments(documents).score(queries)):
        assert scores.shape == (len(queries), len(documents))
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_many_buckets_and_query_blocks_equal_the_double_loop() -> None:
    rng = np.random.default_rng(3)
    documents = matrices(rng, [1, 5000, 3, 300, 299, *range(1, 200, 7)], 8)
    queries = matrices(rng, [300, 1, 32, 64, 200, 31], 8)
    expected = np.stack([[(d @ q.T).max(axis=0).sum() for d in documents] for q in queries])
    np.testing.assert_allclose(maxsim(queries, documents), expected, atol=1e-4)


def test_the_arguments_stay_as_they_were_and_results_are_repeatable() -> None:
    rng = np.random.default_rng(4)
    documents, queries = matrices(rng, [9, 2, 5], 8), matrices(rng, [4, 6], 8)
    copies = [document.copy() for document in documents]
    packed = PackedDocuments(documents)
    first = packed.score(queries)
    np.testing.assert_array_equal(first, packed.score(queries))
    np.testing.assert_allclose(first[1], packed.score([queries[1]])[0], atol=1e-6)
    for document, copy in zip(documents, copies, strict=True):
        np.testing.assert_array_equal(document, copy)
    assert (len(packed), packed.n_tokens) == (3, 16)


@pytest.mark.parametrize(
    ("queries", "documents", "message"),
    [
        ([np.ones((2, 4))], [np.ones((2, 3))], "query 0: expected vectors of 3 dimensions, but got 4"),
        ([np.ones((2, 3))], [np.ones((2, 3)), np.ones((2, 2))], "document 1: expected vectors of 3 dimensions"),
        ([np.ones((2, 3))], [np.ones((0, 3))], r"document 0: expected the shape .* but got \(0, 3\)"),
        ([np.ones(3)], [np.ones((1, 3))], r"query 0: .* but got \(3,\)"),
        ([[[1.0, 2.0], [1.0]]], [np.ones((1, 2))], "query 0: expected a matrix of numbers"),
        ([np.array([["a"]])], [np.ones((1, 1))], "query 0: expected a matrix of numbers"),
        ([np.ones((1, 2))], [np.array([[1.0, np.nan]])], "query 0 or document 0 holds NaN or infinity"),
        ([np.array([[np.inf, 1.0]])], [np.ones((1, 2))], "holds NaN or infinity"),
    ],
)
def test_bad_vectors(queries: list[TokenVectors], documents: list[TokenVectors], message: str) -> None:
    with pytest.raises(VectorError, match=message):
        maxsim(queries, documents)


MEASURE = """
import resource, numpy as np
from jacolbert_integrations.scoring.maxsim import maxsim
rng = np.random.default_rng(0)
lengths = rng.integers(20, 300, 6300)
pool = rng.standard_normal((lengths.sum(), 32), dtype=np.float32)
documents = np.split(pool, np.cumsum(lengths)[:-1])
query = [rng.standard_normal((32, 32), dtype=np.float32)]
maxsim(query, documents[:50])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
maxsim(query, documents)
print(len(pool), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
def test_a_million_tokens_stay_within_the_budget() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    tokens, used = map(int, done.stdout.split())
    assert tokens > 1_000_000
    assert used <= MEMORY_BUDGET
