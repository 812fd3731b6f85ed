"""A merged checkpoint: how it is written, and what is written down of its making."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from ...checkpoints.layouts import inspect_checkpoint
from ...checkpoints.weights import checkpoint_fingerprint
from ...encoding.encoder import JaColBERT
from ...encoding.saving import save_stanford, whole_directory
from ...errors import MergeError, SaveError
from .members import PROVENANCE_FILE, Member

_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True, slots=True)
class SoupStep:
    """One member's step in a greedy soup.

    Attributes:
        member: The member.
        alone: The development metric of the member alone.
        with_it: The metric of the mean of it and all that were kept before it.
        kept: Whether that was higher than before.
    """

    member: Member
    alone: float
    with_it: float
    kept: bool


@dataclass(frozen=True, slots=True)
class MergeResult:
    """A merged checkpoint, and what it was made of.

    Attributes:
        path: Its directory, in the layout of the released JaColBERT models.
        method: ``"average"``, ``"slerp"`` or ``"greedy"``.
        members: Those whose weights are in it.
        weights: The share of each member, of sum 1; None for SLERP.
        t: Where between the two members it is, for SLERP.
        steps: Each member's step in a greedy soup, best member first.
        fingerprint: SHA-256 of its weights.
    """

    path: Path
    method: str
    members: tuple[Member, ...]
    weights: tuple[float, ...] | None
    t: float | None
    steps: tuple[SoupStep, ...]
    fingerprint: str


def check_dtype(dtype: torch.dtype) -> None:
    """Refuses what weights are not kept in.

    Raises:
        MergeError: If ``dtype`` is not float32, float16 or bfloat16.
    """
    if dtype not in _DTYPES:
        raise MergeError(f"dtype is {dtype}, but a result is written in one of {', '.join(map(str, _DTYPES))}.")


def set_weights(model: JaColBERT, tensors: Mapping[str, Tensor]) -> None:
    """Puts merged weights into a loaded model, in place.

    Raises:
        MergeError: If they hold infinity, for which the dtype was too small.
    """
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise MergeError(
                f"the merged {name!r} is beyond the range of {tensor.dtype}. Give dtype=torch.float32, or bfloat16."
            )
    model.model.load_state_dict(tensors)


def write_merged(
    model: JaColBERT,
    tensors: Mapping[str, Tensor],
    members: Sequence[Member],
    output: str | Path,
    *,
    method: str,
    weights: tuple[float, ...] | None = None,
    t: float | None = None,
    metric: str | None = None,
    steps: tuple[SoupStep, ...] = (),
    dtype: torch.dtype,
) -> MergeResult:
    """Writes merged weights and their provenance as a checkpoint, whole or not at all.

    Args:
        model: A member, whose configuration and tokenizer the result gets. Its weights are overwritten.
        tensors: The merged weights, by the names of its ``state_dict``.
        members: Those that are in them.
        output: The result's directory.
        method: What the provenance calls the method.
        weights: The share of each member, where there are shares.
        t: The parameter of SLERP.
        metric: What the steps of a greedy soup were measured by.
        steps: Those steps.
        dtype: Of the result's weights.

    Raises:
        MergeError: If the weights are beyond the dtype's range.
        SaveError: If a file cannot be written.
    """
    set_weights(model, tensors)
    backbone: Any = model.model[0].auto_model
    if not all(member.pooler for member in members) and getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None  # where a file has none, what was merged is what transformers made up
    path = Path(output)
    try:
        with whole_directory(path) as folder:
            save_stanford(model.model, folder, dtype=dtype)
            result = MergeResult(
                path=path,
                method=method,
                members=tuple(members),
                weights=weights,
                t=t,
                steps=steps,
                fingerprint=checkpoint_fingerprint(inspect_checkpoint(folder)),
            )
            provenance = json.dumps(_provenance(result, metric, dtype), ensure_ascii=False, indent=2)
            (folder / PROVENANCE_FILE).write_text(f"{provenance}\n", encoding="utf-8")
    except (OSError, SafetensorError, SaveError) as error:
        raise SaveError(
            f"{path} cannot be written: {error}. Nothing was left there; make room, or give another."
        ) from error
    return result


def _provenance(result: MergeResult, metric: str | None, dtype: torch.dtype) -> dict[str, Any]:
    parameters: dict[str, Any] = {"dtype": str(dtype).removeprefix("torch.")}
    if result.weights is not None:
        parameters["weights"] = result.weights
    if result.t is not None:
        parameters["t"] = result.t
    record: dict[str, Any] = {
        "method": result.method,
        "parameters": parameters,
        "members": [_identity(member) for member in result.members],
        "fingerprint": result.fingerprint,
        "jacolbert_integrations": version("jacolbert-integrations"),
    }
    if result.steps:
        steps = [
            {**_identity(step.member), "alone": step.alone, "with_it": step.with_it, "kept": step.kept}
            for step in result.steps
        ]
        record["soup"] = {"metric": metric, "steps": steps}
    return record


def _identity(member: Member) -> dict[str, str]:
    return {"name": member.name, "fingerprint": member.fingerprint}  # where it lies is nobody else's business
