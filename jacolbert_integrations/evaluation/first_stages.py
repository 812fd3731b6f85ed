"""What finds candidates for MaxSim, in memory: the first stages of a store, computed for a whole benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..scoring.centroids import Centroids
from ..scoring.muvera import Muvera
from ..types import Scores, TokenVectors
from .bm25 import BM25
from .settings import StageName

_NPROBE = 4  # as of NearestCentroids


class FirstStage(Protocol):
    """Scores all passages cheaply."""

    bytes_per_passage: float

    def score(self, places: Sequence[int]) -> Scores:
        """Computes (queries, passages) float32 of the queries at some places."""
        ...


class Words:
    """BM25 over MeCab words.

    Args:
        index: Of the passages.
        queries: The texts of the queries.
    """

    def __init__(self, index: BM25, queries: Sequence[str]) -> None:
        self._index = index
        self._queries = queries
        self.bytes_per_passage = index.bytes / max(len(index), 1)

    def score(self, places: Sequence[int]) -> Scores:
        """Computes (queries, passages) float32 of the queries at some places."""
        return self._index.score([self._queries[place] for place in places])


class SingleVectors:
    """Inner products of one vector a text.

    Args:
        documents: (passages, size).
        encode: A query's token vectors to its one vector, (size,).
        queries: The token vectors of the queries.
    """

    def __init__(
        self,
        documents: NDArray[np.float32],
        encode: Callable[[TokenVectors], NDArray[np.float32]],
        queries: Sequence[TokenVectors],
    ) -> None:
        self._documents = documents
        self._encode = encode
        self._queries = queries
        self.bytes_per_passage = 4.0 * documents.shape[1]

    def score(self, places: Sequence[int]) -> Scores:
        """Computes (queries, passages) float32 of the queries at some places."""
        asked = np.stack([self._encode(self._queries[place]) for place in places])
        scores: Scores = asked @ self._documents.T
        return scores


class ByCentroids:
    """Weights of centroids that passages and queries share, times their IDF, as Qdrant computes it.

    Args:
        centroids: Of the model.
        documents: The token vectors of the passages.
        queries: Those of the queries.
    """

    def __init__(
        self, centroids: Centroids, documents: Sequence[TokenVectors], queries: Sequence[TokenVectors]
    ) -> None:
        own = centroids.of_documents(documents)
        numbers = np.concatenate(own)
        passages = np.repeat(np.arange(len(own)), [len(each) for each in own])
        order = np.argsort(numbers, kind="stable")
        having = np.bincount(numbers, minlength=len(centroids))
        self._postings = np.split(passages[order], np.cumsum(having)[:-1])
        self._idf = np.log1p((len(own) - having + 0.5) / (having + 0.5))
        self._centroids = centroids
        self._count = len(own)
        self._queries = queries
        self.bytes_per_passage = 8.0 * len(numbers) / max(len(own), 1)  # a number and a weight each

    def score(self, places: Sequence[int]) -> Scores:
        """Computes (queries, passages) float32 of the queries at some places."""
        scores = np.zeros((len(places), self._count), np.float32)
        for row, place in zip(scores, places, strict=True):
            for number, weight in zip(*self._centroids.of_query(self._queries[place], _NPROBE), strict=True):
                row[self._postings[number]] += weight * self._idf[number]
        return scores


def first_stage(
    name: StageName,
    documents: Sequence[TokenVectors],
    queries: Sequence[TokenVectors],
    words: Callable[[], FirstStage],
    centroids: Callable[[], Centroids | None] = lambda: None,
) -> FirstStage:
    """Builds a first stage, with the defaults that a store has.

    Args:
        name: Which.
        documents: The token vectors of the passages.
        queries: Those of the queries.
        words: Builds the one by words.
        centroids: Finds the centroids of the model.

    Raises:
        InputError: If the model has no centroids, and they are asked for.
    """
    if name == "words":
        return words()
    if name == "centroids":
        found = centroids()
        if found is None:
            raise InputError("the model brings no centroids to find candidates by. Learn them: jacolbert centroids.")
        return ByCentroids(found, documents, queries)
    if name == "mean":
        return SingleVectors(np.stack([_mean(each) for each in documents]), _mean, queries)
    common = np.concatenate(documents).mean(axis=0)  # what all have in common, of which cells tell nothing
    muvera = Muvera(documents[0].shape[1])
    encoded = muvera.encode_document([each - common for each in documents])
    return SingleVectors(encoded, lambda query: muvera.encode_query(query - common), queries)


def best(scores: Scores, count: int) -> NDArray[np.bool_]:
    """Marks the best so many columns of each row; of equal scores at the end, those that come first.

    Args:
        scores: (queries, passages).
        count: How many.
    """
    marked = np.zeros(scores.shape, bool)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    np.put_along_axis(marked, order, True, axis=1)
    return marked


def _mean(vectors: TokenVectors) -> NDArray[np.float32]:
    mean: NDArray[np.float32] = vectors.mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)
