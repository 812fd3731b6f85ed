"""The baseline that a retriever of Japanese text has to beat: BM25 over MeCab words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError, MissingExtraError
from ..text.tokenization import WordSplitter
from ..types import Scores


class BM25:
    """BM25 (Lucene's variant) over the words that MeCab finds, by the library ``bm25s``.

    Args:
        passages: The texts to rank.
        k1: How soon more of the same word stops counting.
        b: How much long passages are held back.

    Raises:
        MissingExtraError: If the ``evaluation`` extra is not installed.
        InputError: If there are no passages, or no word in any of them.
    """

    def __init__(self, passages: Sequence[str], *, k1: float = 1.2, b: float = 0.75) -> None:
        try:
            import bm25s
        except ImportError as error:
            raise MissingExtraError("bm25s", "evaluation") from error
        self._splitter = WordSplitter()
        words = [self._splitter.split(passage) for passage in passages]
        if not any(words):
            raise InputError(f"BM25 needs words to index, but the {len(passages)} passages hold none.")
        self._index = bm25s.BM25(k1=k1, b=b, method="lucene")
        self._index.index(words, show_progress=False)
        self._size = len(words)

    def __len__(self) -> int:
        return self._size

    @property
    def bytes(self) -> int:
        """Bytes of the index in memory."""
        return sum(array.nbytes for array in self._index.scores.values() if isinstance(array, np.ndarray))

    def score(self, queries: Sequence[str]) -> Scores:
        """Computes BM25 of each query with each passage: (queries, passages) float32, 0 where they share no word."""
        scores = np.zeros((len(queries), len(self)), np.float32)
        for row, query in zip(scores, queries, strict=True):
            if words := self._splitter.split(query):  # bm25s takes no empty query
                row[:] = self._index.get_scores(words)
        return scores
