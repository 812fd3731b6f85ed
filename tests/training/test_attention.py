"""Which attention a model has while it is trained, and after."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.encoding.packed_attention import ATTENTION
from jacolbert_integrations.training.attention import attention


@pytest.mark.parametrize(
    ("before", "way", "within"),
    [
        ("sdpa", "eager", "eager"),
        ("sdpa", "sdpa", "sdpa"),
        ("eager", "sdpa", "sdpa"),
        ("eager", "eager", "eager"),
        (ATTENTION, "eager", "eager"),  # the model has encoded on a GPU, and is trained on a processor
        (ATTENTION, "sdpa", ATTENTION),  # which is sdpa for what is padded
        ("flex_attention", "eager", "flex_attention"),
    ],
)
def test_a_model_has_another_attention_only_within(before: str, way: Literal["sdpa", "eager"], within: str) -> None:
    model = JaColBERT.from_pretrained("jacolbert-mini")
    config: Any = model.model[0].auto_model.config  # type: ignore[union-attr]
    config._attn_implementation = before
    with attention(model, way):
        assert config._attn_implementation == within
    assert config._attn_implementation == before
