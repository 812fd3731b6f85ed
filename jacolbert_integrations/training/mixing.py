"""Old data beside new: what keeps post-training from forgetting."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ..errors import InputError
from .records import Example

V25_SHARE = 0.1
"""Old examples for each new one in v2.5's second post-training run: 18,000 beside 180,000 (arXiv 2407.20750)."""


def mix(new: Sequence[Example], old: Sequence[Example], *, share: float = V25_SHARE, seed: int = 42) -> list[Example]:
    """Appends some of the old examples, drawn at random, to all of the new ones.

    Args:
        new: The smaller, better set.
        old: What the model was trained on before.
        share: Old examples for each new one.
        seed: Decides which.

    Raises:
        InputError: If ``share`` is below 0, or asks for more old examples than there are.
    """
    if not 0 <= share < float("inf"):
        raise InputError(f"share is {share}, but it must be 0 or more.")
    count = round(len(new) * share)
    if count > len(old):
        raise InputError(
            f"a share of {share} beside {len(new):,} new examples takes {count:,} old ones, but there are only "
            f"{len(old):,}. Give a lower share, or more old data."
        )
    return [*new, *random.Random(seed).sample(list(old), count)]
