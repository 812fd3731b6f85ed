"""How attention is computed while a model is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from transformers import PreTrainedModel

from ..encoding.encoder import JaColBERT
from ..encoding.packed_attention import ATTENTION

_FUSED = ("sdpa", ATTENTION)
"""ATTENTION computes what is padded by sdpa; a model has it that has encoded on a GPU."""


@contextmanager
def attention(model: JaColBERT, way: Literal["sdpa", "eager"]) -> Iterator[None]:
    """Has a model on a processor compute attention fused, or operation by operation.

    torch's fused attention (sdpa) is made for the forward pass: on a processor, in bfloat16, it is so slow backwards
    that a training step is faster without (eager), by two thirds for a model of jacolbert-small's shape
    (``benchmarks/training.py``). In float32, and wherever nothing goes backwards, it is faster. On a GPU, and for
    backbones that know neither, nothing changes.

    Args:
        model: The model; afterwards it computes attention as before.
        way: ``"sdpa"`` or ``"eager"``.
    """
    backbone = getattr(model.model[0], "auto_model", None)
    if not isinstance(backbone, PreTrainedModel) or model.model.device.type != "cpu":
        yield
        return
    before = backbone.config._attn_implementation
    if before not in (*_FUSED, "eager") or (before in _FUSED) == (way == "sdpa"):
        yield
        return
    backbone.set_attn_implementation(way)
    try:
        yield
    finally:
        backbone.set_attn_implementation(before)
