"""Batches: by tokens, in two ways, and halves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.encoding.batching import Batch, packed_batches, padded_batches
from jacolbert_integrations.encoding.transformer import ColBERTTransformer, Encoded, Task


@pytest.mark.parametrize("cut", [padded_batches, packed_batches])
@settings(max_examples=30)
@given(
    repeats=st.lists(st.integers(0, 12), max_size=150),
    budget=st.integers(1, 200),
    batch_size=st.sampled_from([None, 1, 3]),
)
def test_each_text_is_in_one_batch_that_fits(
    mini: JaColBERT, cut: Callable[..., Any], repeats: list[int], budget: int, batch_size: int | None
) -> None:
    transformer: Any = mini.model[0]
    texts = [f"{place}" + "猫" * count for place, count in enumerate(repeats)]
    batches: list[Batch] = list(cut(transformer, texts, "document", budget, batch_size))
    rows = [row for batch in batches for row in batch.rows]
    assert sorted(rows) == list(range(len(texts)))
    encoded = transformer.tokenize_texts(texts, "document")
    for batch in batches:
        assert batch.texts == [encoded[row] for row in batch.rows]
        assert batch.tokens <= budget or len(batch.rows) == 1
        assert batch_size is None or len(batch.rows) <= batch_size
    if cut is packed_batches:
        assert rows == sorted(rows)
    else:
        lengths = [len(encoded[row].ids) for row in rows]
        assert lengths == sorted(lengths, reverse=True)


def test_packed_texts_are_tokenized_when_they_are_needed(mini: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> None:
    transformer: Any = mini.model[0]
    read: list[int] = []
    tokenize = ColBERTTransformer.tokenize_texts

    def counted(self: ColBERTTransformer, texts: Any, task: Task) -> Any:
        read.append(len(texts))
        return tokenize(self, texts, task)

    monkeypatch.setattr(ColBERTTransformer, "tokenize_texts", counted)
    batches = packed_batches(transformer, [str(i) for i in range(300)], "document", 100, None)
    next(batches)
    assert read == [64]
    assert sum(1 for _ in batches) > 1
    assert sum(read) == 300


def test_halves_and_sizes() -> None:
    texts = [Encoded([1] * length, length, cut=length == 9) for length in (9, 4, 2)]
    batch = Batch([5, 0, 3], texts, padded=True)
    assert (batch.tokens, Batch([5, 0, 3], texts, padded=False).tokens, batch.cut) == (27, 15, 1)
    first, second = batch.halves()
    assert (first.rows, second.rows, second.tokens) == ([5, 0], [3], 2)
    assert first.halved
    assert second.texts == texts[2:]
    assert [half.rows for half in second.halves()] == [[3]]
