"""Attention among texts that lie one after the other in one row, without padding: each attends to itself alone.

On a GPU that is one call of torch's variable-length attention. transformers finds it by the name :data:`ATTENTION`.
Under that name a model also computes padded batches, exactly as under ``"sdpa"``, so it may keep the name, whoever else
uses it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "jacolbert_packed"


@dataclass(frozen=True, slots=True)
class Row:
    """Texts one after the other, and where they begin and end.

    Attributes:
        ids: (1, tokens) int64.
        positions: (1, tokens) int64: the place of each token in its text.
        starts: (texts + 1) int32: where each text begins in the row, and where the last ends.
        longest: Tokens of the longest text.
        attended: (attended tokens) int64: the places of the row that are attended to; None if all are.
        attended_starts: Like ``starts``, among the attended tokens alone.
        attended_longest: Like ``longest``, of attended tokens.
    """

    ids: Tensor
    positions: Tensor
    starts: Tensor
    longest: int
    attended: Tensor | None
    attended_starts: Tensor
    attended_longest: int

    def to(self, device: torch.device) -> Row:
        """Copies the row to a device, without waiting until it is there."""
        values: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        for name, value in values.items():
            if isinstance(value, Tensor):
                values[name] = to_device(value, device)
        return Row(**values)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copies a tensor of the processor's memory; to a GPU without waiting for what that computes."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    row: Row | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Computes attention as transformers asks for it.

    Args:
        module: The attention of a layer.
        query: (1, heads, tokens, width), of all texts.
        key: Likewise.
        value: Likewise.
        attention_mask: Which tokens to attend to, of padded texts.
        scaling: What products are multiplied with.
        sliding_window: How far a token sees to either side, and itself; None sees all.
        row: Where the texts are; None for padded ones.
        **kwargs: What else transformers says.

    Returns:
        (1, tokens, heads, width), and no weights.
    """
    if row is None:
        output: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, sliding_window=sliding_window, **kwargs
        )
        return output
    queries, keys, values = (each[0].transpose(0, 1) for each in (query, key, value))  # (tokens, heads, width)
    if row.attended is not None:
        keys, values = keys.index_select(0, row.attended), values.index_select(0, row.attended)
    reach = -1 if sliding_window is None else sliding_window - 1
    compute = _on_a_gpu if query.is_cuda else _text_by_text
    return compute(queries, keys, values, row, scaling, reach).unsqueeze(0), None


def take_rows(backbone: PreTrainedModel) -> None:
    """Gives a model this attention, for good: other threads may be computing padded batches, and these stay the same.

    It is no part of what the model saves.
    """
    if backbone.config._attn_implementation != ATTENTION:
        backbone.set_attn_implementation(ATTENTION)


@cache
def _varlen_attn() -> Callable[..., Any] | None:
    """Imports torch's attention only for a GPU: it brings torch's compiler along."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:  # torch before 2.10
        return None
    known = {"scale", "window_size"} <= set(inspect.signature(varlen_attn).parameters)
    return varlen_attn if known else None


def _on_a_gpu(queries: Tensor, keys: Tensor, values: Tensor, row: Row, scale: float | None, reach: int) -> Tensor:
    varlen_attn = _varlen_attn()
    assert varlen_attn is not None  # can_compute has said so
    output: Tensor = varlen_attn(
        queries,
        keys,
        values,
        row.starts,
        row.attended_starts,
        row.longest,
        row.attended_longest,
        scale=scale,
        window_size=(reach, reach),
    )
    return output


def _text_by_text(queries: Tensor, keys: Tensor, values: Tensor, row: Row, scale: float | None, reach: int) -> Tensor:
    """Says on a processor what the GPU's attention has to give. It is slow: tests compare with it."""
    starts, attended = row.starts.tolist(), row.attended_starts.tolist()
    outputs = []
    for text in range(len(starts) - 1):
        q = queries[starts[text] : starts[text + 1]].transpose(0, 1)
        k, v = (each[attended[text] : attended[text + 1]].transpose(0, 1) for each in (keys, values))
        near = None
        if reach >= 0:
            places = torch.arange(q.shape[1])
            near = (places.unsqueeze(1) - places).abs() <= reach
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=near, scale=scale)
        outputs.append(out.transpose(0, 1))
    return torch.cat(outputs)


def can_compute(device: torch.device, dtype: torch.dtype, width: int) -> bool:
    """Returns whether the device has variable-length attention for numbers of this kind, in heads of this width."""
    if device.type != "cuda" or torch.version.cuda is None or _varlen_attn() is None:
        return False
    made_for_it = (
        torch.cuda.get_device_capability(device) >= (8, 0) and torch.backends.cuda.is_flash_attention_available()
    )
    return made_for_it and dtype in (torch.float16, torch.bfloat16) and width % 8 == 0 and width <= 256


AttentionInterface.register(ATTENTION, packed_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
