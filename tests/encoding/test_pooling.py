"""Token pooling: each method by hand, the same for all, and in a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import (
    HierarchicalTokenPooling,
    LambdaTokenPooling,
    MultiVectorMask,
)
from torch import nn

from jacolbert_integrations import JaColBERT, MemoryStore, Point
from jacolbert_integrations.encoding.pooling import (
    METHODS,
    Pooling,
    PoolingMethod,
    _unit_means,
    _ward_labels,
    _ward_means,
    pipeline_pooling,
)
from jacolbert_integrations.errors import InputError, ModelMismatchError, VectorError
from jacolbert_integrations.explaining import find_matches
from jacolbert_integrations.types import TokenVectors

from ..checkpoints.test_other_models import english_backbone

TEXTS = [
    "日本の首都は東京です。",
    "猫",
    "",
    "富士山は日本で一番高い山で、標高は3,776メートルである。静岡県と山梨県にまたがる。",
    "猫は魚を食べ、犬は肉を食べ、鳥は虫を食べる。",
]
HALF = float(np.sqrt(0.5))


def rows(*degrees: float) -> TokenVectors:
    """Unit vectors of a plane by their angles."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def random_rows(seed: int, tokens: int, dimension: int = 8) -> TokenVectors:
    matrix = np.random.default_rng(seed).standard_normal((tokens, dimension)).astype(np.float32)
    unit: TokenVectors = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return unit


def as_set(matrix: TokenVectors) -> TokenVectors:
    return matrix[np.lexsort(matrix.round(4).T)]


def same_rows(one: TokenVectors, other: TokenVectors) -> None:
    np.testing.assert_allclose(as_set(one), as_set(other), atol=1e-5)


# Each method by hand


def test_sequential_by_hand() -> None:
    document = rows(200, 0, 90, 10, 30, 180)
    pooled = Pooling("sequential", 2).pool([document])[0]  # five to pool: two groups, the first has one more
    first = np.array([1 + 0 + np.cos(np.radians(10)), 0 + 1 + np.sin(np.radians(10))])
    expected = [document[0], first / np.linalg.norm(first), rows(105)[0]]
    np.testing.assert_allclose(pooled, expected, atol=1e-6)
    np.testing.assert_allclose(Pooling("sequential", 2, protected=0).pool([rows(0, 90)])[0], [[HALF, HALF]], atol=1e-6)


@pytest.mark.parametrize("method", ["hierarchical", "kmeans"])
def test_clusters_by_hand(method: PoolingMethod) -> None:
    """Three pairs of near vectors, far from each other, none of the pairs together in the text."""
    document = rows(45, 0, 120, 250, 10, 130, 260)
    pooled = Pooling(method, 2).pool([document])[0]
    np.testing.assert_array_equal(pooled[0], document[0])
    same_rows(pooled[1:], rows(5, 125, 255))


@pytest.mark.parametrize("method", METHODS)
def test_a_group_that_cancels_itself_out_keeps_a_vector(method: PoolingMethod) -> None:
    pooled = Pooling(method, 2).pool([rows(30, 0, 180), rows(30, 0, 120, 240)])
    np.testing.assert_array_equal(pooled[0], rows(30, 0))
    np.testing.assert_array_equal(pooled[1], rows(30, 0))


def test_which_vectors_are_in_a_hierarchical_group() -> None:
    for seed, factor in [(0, 2), (1, 3), (2, 7)]:
        document = random_rows(seed, 41)
        labels = _ward_labels(document, factor)
        assert sorted(set(labels)) == list(range(41 // factor))
        np.testing.assert_allclose(_unit_means(document, labels), _ward_means(document, factor), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_equal_vectors_stay_what_they_are(method: PoolingMethod) -> None:
    pooled = Pooling(method, 2).pool([np.repeat(rows(0, 40), [1, 9], axis=0)])[0]
    np.testing.assert_allclose(pooled, np.repeat(rows(0, 40), [1, len(pooled) - 1], axis=0), atol=1e-6)
    assert 2 <= len(pooled) <= 5


@pytest.mark.parametrize("method", METHODS)
def test_what_there_is_nothing_to_pool_of(method: PoolingMethod) -> None:
    for tokens, protected in [(1, 0), (1, 1), (2, 1), (2, 5), (3, 3)]:
        document = random_rows(tokens, tokens)
        np.testing.assert_array_equal(Pooling(method, 2, protected).pool([document])[0], document)
    assert Pooling(method).pool([]) == []


# What holds for every method


@settings(max_examples=60)
@given(
    st.sampled_from(METHODS),
    st.integers(2, 5),
    st.integers(0, 4),
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 2**32 - 1)), min_size=1, max_size=4),
)
def test_any_documents(method: PoolingMethod, factor: int, protected: int, shapes: list[tuple[int, int]]) -> None:
    documents = [random_rows(seed, tokens) for tokens, seed in shapes]
    before = [document.copy() for document in documents]
    pooling = Pooling(method, factor, protected)
    pooled = pooling.pool(documents)
    for document, copy, matrix in zip(documents, before, pooled, strict=True):
        np.testing.assert_array_equal(document, copy)
        others = max(len(document) - protected, 0)
        assert len(matrix) == len(document) - others + (max(others // factor, 1) if others else 0)
        assert matrix.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(matrix[:protected], document[:protected])
        np.testing.assert_array_equal(pooling.pool([document])[0], matrix)  # alone as among others


@pytest.mark.parametrize("method", ["hierarchical", "kmeans"])
def test_clusters_do_not_depend_on_the_order_of_the_tokens(method: PoolingMethod) -> None:
    for seed in range(5):
        document = random_rows(seed, 31)
        shuffled = document.copy()
        np.random.default_rng(seed).shuffle(shuffled[1:])
        same_rows(Pooling(method, 3).pool([document])[0], Pooling(method, 3).pool([shuffled])[0])


def test_clusters_are_closer_to_their_vectors_than_runs_are() -> None:
    def closeness(method: PoolingMethod) -> float:
        documents = [random_rows(seed, 61) for seed in range(5)]
        pooled = Pooling(method, 3, protected=0).pool(documents)
        return sum(float((d @ p.T).max(axis=1).mean()) for d, p in zip(documents, pooled, strict=True))

    assert closeness("kmeans") > closeness("sequential") + 0.1
    assert closeness("hierarchical") > closeness("sequential") + 0.1


def test_malformed_matrices() -> None:
    with pytest.raises(VectorError, match=r"document 1: expected the shape \(tokens, dimension\)"):
        Pooling().pool([rows(0, 1), np.empty((0, 2), np.float32)])
    with pytest.raises(VectorError, match="document 0: row 1 holds NaN"):
        Pooling().pool([np.array([[1, 0], [np.nan, 0], [0, 1]], np.float32)])


# Names


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [2, 3, 16])
@pytest.mark.parametrize("protected", [0, 1, 12])
def test_a_name_says_all(method: PoolingMethod, factor: int, protected: int) -> None:
    pooling = Pooling(method, factor, protected)
    assert Pooling.parse(str(pooling)) == pooling


def test_names() -> None:
    assert str(Pooling()) == "hierarchical-2"
    assert str(Pooling("kmeans", 4, protected=0)) == "kmeans-4-protected-0"
    assert Pooling.parse("sequential-3-protected-1") == Pooling("sequential", 3)


@pytest.mark.parametrize(
    "name", ["", "none", "ward-2", "hierarchical", "hierarchical-", "kmeans-02", "kmeans-2.5", "kmeans-2\n",
             "kmeans-２", "kmeans-2-protected", "kmeans-2-protected--1", " kmeans-2"],
)  # fmt: skip
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(InputError, match=r"names no pooling\. Write a method"):
        Pooling.parse(name)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "ward"}, "method is 'ward', but a pooling method is one of hierarchical, kmeans, sequential"),
        ({"factor": 1}, "factor is 1, but it must be an integer from 2 to 16"),
        ({"factor": 17}, "factor is 17"),
        ({"factor": 2.0}, r"factor is 2\.0"),
        ({"factor": True}, "factor is True"),
        ({"protected": -1}, "protected is -1, but it must be an integer of at least 0"),
        ({"protected": None}, "protected is None"),
    ],
)
def test_what_is_no_pooling(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Pooling(**values)


# In a model


def test_hierarchical_is_that_of_sentence_transformers(mini: JaColBERT) -> None:
    documents = mini.encode_document(TEXTS)
    for factor in (2, 3, 4):
        for protected in (0, 1, 3):
            module = HierarchicalTokenPooling(factor, num_protected_tokens=protected)
            pooled = Pooling("hierarchical", factor, protected).pool(documents)
            for ours, theirs in zip(pooled, module.pool([torch.from_numpy(d) for d in documents]), strict=True):
                np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_pooled_model_finds_the_right_passage(mini: JaColBERT, method: PoolingMethod) -> None:
    documents = ["富士山は日本で一番高い山です。", "東京は日本の首都です。", "猫は魚を食べます。"]
    question = "日本の首都はどこですか。"
    pooled = JaColBERT(mini.model, pooling=Pooling(method, 2))
    assert pooled.rank(question, documents)[0].id == "1"
    np.testing.assert_array_equal(
        pooled.score([question], documents),
        pooled.score(pooled.encode_query([question]), pooled.encode_document(documents)),
    )


def test_documents_are_pooled_and_queries_are_not(mini: JaColBERT) -> None:
    pooled = JaColBERT(mini.model, name=mini.name, pooling="kmeans-3-protected-2")
    for ours, plain in zip(pooled.encode_query(TEXTS), mini.encode_query(TEXTS), strict=True):
        np.testing.assert_array_equal(ours, plain)
    expected = Pooling("kmeans", 3, protected=2).pool(mini.encode_document(TEXTS))
    for ours, theirs in zip(pooled.encode_document(TEXTS), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert pooled.model is mini.model
    assert [type(module).__name__ for module in pooled.model.children()][-1] == "Normalize"


def test_a_pooled_document_does_not_depend_on_its_neighbours(mini: JaColBERT) -> None:
    pooled = JaColBERT(mini.model, pooling="sequential-2")
    for text, together in zip(TEXTS, pooled.encode_document(TEXTS, batch_size=2), strict=True):
        np.testing.assert_allclose(pooled.encode_document([text])[0], together, atol=1e-5)


def test_the_identity_and_the_representation_say_it() -> None:
    plain, pooled = JaColBERT.from_pretrained(), JaColBERT.from_pretrained(pooling="hierarchical-2")
    assert (plain.pooling, plain.identity.pooling) == (None, "none")
    assert JaColBERT(plain.model, pooling="none").identity.pooling == "none"
    assert (pooled.pooling, pooled.identity.pooling) == (Pooling("hierarchical", 2), "hierarchical-2")
    assert "pooling" not in repr(plain)
    assert "query_length='released', pooling='hierarchical-2', device=" in repr(pooled)


def test_a_store_refuses_another_pooling(mini: JaColBERT) -> None:
    half, quarter = (JaColBERT(mini.model, name="a", pooling=f"hierarchical-{factor}") for factor in (2, 4))
    store = MemoryStore()
    store.bind(half.identity)
    store.upsert([Point(str(i), vectors) for i, vectors in enumerate(half.encode_document(TEXTS))])
    assert store.search(half.query("日本の首都はどこですか。"), top_k=1)[0].id == "0"
    for other in (mini, quarter):
        with pytest.raises(ModelMismatchError, match="pooling hierarchical"):
            store.bind(other.identity)
    store.bind(JaColBERT(mini.model, name="a", pooling=Pooling()).identity)


def test_matches_are_those_of_single_tokens(mini: JaColBERT) -> None:
    question, document = "東京の首都", "ＴＯＫＹＯ、東京は日本の首都である。富士山は高い。"
    expected = find_matches(mini, question, document)
    assert expected
    baked = MultiVectorEncoder(
        modules=[*mini.model.children(), HierarchicalTokenPooling(4, tasks=["query", "document"])]
    )
    for model in (JaColBERT(mini.model, pooling="hierarchical-4"), JaColBERT(baked)):
        assert find_matches(model, question, document) == expected
    assert mini.unpooled is mini


@pytest.mark.parametrize("value", ["half", 2, ["hierarchical-2"]])
def test_what_a_model_takes_for_no_pooling(mini: JaColBERT, value: Any) -> None:
    with pytest.raises(InputError, match=r"names no pooling|a Pooling, its name or None is expected"):
        JaColBERT(mini.model, pooling=value)
    with pytest.raises(InputError, match=r"names no pooling|a Pooling, its name or None is expected"):
        JaColBERT.from_pretrained(pooling=value)


# Pipelines that pool by themselves


def test_a_checkpoint_that_pools_by_itself(mini: JaColBERT, tmp_path: Path) -> None:
    modules = [*mini.model.children(), HierarchicalTokenPooling(2, normalize_embeddings=False)]
    MultiVectorEncoder(modules=modules, device=str(mini.model.device)).save_pretrained(str(tmp_path / "baked"))
    baked = JaColBERT.from_pretrained(tmp_path / "baked")
    asked = JaColBERT(mini.model, pooling="hierarchical-2")
    assert (baked.pooling, baked.identity.pooling) == (None, "hierarchical-2")
    assert "pooling='hierarchical-2'" in repr(baked)
    for ours, theirs in zip(asked.encode_document(TEXTS), baked.encode_document(TEXTS), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for ours, theirs in zip(mini.encode_document(TEXTS), baked.unpooled.encode_document(TEXTS), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for ours, theirs in zip(mini.encode_query(TEXTS), baked.encode_query(TEXTS), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for name in ("hierarchical-2", "kmeans-2"):
        with pytest.raises(InputError, match=rf"pooling is '{name}', but baked pools .* already \(hierarchical-2\)"):
            JaColBERT.from_pretrained(tmp_path / "baked", pooling=name)


def test_a_model_of_sentence_transformers_own(tmp_path: Path) -> None:
    english_backbone(tmp_path / "bare").save_pretrained(tmp_path / "bare")
    modules = [
        Transformer(str(tmp_path / "bare"), query_length=12, document_length=20),
        Dense(16, 24, bias=False, activation_function=nn.Identity(), module_input_name="token_embeddings"),
        MultiVectorMask(),
        Normalize(module_input_name="token_embeddings"),
    ]
    MultiVectorEncoder(modules=modules, device="cpu").save_pretrained(str(tmp_path / "plain"))
    plain = JaColBERT.from_pretrained(tmp_path / "plain")
    pooled = JaColBERT.from_pretrained(tmp_path / "plain", pooling="hierarchical-2")
    texts = ["the capital of japan is tokyo.", "a cat", "what is mount tokyo?"]
    expected = Pooling().pool(plain.encode_document(texts))
    for ours, theirs in zip(pooled.encode_document(texts), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    for ours, theirs in zip(pooled.encode_query(texts), plain.encode_query(texts), strict=True):
        np.testing.assert_array_equal(ours, theirs)

    baked = MultiVectorEncoder(modules=[*plain.model.children(), HierarchicalTokenPooling(2)], device="cpu")
    baked.save_pretrained(str(tmp_path / "baked"))
    again = JaColBERT.from_pretrained(tmp_path / "baked")
    assert again.identity.pooling == "hierarchical-2"
    for ours, theirs in zip(again.encode_document(texts), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("modules", "name"),
    [
        ([], "none"),
        ([HierarchicalTokenPooling(1)], "none"),
        ([HierarchicalTokenPooling(2, tasks="query")], "none"),
        ([HierarchicalTokenPooling(3.0, num_protected_tokens=0)], "hierarchical-3-protected-0"),
        (
            [HierarchicalTokenPooling(1.5)],
            'HierarchicalTokenPooling({"normalize_embeddings": true, "num_protected_tokens": 1, "pool_factor": 1.5})',
        ),
        ([HierarchicalTokenPooling(2), LambdaTokenPooling(lambda rows: rows)], "hierarchical-2+LambdaTokenPooling({})"),
    ],
)
def test_how_a_pipelines_own_pooling_is_called(modules: list[nn.Module], name: str) -> None:
    assert pipeline_pooling(modules) == name


def test_a_query_only_pooling_leaves_documents_to_us(mini: JaColBERT) -> None:
    modules = [*mini.model.children(), HierarchicalTokenPooling(2, tasks="query")]
    model = JaColBERT(MultiVectorEncoder(modules=modules, device=str(mini.model.device)), pooling="sequential-2")
    assert model.identity.pooling == "sequential-2"
    expected = JaColBERT(mini.model, pooling="sequential-2").encode_document(TEXTS)
    for ours, theirs in zip(model.encode_document(TEXTS), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert len(model.encode_query(TEXTS)[0]) < len(mini.encode_query(TEXTS)[0])
