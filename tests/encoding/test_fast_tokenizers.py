"""Tokenizers other than MeCab's, as the encoder uses them: of a long text only as much as is needed is read."""

from __future__ import annotations

import random
from typing import Any

import pytest

from jacolbert_integrations.encoding.hf_tokenizer import HuggingFaceTokenizer
from jacolbert_integrations.evaluation.jsquad import load_jsquad

from ..explaining.fast_tokenizers import TOKENIZERS as BACKENDS
from ..explaining.fast_tokenizers import wrapped

TOKENIZERS = {kind: wrapped(make()) for kind, make in BACKENDS.items()}
PROSE = "".join(passage.text for passage in load_jsquad().passages)


class Reads:
    """A tokenizer that keeps account of how much it is asked to read."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.characters = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, texts: list[str], **options: Any) -> Any:
        self.characters += sum(map(len, texts))
        return self._tokenizer(texts, **options)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_start_of_a_text_has_the_ids_of_the_whole(kind: str) -> None:
    tokenizer = HuggingFaceTokenizer(TOKENIZERS[kind])
    rng = random.Random(kind)
    texts = ["", "a", "猫", PROSE[:9000], "a " * 3000]
    for _ in range(20):
        start = rng.randrange(len(PROSE) - 9000)
        texts.append(PROSE[start : start + rng.randrange(9000)])
    whole = tokenizer.encode_batch(texts)
    for limit in (1, 7, 180, 510):
        assert tokenizer.encode_batch(texts, limit) == [ids[:limit] for ids in whole]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_what_is_far_behind_is_not_read(kind: str) -> None:
    counting = Reads(TOKENIZERS[kind])
    tokenizer: Any = HuggingFaceTokenizer(counting)  # type: ignore[arg-type]
    long = PROSE * 3
    ids = tokenizer.encode_batch([long, "猫", long[5:]], 100)
    assert [len(row) for row in ids][::2] == [100, 100]
    assert counting.characters < len(long) / 10


def test_more_is_read_where_that_was_too_little() -> None:
    tokenizer: Any = HuggingFaceTokenizer(TOKENIZERS["unigram"])
    blanks = " " * 50_000 + "猫"
    assert tokenizer.encode_batch([blanks], 5) == [tokenizer.encode_batch([blanks])[0][:5]]
