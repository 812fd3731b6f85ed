"""Untrained word vectors that make MaxSim weigh words by how rare they are."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..text.tokenization import JapaneseTokenizer
from .vocabulary import SPECIAL_TOKENS

_OWN = 0.8
"""The rarity from which a word shares nothing with other words. This and the next were chosen on JaQuAD dev."""
_SHARPNESS = 1.5
_KANJI = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff々]")


def rarity_weighted_vectors(
    tokenizer: JapaneseTokenizer, texts: Iterable[str], width: int, *, std: float = 1.0, seed: int = 42
) -> Tensor:
    """Draws random word vectors, in which those of frequent words point the same way.

    A word that a document lacks is matched by MaxSim with the nearest word that it has. Between random
    vectors the nearest is far for every word, so that a missing particle costs as much as a missing
    name. Here a word's vector is the sum of a direction common to all words and one of its own, the
    common part being larger the more texts have the word: a frequent word finds a near one in any
    document, a rare word only itself. What a word counts, by this difference, follows its inverse
    document frequency, and training begins with a good lexical retriever instead of having to learn
    every word's weight from questions.

    Of a word's own direction, half is that of its kanji, so that words that share some, which often mean
    something near (建築, 建設), are nearer than others. A piece within a word is as the same piece at its start.

    Args:
        tokenizer: Whose tokens the vectors are of.
        texts: Where words are counted, a text once for each of its words.
        width: Length of a vector, at least 2.
        std: Root of the mean square of a vector's elements.
        seed: Decides the directions.

    Returns:
        (tokens, width) float32 by id, each of mean 0, so that layer normalisation keeps their angles. Special
        tokens have the common direction alone.
    """
    weight = word_weights(tokenizer, texts)
    # What a missing word loses is 1 - (its cosine with a word of the common direction) = its weight.
    common = (1 - weight).unsqueeze(1)
    generator = torch.Generator().manual_seed(seed)
    by_id = sorted(tokenizer.vocabulary, key=tokenizer.vocabulary.__getitem__)
    words = [token.removeprefix("##") for token in by_id]
    kanji = dict.fromkeys(character for word in words for character in _KANJI.findall(word))
    places = {piece: place for place, piece in enumerate([None, *dict.fromkeys([*words, *kanji])])}
    vectors = torch.randn(len(places), width, generator=generator)
    vectors -= vectors.mean(dim=1, keepdim=True)
    shared = normalize(vectors[0], dim=0)
    vectors = normalize(vectors - (vectors @ shared).unsqueeze(1) * shared)
    own = vectors[[places[word] for word in words]]
    for row, word in zip(own, words, strict=True):
        if found := _KANJI.findall(word):
            row += normalize(vectors[[places[character] for character in found]].sum(dim=0), dim=0)
    own = normalize(own)
    sums: Tensor = common * shared + (1 - common.square()).sqrt() * own
    return sums * (std * math.sqrt(width))


def word_weights(tokenizer: JapaneseTokenizer, texts: Iterable[str]) -> Tensor:
    """Computes the weight of each token in a match: (tokens,) float32 from 0, in every text, to 1, in hardly any."""
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
