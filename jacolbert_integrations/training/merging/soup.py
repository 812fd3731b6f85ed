"""A greedy soup: the mean of those checkpoints that raise a development metric (arXiv 2203.05482)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ...encoding.encoder import JaColBERT
from ...errors import MergeError
from .averages import WeightedSum
from .members import Member, find_members, progress, read_members
from .merged import MergeResult, SoupStep, check_dtype, set_weights, write_merged


def greedy_soup(
    checkpoints: Sequence[str | Path],
    output: str | Path,
    *,
    evaluate: Callable[[JaColBERT], float],
    metric: str = "development metric",
    dtype: torch.dtype = torch.float32,
    device: str | None = None,
    show_progress_bar: bool | None = None,
) -> MergeResult:
    """Averages the best checkpoint uniformly with each further one that raises the metric.

    The members are ranked by the metric of each alone. The best begins the soup; the others are added in turn,
    and each stays only if the metric of the mean rises above what it was. (The paper's recipe also keeps one that
    leaves it the same; a member that gains nothing is left out here.) Of equal members the one given first comes
    first. Everything is measured with the weights as they would be written.

    Args:
        checkpoints: Directories or hub ids of any layout, at least two. No two may have the same weights.
            Configuration and tokenizer files are taken from the first.
        output: The result's directory: a new or empty one, or an earlier merge's, which is replaced.
        evaluate: The development metric of a model, higher is better. It is asked 2n - 1 times for n members, each
            time with other weights in one and the same model. It should be measured on data that neither
            training nor the final evaluation sees.
        metric: What to call it in the provenance.
        dtype: Of the result: float32, float16 or bfloat16.
        device: Where to evaluate, as in sentence-transformers; None takes a GPU if there is one.
        show_progress_bar: None shows one after a second, on a terminal.

    Raises:
        MergeError: If members differ in more than their weights, hold NaN or infinity, or are the same; if the
            metric is no finite number; if ``output`` holds something else; or if ``dtype`` cannot hold the result.
        CheckpointError: If a member cannot be loaded.
        SaveError: If the result cannot be written.
    """
    check_dtype(dtype)
    sources = find_members(checkpoints, output)
    # all checks come before the first measurement, which is what takes long
    members = [member for member, _ in read_members(sources, show_progress_bar=show_progress_bar)]
    model = members[0].load(device)

    def measure(soup: WeightedSum, name: str) -> float:
        set_weights(model, soup.mean(dtype))
        model.name = name
        value = float(evaluate(model))
        if not math.isfinite(value):
            raise MergeError(f"the {metric} of {name} is {value}, by which nothing can be ranked. Mend the evaluation.")
        return value

    alone = [
        measure(_with(WeightedSum(), member), member.name)
        for member in progress(members, "Measuring members", show_progress_bar)
    ]
    best, *others = sorted(zip(members, alone, strict=True), key=lambda measured: -measured[1])  # stable
    soup, highest, kept = _with(WeightedSum(), best[0]), best[1], [best[0]]
    steps = [SoupStep(best[0], best[1], best[1], kept=True)]
    for member, value in progress(others, "Adding members", show_progress_bar):
        larger = _with(soup, member)
        with_it = measure(larger, f"a soup of {len(kept) + 1}")
        steps.append(SoupStep(member, value, with_it, kept=with_it > highest))
        if with_it > highest:
            soup, highest = larger, with_it
            kept.append(member)
    return write_merged(
        model,
        soup.mean(dtype),
        kept,
        output,
        method="greedy",
        weights=(1 / len(kept),) * len(kept),
        metric=metric,
        steps=tuple(steps),
        dtype=dtype,
    )


def _with(soup: WeightedSum, member: Member) -> WeightedSum:
    larger = soup.copy()
    larger.add(member.load().model.state_dict())
    return larger
