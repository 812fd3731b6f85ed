"""Texts without padding: one after the other in one row, where model and device have attention for that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from torch import Tensor
from transformers import BertModel, ModernBertModel

from .packed_attention import ATTENTION, Row, can_compute
from .transformer import ColBERTTransformer, Encoded, Task

_ATTENTIONS = ("sdpa", ATTENTION)


def can_be_packed(model: MultiVectorEncoder, task: Task) -> bool:
    """Returns whether each module of a pipeline takes each token for itself, but for attention that knows its text."""
    transformer, *others = model.children()
    if not isinstance(transformer, ColBERTTransformer) or any(
        type(module) not in (Dense, MultiVectorMask, Normalize) for module in others
    ):
        return False
    backbone = transformer.auto_model
    if type(backbone) not in (BertModel, ModernBertModel) or not backbone._supports_attention_backend:
        return False
    config = backbone.config
    if getattr(config, "is_decoder", False) or config._attn_implementation not in _ATTENTIONS:
        return False
    # a window of attention counts from the token, which is at another place among those that are attended to
    all_attended = task == "document" or transformer.settings.attend_to_mask_tokens
    return all_attended or isinstance(backbone, BertModel)


def should_be_packed(model: MultiVectorEncoder, task: Task) -> bool:
    """Returns whether a pipeline can be given texts without padding, and its device is made for that."""
    if not can_be_packed(model, task):
        return False
    backbone = cast("ColBERTTransformer", model[0]).auto_model
    width = backbone.config.hidden_size // backbone.config.num_attention_heads
    return can_compute(model.device, backbone.dtype, width)


def pack(model: MultiVectorEncoder, texts: Sequence[Encoded], task: Task) -> tuple[Row, Tensor, list[int]]:
    """Lays texts out in one row.

    Args:
        model: The pipeline, whose masks say which tokens have a vector.
        texts: The texts.
        task: What they are.

    Returns:
        The row; the places in it that have a vector, ascending (int64); and how many each text has.
    """
    lengths = torch.tensor([len(text.ids) for text in texts])
    real = torch.tensor([text.length for text in texts])  # the others are [MASK] tokens of queries
    attends = task == "document" or cast("ColBERTTransformer", model[0]).settings.attend_to_mask_tokens
    attended_lengths = lengths if attends else real
    positions = torch.cat([torch.arange(length) for length in lengths.tolist()])
    owners = torch.repeat_interleave(lengths)
    is_attended = positions < attended_lengths[owners]
    ids = torch.tensor([[token for text in texts for token in text.ids]])
    row = Row(
        ids=ids,
        positions=positions.unsqueeze(0),
        starts=_starts(lengths),
        longest=int(lengths.max()),
        attended=None if bool(is_attended.all()) else is_attended.nonzero().squeeze(1),
        attended_starts=_starts(attended_lengths),
        attended_longest=int(attended_lengths.max()),
    )
    features: dict[str, Any] = {"input_ids": ids, "attention_mask": is_attended.unsqueeze(0)}
    if task == "query":
        features["query_expansion_positions"] = (positions >= real[owners]).unsqueeze(0)
    for module in model.children():
        if isinstance(module, MultiVectorMask):
            features = module(features, task=task)
    has_vector = features["attention_mask"].bool().squeeze(0)
    counts = torch.bincount(owners[has_vector], minlength=len(texts))
    return row, has_vector.nonzero().squeeze(1), counts.tolist()


def _starts(lengths: Tensor) -> Tensor:
    return torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
