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
        self._own = centroids.of_documents(documents)
        self._centroids = centroids
        self._queries = queries
        self.bytes_per_passage = 8.0 * sum(map(len, self._own)) / max(len(self._own), 1)  # a number and a weight each

    def score(self, places: Sequence[int]) -> Scores:
        """Computes (queries, passages) float32 of the queries at some places."""
        return centroid_scores(self._own, [self._centroids.of_query(self._queries[place]) for place in places])


def centroid_scores(
    documents: Sequence[NDArray[np.int64]], queries: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]]
) -> Scores:
    """Sums up the weights of the centroids that a document shares with a query, times their IDF, as Qdrant computes it.

    Args:
        documents: The numbers of each one's centroids, once each (:meth:`.Centroids.of_documents`).
        queries: The numbers of each one's centroids, and their weights (:meth:`.Centroids.of_query`).

    Returns:
        (queries, documents) float32.
    """
    numbers = np.concatenate([*documents, np.empty(0, np.int64)])
    rows = np.repeat(np.arange(len(documents)), [len(each) for each in documents])
    order = np.argsort(numbers, kind="stable")
    numbers, rows = numbers[order], rows[order]
    scores = np.zeros((len(queries), len(documents)), np.float32)
    for own, (asked, weights) in zip(scores, queries, strict=True):
        begins, ends = np.searchsorted(numbers, asked), np.searchsorted(numbers, asked, side="right")
        for begin, end, weight in zip(begins, ends, weights, strict=True):
            having = end - begin
            own[rows[begin:end]] += weight * np.log1p((len(documents) - having + 0.5) / (having + 0.5))
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
    if name == "lexical":
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
