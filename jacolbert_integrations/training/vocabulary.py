"""A WordPiece vocabulary of Japanese words, learned from text."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable

from ..errors import InputError
from ..text.tokenization import WordSplitter

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]")
"""First in the vocabulary, in the order of bert-base-japanese-v3, with ColBERT's two markers."""

_ENOUGH = 5


def learn_vocabulary(texts: Iterable[str], size: int, *, min_frequency: int = 2) -> dict[str, int]:
    """Takes the most frequent words that MeCab finds, and characters and pairs of them to spell the others with.

    Names that are in no vocabulary are what questions ask for, and pairs tell them apart better than
    single characters do.

    The trainers of ``tokenizers`` merge pieces instead, but break ties by chance: their vocabulary
    of 16,384 tokens differs from run to run, and with it every model trained on it.

    Args:
        texts: Japanese texts.
        size: How many tokens to keep, special ones included.
        min_frequency: How often a character or word must occur.

    Returns:
        Token to id: the special tokens, then characters with all ASCII punctuation, then pairs (an eighth
        of the size at most), then words, each by falling frequency.

    Raises:
        InputError: If ``size`` leaves no room for words.
    """
    splitter = WordSplitter()
    words: Counter[str] = Counter()
    for text in texts:
        words.update(splitter.split(text))
    characters: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    for word, count in words.items():
        for place, character in enumerate(word):
            before = "##" if place else ""
            characters[before + character] += count
            if len(pair := word[place : place + 2]) == 2:
                # A word that is frequent has a token of its own: its pairs are no more needed for that.
                pairs[before + pair] += min(count, _ENOUGH)
    # colbert-ai looks its skip list up in the vocabulary: a mark that is not there skips every [UNK] instead.
    characters.update(dict.fromkeys(string.punctuation, min_frequency))
    pieces = _frequent(characters, min_frequency)
    pieces += _frequent(pairs, min_frequency)[: size // 8]
    room = size - len(SPECIAL_TOKENS) - len(pieces)
    if room < 1:
        raise InputError(
            f"a vocabulary of {size} tokens has no room for words beside {len(pieces)} characters and pairs. "
            "Give a larger size or a higher min_frequency."
        )
    longer = Counter({word: count for word, count in words.items() if 1 < len(word) <= 100})
    tokens = [*SPECIAL_TOKENS, *pieces, *_frequent(longer, min_frequency)[:room]]
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}


def _frequent(counts: Counter[str], at_least: int) -> list[str]:
    kept = [(-count, piece) for piece, count in counts.items() if count >= at_least]
    return [piece for _, piece in sorted(kept)]
