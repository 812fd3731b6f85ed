"""Matrix products of 8-bit integers on a processor: what a model loaded with ``precision="int8"`` computes with.

Each row of a weight matrix has a scale of its own, and so has each token, which is measured when it comes: a token's
numbers do not depend on the others of its batch. torch multiplies the integers (``torch._int_mm``, on which torchao
stands as well); ``benchmarks/int8.py`` measures what that gains, and what other ways do.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import InputError

Precision = Literal["int8"]

_LARGEST = 127
_LARGEST_WITHOUT_VNNI = 63
"""Processors without these instructions add two products in 16 bits, where those of larger weights overflow."""


class Int8Linear(nn.Module):
    """A linear layer that multiplies 8-bit integers, and adds in 32 bits.

    Args:
        linear: The layer whose weights are rounded; its bias is kept as it is.
    """

    weight: Tensor
    scale: Tensor
    sums: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        largest = largest_weight()
        scale = weight.abs().amax(dim=1, keepdim=True) / largest
        scale[scale == 0] = 1.0
        rounded = (weight / scale).round().clamp(-largest, largest)
        self.register_buffer("weight", rounded.to(torch.int8).t().contiguous())  # (in, out)
        self.register_buffer("scale", scale.squeeze(1))
        self.register_buffer("sums", scale.squeeze(1) * rounded.sum(dim=1))
        self.bias = linear.bias

    def forward(self, features: Tensor) -> Tensor:
        """Returns (..., out) float32 for (..., in) float32."""
        rows = features.reshape(-1, features.shape[-1])
        integers, step, middle = rounded_rows(rows)
        products = torch._int_mm(integers, self.weight).float().mul_(step).mul_(self.scale)
        products.addcmul_(middle, self.sums)
        if self.bias is not None:
            products.add_(self.bias)
        return products.view(*features.shape[:-1], -1)

    def rounded(self) -> nn.Linear:
        """Returns a layer of the rounded weights in float32."""
        width, height = self.weight.shape
        linear = nn.Linear(width, height, bias=False)
        linear.weight = nn.Parameter((self.weight.float() * self.scale).t().contiguous())
        linear.bias = self.bias
        return linear


def rounded_rows(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rounds each row to 256 steps from its least number to its largest.

    In torch this is there for embeddings, as one pass over the numbers; its own reductions and roundings take ten times
    as long.

    Args:
        rows: (rows, width) float32.

    Returns:
        (rows, width) int8, and (rows, 1) float32 twice: ``integers * step + middle`` are the numbers again.
    """
    width = rows.shape[1]
    packed = torch.ops.quantized.embedding_bag_byte_prepack(rows)  # uint8 from 0; then step and least as float32
    step, least = packed[:, width:].clone(memory_format=torch.contiguous_format).view(torch.float32).split(1, dim=1)
    integers = packed[:, :width].bitwise_xor(128).view(torch.int8)
    return integers, step, least + 128 * step


def check_int8(precision: object, device: str | None, dtype: torch.dtype | None) -> None:
    """Refuses a precision that there is not, or not there.

    Raises:
        InputError: If ``precision`` is neither None nor ``"int8"``, if the device is no processor, if a dtype is asked
            for as well, or if this processor's integer products are wrong.
    """
    if precision is None:
        return
    if precision != "int8":
        raise InputError(f"precision is {precision!r:.40}, but it must be 'int8', or None for what dtype says.")
    if device is not None and torch.device(device).type != "cpu":
        raise InputError(
            f"precision='int8' is for processors, and {device!r} is none. Load the model with device='cpu', or leave "
            "precision out: a GPU computes with bfloat16 by itself."
        )
    if dtype not in (None, torch.float32):
        raise InputError(f"precision='int8' and dtype={dtype} exclude each other. Leave one of them out.")
    largest_weight()


@cache
def largest_weight() -> int:
    """Returns the largest 8-bit weight of which this processor's products with 8-bit numbers are right.

    Raises:
        InputError: If there is none.
    """
    for largest in (_LARGEST, _LARGEST_WITHOUT_VNNI):
        if _is_exact(largest):
            return largest
    raise InputError("torch multiplies 8-bit integers wrongly on this processor. Leave precision='int8' out.")


def _is_exact(largest: int) -> bool:
    try:
        tokens = torch.full((32, 64), _LARGEST, dtype=torch.int8)
        tokens[::2] *= -1
        products = torch._int_mm(tokens, torch.full((64, 32), largest, dtype=torch.int8))
    except (AttributeError, RuntimeError, NotImplementedError):  # another torch, another processor
        return False
    return bool((products.abs() == 64 * _LARGEST * largest).all())


def use_int8(module: nn.Module) -> None:
    """Puts a layer of 8-bit integers in place of each linear layer, in place."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, name, Int8Linear(child))


def uses_int8(module: nn.Module) -> bool:
    """Returns whether any layer of a model multiplies 8-bit integers."""
    return any(isinstance(each, Int8Linear) for each in module.modules())


def use_float32(module: nn.Module, stored: dict[str, Tensor]) -> None:
    """Puts a linear layer in place of each layer of 8-bit integers, in place.

    Args:
        module: The model.
        stored: Weights by their names in it; where one is missing, the rounded one stays.
    """
    for path, parent in list(module.named_modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Int8Linear):
                linear = child.rounded()
                whole = stored.get(f"{path}.{name}.weight" if path else f"{name}.weight")
                if whole is not None:
                    linear.weight = nn.Parameter(whole.float().clone())
                setattr(parent, name, linear)
