"""Batches cut by tokens rather than by texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .transformer import Encoded


def token_batches(encoded: Sequence[Encoded], budget: int, batch_size: int | None) -> Iterator[list[int]]:
    """Yields batches of texts of similar length, as many as fit the token budget, the longest texts first.

    Args:
        encoded: The texts, tokenised.
        budget: Most tokens of a batch, padding included; a longer text has a batch of its own.
        batch_size: Most texts of a batch; None sets no such limit.

    Yields:
        Positions in ``encoded``, each once.
    """
    order = sorted(range(len(encoded)), key=lambda row: -len(encoded[row].ids))
    batch: list[int] = []
    for row in order:
        width = len(encoded[batch[0]].ids) if batch else 0
        if batch and ((len(batch) + 1) * width > budget or len(batch) == batch_size):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
