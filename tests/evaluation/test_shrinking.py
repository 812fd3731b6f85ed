from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.errors import InputError
from jacolbert_integrations.evaluation.shrinking import as_kept, cut, directions
from jacolbert_integrations.training.heads import add_heads, of_dimension, remove_heads

TEXTS = ["東京は日本の首都である。", "富士山は高い山である。", "猫"]


def test_cut_vectors_are_those_that_training_for_a_smaller_dimension_begins_with() -> None:
    model = JaColBERT.from_pretrained("jacolbert-mini")
    found = cut(model.encode_document(TEXTS), directions(model, 32))
    add_heads(model.model, [32])
    smaller = JaColBERT(of_dimension(model.model, 32))
    remove_heads(model.model)
    for ours, theirs in zip(found, smaller.encode_document(TEXTS), strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-4)  # the same, but for a mirror image


@pytest.mark.parametrize("dimension", [0, 128, 500])
def test_other_dimensions(mini: JaColBERT, dimension: int) -> None:
    with pytest.raises(InputError, match=f"cannot be cut to {dimension} dimensions: they have 128"):
        directions(mini, dimension)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_what_is_left(lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    documents = [rng.normal(size=(length, 8)).astype(np.float32) for length in lengths]
    whole = np.concatenate(documents)
    step = (whole.max(axis=0) - whole.min(axis=0)) / 255
    for original, half, byte, bit in zip(
        documents, *(as_kept(documents, kind) for kind in ("float16", "int8", "binary")), strict=True
    ):
        np.testing.assert_allclose(half, original, rtol=1e-3, atol=1e-6)
        assert (np.abs(byte - original) <= step * 0.51 + 1e-5).all()
        np.testing.assert_array_equal(bit > 0, original > 0)
        np.testing.assert_allclose(np.linalg.norm(bit, axis=1), 1, rtol=1e-5)
    assert as_kept(documents, "float32")[0] is documents[0]
