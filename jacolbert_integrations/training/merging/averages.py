"""Merging checkpoints: uniform and weighted averages of their weights, and SLERP of two.

JaColBERTv2.4 is the mean of the last checkpoint and the two best earlier ones of its training, and v2.5 the mean
of those three and two post-trained models (arXiv 2407.20750, which states no weights: uniform means, presumably).
:mod:`.soup` chooses the members itself.

sentence-transformers' ``MultiVectorEncoder.merge`` (``sentence_transformers.base.merging``) is not used: all its
arithmetic is mergekit's, an extra that brings peft, datasets, scipy, sentencepiece, protobuf and immutables, for
what takes a few lines here. It holds all members in memory at once, computes in float32 unless told otherwise, has
no greedy soup, and writes nothing of what a result was made of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...errors import MergeError
from .members import find_members, read_members
from .merged import MergeResult, check_dtype, write_merged

_NEARLY_PARALLEL = 0.9995


class WeightedSum:
    """A weighted sum of models in float64, so that its mean is rounded only once.

    Attributes:
        weight: Sum of the weights so far.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self.weight = 0.0

    def add(self, tensors: Mapping[str, Tensor], weight: float = 1.0) -> None:
        """Adds a model.

        Args:
            tensors: Its weights, with the names and shapes of those before it.
            weight: How much it counts.
        """
        for name, tensor in tensors.items():
            term = tensor.detach().to("cpu", torch.float64) * weight
            if name in self._sums:
                self._sums[name] += term
            else:  # a sum that begins with zero would turn -0.0 into 0.0
                self._sums[name] = term
        self.weight += weight

    def copy(self) -> WeightedSum:
        """Copies the sum, to add to the copy without changing this one."""
        other = WeightedSum()
        other._sums = {name: tensor.clone() for name, tensor in self._sums.items()}
        other.weight = self.weight
        return other

    def mean(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Divides the sum by the weights' sum, rounded to ``dtype``. Equal models give that model, bit by bit."""
        return {name: (tensor / self.weight).to(dtype) for name, tensor in self._sums.items()}


def average(
    checkpoints: Sequence[str | Path],
    output: str | Path,
    *,
    weights: Sequence[float] | None = None,
    dtype: torch.dtype = torch.float32,
    show_progress_bar: bool | None = None,
) -> MergeResult:
    """Averages checkpoints, uniformly or by weights, computed in float64.

    The members are read one after the other, so that memory does not grow with their number.

    Args:
        checkpoints: Directories or hub ids of any layout, at least two. No two may have the same weights: it is
            ``weights`` that let a member count more. Configuration and tokenizer files are taken from the first.
        output: The result's directory: a new or empty one, or an earlier merge's, which is replaced.
        weights: How much each member counts, of any positive sum; None lets all count the same.
        dtype: Of the result: float32, float16 or bfloat16.
        show_progress_bar: None shows one after a second, on a terminal.

    Raises:
        MergeError: If members differ in more than their weights, hold NaN or infinity, or are the same; if
            ``weights`` are not one finite number of at least 0 a member, of a sum above 0; if ``output`` holds
            something else; or if ``dtype`` cannot hold the result.
        CheckpointError: If a member cannot be loaded.
        SaveError: If the result cannot be written.
    """
    check_dtype(dtype)
    sources = find_members(checkpoints, output)
    shares = _shares(weights, len(sources))
    reading = read_members(sources, show_progress_bar=show_progress_bar)
    first, model = next(reading)
    members, total = [first], WeightedSum()
    total.add(model.model.state_dict(), shares[0])
    for (member, other), share in zip(reading, shares[1:], strict=True):
        members.append(member)
        total.add(other.model.state_dict(), share)
    counted = tuple(share / math.fsum(shares) for share in shares)
    return write_merged(model, total.mean(dtype), members, output, method="average", weights=counted, dtype=dtype)


def slerp(
    a: str | Path,
    b: str | Path,
    output: str | Path,
    *,
    t: float = 0.5,
    dtype: torch.dtype = torch.float32,
    show_progress_bar: bool | None = None,
) -> MergeResult:
    """Interpolates two checkpoints spherically, tensor by tensor (:func:`slerp_tensor`).

    Args:
        a: A directory or hub id of any layout; configuration and tokenizer files are taken from it.
        b: Likewise.
        output: The result's directory: a new or empty one, or an earlier merge's, which is replaced.
        t: 0 gives ``a``, 1 gives ``b``.
        dtype: Of the result: float32, float16 or bfloat16.
        show_progress_bar: None shows one after a second, on a terminal.

    Raises:
        MergeError: As for :func:`average`, and if ``t`` is not between 0 and 1.
        CheckpointError: If a member cannot be loaded.
        SaveError: If the result cannot be written.
    """
    check_dtype(dtype)
    if not 0 <= t <= 1:
        raise MergeError(f"t is {t}, but it must be between 0 (the first checkpoint) and 1 (the second).")
    sources = find_members([a, b], output)
    (first, model), (second, other) = read_members(sources, show_progress_bar=show_progress_bar)
    theirs = other.model.state_dict()
    tensors = {name: slerp_tensor(own, theirs[name], t).to(dtype) for name, own in model.model.state_dict().items()}
    return write_merged(model, tensors, [first, second], output, method="slerp", t=t, dtype=dtype)


def slerp_tensor(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Computes ``sin((1-t)θ)/sin θ · a + sin(tθ)/sin θ · b``, with θ the angle between the two as flat vectors.

    Where the vectors are nearly parallel or opposite (|cos θ| > 0.9995), or one is zero, it is linear:
    ``(1-t) · a + t · b``.

    Args:
        a: Of any shape.
        b: Of the same shape.
        t: Between 0 and 1.

    Returns:
        A float64 tensor of that shape.
    """
    start, end = a.detach().double(), b.detach().double()
    length = float(start.norm() * end.norm())
    cosine = float((start * end).sum()) / length if length else 1.0
    if abs(cosine) > _NEARLY_PARALLEL:
        return (1 - t) * start + t * end
    angle = math.acos(cosine)
    return math.sin((1 - t) * angle) / math.sin(angle) * start + math.sin(t * angle) / math.sin(angle) * end


def _shares(weights: Sequence[float] | None, count: int) -> list[float]:
    if weights is None:
        return [1.0] * count
    shares = [float(weight) for weight in weights]
    if len(shares) != count:
        raise MergeError(f"got {len(shares)} weights for {count} members. Give one for each, in their order.")
    if not all(math.isfinite(share) and share >= 0 for share in shares) or not math.fsum(shares) > 0:
        raise MergeError(
            f"the weights are {shares}, but each must be a finite number of at least 0, and their sum above 0. "
            "They need not sum to 1."
        )
    return shares
