"""Untrained word vectors that make MaxSim weigh words by how rare they are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor

from ..tokenization import JapaneseTokenizer
from .vocabulary import SPECIAL_TOKENS

_OWN = 0.8
"""The rarity from which a word shares nothing with other words. This and the next were chosen on JaQuAD dev."""
_SHARPNESS = 1.5


def rarity_weighted_vectors(
    tokenizer: JapaneseTokenizer, texts: Iterable[str], width: int, *, std: float = 1.0, seed: int = 42
) -> Tensor:
    """Random word vectors, of which those of frequent words point the same way.

    A word that a document lacks is matched by MaxSim with the nearest word that it has. Between random
    vectors the nearest is far for every word, so that a missing particle costs as much as a missing
    name. Here a word's vector is the sum of a direction common to all words and one of its own, the
    common part being larger the more texts have the word: a frequent word finds a near one in any
    document, a rare word only itself. What a word counts, by this difference, follows its inverse
    document frequency, and training begins with a good lexical retriever instead of having to learn
    every word's weight from questions.

    Args:
        tokenizer: Whose tokens the vectors are of.
        texts: Where words are counted, a text once for each of its words.
        width: Length of a vector, at least 2.
        std: Root of the mean square of a vector's elements.
        seed: Decides the directions.

    Returns:
        (tokens, width) float32, each of mean 0, so that layer normalisation keeps their angles. Special
        tokens have the common direction alone.
    """
    weight = word_weights(tokenizer, texts)
    # What a missing word loses is 1 - (its cosine with a word of the common direction) = its weight.
    common = (1 - weight).unsqueeze(1)
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(1 + len(weight), width, generator=generator)
    vectors -= vectors.mean(dim=1, keepdim=True)
    shared = vectors[0] / vectors[0].norm()
    own = vectors[1:] - (vectors[1:] @ shared).unsqueeze(1) * shared
    own /= own.norm(dim=1, keepdim=True)
    sums: Tensor = common * shared + (1 - common.square()).sqrt() * own
    return sums * (std * math.sqrt(width))


def word_weights(tokenizer: JapaneseTokenizer, texts: Iterable[str]) -> Tensor:
    """What each token should count in a match: (tokens,) float32 from 0, in every text, to 1, in hardly any."""
    texts_with: Counter[int] = Counter()
    count = 0
    for text in texts:
        texts_with.update(set(tokenizer.encode(text)))
        count += 1
    weight = torch.ones(len(tokenizer.vocabulary))
    for token, found in texts_with.items():
        rarity = math.log(count / found) / math.log(max(count, 2))
        weight[token] = min(rarity / _OWN, 1.0) ** _SHARPNESS
    for special in SPECIAL_TOKENS:
        weight[tokenizer.vocabulary[special]] = 0.0
    return weight
