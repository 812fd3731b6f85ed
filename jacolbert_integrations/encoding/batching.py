"""Batches cut by tokens rather than by texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .transformer import ColBERTTransformer, Encoded, Task

_TOKENIZED_TOGETHER = 64


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts that a device computes together.

    Attributes:
        rows: The place of each text among all that are encoded.
        texts: The texts.
        padded: Whether each text is padded to the longest; if not, they lie one after the other.
        halved: Whether this is half of a batch that was too large for the device.
    """

    rows: list[int]
    texts: list[Encoded]
    padded: bool
    halved: bool = False

    @property
    def tokens(self) -> int:
        """How many tokens the device computes, padding included."""
        lengths = [len(text.ids) for text in self.texts]
        return len(lengths) * max(lengths) if self.padded else sum(lengths)

    @property
    def cut(self) -> int:
        """How many of the texts were longer than the model reads."""
        return sum(text.cut for text in self.texts)

    def halves(self) -> list[Batch]:
        """Returns the first and the second half; one text makes one half."""
        middle = (len(self.rows) + 1) // 2
        parts = [slice(0, middle), slice(middle, None)][: len(self.rows)]
        return [replace(self, rows=self.rows[part], texts=self.texts[part], halved=True) for part in parts]


def padded_batches(
    transformer: ColBERTTransformer, texts: Sequence[str], task: Task, budget: int, batch_size: int | None
) -> Iterator[Batch]:
    """Yields batches of texts of similar length, as many as fit the token budget, the longest texts first.

    Args:
        transformer: What tokenizes the texts, all of them before the first batch.
        texts: The texts.
        task: What they are.
        budget: Most tokens of a batch, padding included; a longer text has a batch of its own.
        batch_size: Most texts of a batch; None sets no such limit.
    """
    encoded = transformer.tokenize_texts(texts, task)
    order = sorted(range(len(encoded)), key=lambda row: -len(encoded[row].ids))
    rows: list[int] = []
    for row in order:
        width = len(encoded[rows[0]].ids) if rows else 0
        if rows and ((len(rows) + 1) * width > budget or len(rows) == batch_size):
            yield Batch(rows, [encoded[each] for each in rows], padded=True)
            rows = []
        rows.append(row)
    if rows:
        yield Batch(rows, [encoded[each] for each in rows], padded=True)


def packed_batches(
    transformer: ColBERTTransformer, texts: Sequence[str], task: Task, budget: int, batch_size: int | None
) -> Iterator[Batch]:
    """Yields batches without padding, of texts in their order, as many as fit the token budget.

    Lengths need not be known before, so each text is tokenized not long before it is needed: while a device computes.

    Args:
        transformer: What tokenizes the texts.
        texts: The texts.
        task: What they are.
        budget: Most tokens of a batch; a longer text has a batch of its own.
        batch_size: Most texts of a batch; None sets no such limit.
    """
    rows: list[int] = []
    encoded: list[Encoded] = []
    tokens = 0
    for start in range(0, len(texts), _TOKENIZED_TOGETHER):
        some = transformer.tokenize_texts(texts[start : start + _TOKENIZED_TOGETHER], task)
        for row, text in enumerate(some, start):
            if rows and (tokens + len(text.ids) > budget or len(rows) == batch_size):
                yield Batch(rows, encoded, padded=False)
                rows, encoded, tokens = [], [], 0
            rows.append(row)
            encoded.append(text)
            tokens += len(text.ids)
    if rows:
        yield Batch(rows, encoded, padded=False)
