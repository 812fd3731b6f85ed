"""Fixed dimensional encodings: against the definition, written out plainly, for any ragged shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from jacolbert_integrations.errors import InputError, VectorError
from jacolbert_integrations.scoring.muvera import Muvera
from jacolbert_integrations.types import TokenVectors


def vectors(seed: int, tokens: int, dimension: int) -> TokenVectors:
    matrix: TokenVectors = np.random.default_rng(seed).standard_normal((tokens, dimension)).astype(np.float32)
    normalised: TokenVectors = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return normalised


def plainly(matrix: TokenVectors, muvera: Muvera, *, document: bool) -> NDArray[np.float64]:
    """Section 2 of arXiv 2405.19504, a cell at a time."""
    generator = np.random.default_rng(muvera.seed)
    shape = (muvera.dimension, muvera.hyperplanes)
    planes = [generator.normal(size=shape) for _ in range(muvera.repetitions)]
    signs = generator.choice([-1, 1], size=(muvera.repetitions, muvera.dimension, muvera.projection))
    blocks = []
    for repetition in range(muvera.repetitions):
        bits = matrix.astype(np.float64) @ planes[repetition] > 0
        cell_of = [sum(int(bit) << place for place, bit in enumerate(row)) for row in bits]
        for cell in range(2**muvera.hyperplanes):
            inside = [row for row, own in zip(matrix, cell_of, strict=True) if own == cell]
            if inside:
                block = np.sum(inside, axis=0, dtype=np.float64) / (len(inside) if document else 1)
            elif document:
                near = min(sorted(set(cell_of)), key=lambda other: ((other ^ cell).bit_count(), other))
                block = matrix[cell_of.index(near)].astype(np.float64)
            else:
                block = np.zeros(muvera.dimension)
            if muvera.projection < muvera.dimension:
                block = block @ signs[repetition] / np.sqrt(muvera.projection)
            blocks.append(block)
    return np.concatenate(blocks)


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
    st.integers(1, 5),
    st.integers(1, 12),
    st.integers(1, 4),
    st.integers(0, 99),
)
def test_as_the_definition(lengths: list[int], planes: int, projection: int, repetitions: int, seed: int) -> None:
    muvera = Muvera(12, planes, projection, repetitions, seed)
    documents = [vectors(seed + i, tokens, 12) for i, tokens in enumerate(lengths)]
    encodings = muvera.encode_document(documents)
    assert encodings.shape == (len(documents), muvera.size)
    assert encodings.dtype == np.float32
    for document, encoding in zip(documents, encodings, strict=True):
        np.testing.assert_allclose(encoding, plainly(document, muvera, document=True), atol=1e-5)
        np.testing.assert_allclose(muvera.encode_query(document), plainly(document, muvera, document=False), atol=1e-4)
        alone = muvera.encode_document([document])[0]
        np.testing.assert_allclose(encoding, alone, atol=1e-6)


def test_many_documents_at_a_time() -> None:
    muvera = Muvera(8, 5, 4, 16)  # 64 at once
    documents = [vectors(i, 1 + i % 9, 8) for i in range(150)]
    encodings = muvera.encode_document(documents)
    for place in (0, 63, 64, 127, 128, 149):
        np.testing.assert_allclose(encodings[place], plainly(documents[place], muvera, document=True), atol=1e-5)
    most = Muvera(8, 10, 4, 1)  # 64 documents have as many cells as 16 bits can number
    encodings = most.encode_document(documents[:66])
    for place in (0, 62, 63, 64):
        np.testing.assert_allclose(encodings[place], plainly(documents[place], most, document=True), atol=1e-5)
    wide = Muvera(8, 10, 8, 70)  # one has more, in all repetitions
    np.testing.assert_allclose(
        wide.encode_document(documents[3:5])[1], plainly(documents[4], wide, document=True), atol=1e-5
    )


@settings(max_examples=40)
@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 2000))
def test_what_is_encoded_at_once_is_bounded(lengths: list[int], floats: int) -> None:
    muvera = Muvera(4, 2, 2, 3)
    documents = [vectors(i, tokens, 4) for i, tokens in enumerate(lengths)]
    whole = muvera.encode_document(documents)
    held: list[int] = []

    def recorded(self: Muvera, block: list[TokenVectors], encodings: NDArray[np.float32]) -> None:
        held.append(len(block))
        tokens = sum(len(document) for document in block)
        assert len(block) == 1 or max(4 * tokens, 4 * len(block) * 3 * 4) <= floats
        encode(self, block, encodings)

    encode = Muvera._encode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jacolbert_integrations.scoring.muvera._BLOCK_FLOATS", floats)
        patch.setattr(Muvera, "_encode", recorded)
        np.testing.assert_allclose(muvera.encode_document(documents), whole, atol=1e-6)
    assert sum(held) == len(documents)


def test_one_vector_each_and_no_projection_is_the_inner_product() -> None:
    """A document of one vector fills every cell, so each query vector meets it, as in MaxSim."""
    muvera = Muvera(8, 3, 8, 5)
    query, document = vectors(1, 6, 8), vectors(2, 1, 8)
    maxsim = float((query @ document.T).max(axis=1).sum())
    estimate = float(muvera.encode_query(query) @ muvera.encode_document([document])[0])
    assert estimate / muvera.repetitions == pytest.approx(maxsim, abs=1e-4)


def test_it_ranks_nearly_as_maxsim_does() -> None:
    documents = [vectors(i, 30, 32) for i in range(200)]
    muvera = Muvera(32, 4, 16, 20)
    encodings = muvera.encode_document(documents)
    found = 0
    for place in range(0, 200, 10):
        noise = 0.5 * vectors(1000 + place, 8, 32)
        query = documents[place][:8] + noise
        query /= np.linalg.norm(query, axis=1, keepdims=True)
        ranking = np.argsort(-(encodings @ muvera.encode_query(query)))
        found += place in ranking[:20]
    assert found >= 19


def test_the_seed_decides() -> None:
    document = [vectors(1, 9, 8)]
    first = Muvera(8).encode_document(document)
    assert np.array_equal(first, Muvera(8).encode_document(document))
    assert not np.allclose(first, Muvera(8, seed=1).encode_document(document))
    assert Muvera(8).encode_document([]).shape == (0, 2048)
    assert Muvera(**Muvera(8, 3).to_dict()) == Muvera(8, 3)


def test_bad_input() -> None:
    for bad in ({"hyperplanes": 0}, {"repetitions": 1.5}, {"dimension": True}):
        with pytest.raises(InputError, match="must be an integer of at least 1"):
            Muvera(**{"dimension": 8, **bad})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="11 hyperplanes cut 2,048 cells"):
        Muvera(8, 11)
    with pytest.raises(InputError, match="projection is 9, more than the 8"):
        Muvera(8, projection=9)
    with pytest.raises(VectorError, match="document 1: expected vectors of 8 dimensions, but got 4"):
        Muvera(8).encode_document([vectors(1, 3, 8), vectors(1, 3, 4)])
    with pytest.raises(VectorError, match="the query: expected the shape"):
        Muvera(8).encode_query(np.empty((0, 8), np.float32))
