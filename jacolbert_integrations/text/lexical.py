"""Japanese text as sparse vectors of words, weighed as BM25 does, for the lexical first stage of a store."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import InputError
from .tokenization import WordSplitter

SparseVector = Mapping[int, float]
"""Number of a word to its weight."""


@dataclass(frozen=True)
class LexicalEncoder:
    """The words that MeCab finds, with BM25's weights without the inverse document frequency.

    That factor changes with every document, so the store puts it in when it searches (Qdrant: ``Modifier.IDF``). The
    inner product of a document's vector and a query's, each word times its factor, is then BM25.

    Words are compared in lower case after NFKC. Their numbers are CRC-32s: among a million different words, about
    a hundred pairs have the same.

    Attributes:
        average_words: Words of an average document.
        k1: How soon more of the same word stops counting.
        b: How much long documents are held back.
    """

    average_words: float
    k1: float = 1.2
    b: float = 0.75
    _splitter: WordSplitter = field(default_factory=WordSplitter, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.average_words > 0:
            raise InputError(f"average_words is {self.average_words!r}, but it must be above 0.")
        if self.k1 < 0 or not 0 <= self.b <= 1:
            raise InputError(f"k1 is {self.k1!r} and b {self.b!r}, but k1 must be 0 or more and b from 0 to 1.")

    def encode_document(self, text: str) -> SparseVector:
        """Encodes a document as weighted words; empty if it has none.

        Raises:
            InputError: If the text holds lone surrogates.
        """
        counts = self._count(text)
        length = self.k1 * (1 - self.b + self.b * counts.total() / self.average_words)
        return {word: count * (self.k1 + 1) / (count + length) for word, count in counts.items()}

    def encode_query(self, text: str) -> SparseVector:
        """Encodes a query as its words, each as often as it occurs; empty if it has none.

        Raises:
            InputError: If the text holds lone surrogates.
        """
        return {word: float(count) for word, count in self._count(text).items()}

    def words(self, text: str) -> list[str]:
        """Returns the words that are compared."""
        return [word.lower() for word in self._splitter.split(text)]

    def _count(self, text: str) -> Counter[int]:
        return Counter(zlib.crc32(word.encode()) for word in self.words(text))
