"""The baseline that a retriever of Japanese text has to beat: BM25 over MeCab words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import MissingExtraError
from ..tokenization import WordSplitter
from ..types import Scores


class BM25:
    """BM25 (Lucene's variant) over the words that MeCab finds, by the library ``bm25s``.

    Args:
        passages: The texts to rank.
        k1: How soon more of the same word stops counting.
        b: How much long passages are held back.

    Raises:
        MissingExtraError: If the ``evaluation`` extra is not installed.
    """

    def __init__(self, passages: Sequence[str], *, k1: float = 1.2, b: float = 0.75) -> None:
        try:
            import bm25s
        except ImportError as error:
            raise MissingExtraError("bm25s", "evaluation") from error
        self._splitter = WordSplitter()
        self._index = bm25s.BM25(k1=k1, b=b, method="lucene")
        self._index.index([self._splitter.split(passage) for passage in passages], show_progress=False)

    def score(self, queries: Sequence[str]) -> Scores:
        """(queries, passages) float32."""
        return np.stack([self._index.get_scores(self._splitter.split(query)) for query in queries]).astype(np.float32)
