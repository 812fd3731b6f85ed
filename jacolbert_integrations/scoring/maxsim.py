"""Exact MaxSim over ragged documents, fast on a CPU.

Documents are sorted by length and laid out in buckets of some two thousand tokens, so that the
product of a bucket with the queries stays in the processor's cache until its maximum is taken. A
shorter document of a bucket is filled up with copies of its own last vector: a maximum does not
change when a candidate is repeated, so no mask is needed and no padding can ever win, not even
over negative similarities.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import VectorError
from ..types import Scores, TokenVectors
from .vectors import as_token_vectors

_CPU_BUCKET_TOKENS = 2048
_GPU_BUCKET_TOKENS = 1 << 18
_BLOCK_QUERY_TOKENS = 256
_LANES = 8
"""Columns of a product are made a multiple of this: matrix libraries are slower at odd numbers."""

_WAITING_MAXIMA = 1 << 22  # 16 MiB

MEMORY_BUDGET = 64 << 20
"""Bytes that :func:`maxsim` uses on a CPU beside its arguments and its result, at most, as long as
no single document or query is itself larger than a bucket."""


class PackedDocuments:
    """Documents laid out once for many queries.

    Args:
        documents: Matrices of shape (tokens, dimension), of any number of tokens.
        device: Where to keep and score them.

    Raises:
        VectorError: If a document is no such matrix, or the dimensions differ.
    """

    def __init__(self, documents: Sequence[TokenVectors], *, device: str | torch.device = "cpu") -> None:
        self._device = torch.device(device)
        checked = _check(documents, "document")
        self.n_tokens = sum(map(len, checked))
        self._size = len(checked)
        self._dimension = checked[0].shape[1] if checked else None
        self._buckets = [
            (rows, _fill(checked, rows, width, None).to(self._device))
            for rows, width in _buckets(checked, self._device)
        ]

    def __len__(self) -> int:
        return self._size

    def score(self, queries: Sequence[TokenVectors]) -> Scores:
        """Computes MaxSim of each query with each document.

        Args:
            queries: Matrices of shape (tokens, dimension).

        Returns:
            (queries, documents) float32.

        Raises:
            VectorError: If a matrix is malformed or holds NaN or infinity.
        """
        return _score(queries, self._size, self._dimension, iter(self._buckets), self._device)


def maxsim(
    queries: Sequence[TokenVectors],
    documents: Sequence[TokenVectors],
    *,
    device: str | torch.device = "cpu",
) -> Scores:
    """Computes MaxSim of each query with each document: ``sum over q of max over d of q . d``.

    Where the same documents meet many queries, :class:`PackedDocuments` spares their layout.

    Args:
        queries: Matrices of shape (tokens, dimension), of any number of tokens.
        documents: Likewise.
        device: Where to compute.

    Returns:
        (queries, documents) float32.

    Raises:
        VectorError: If a matrix is malformed, or holds NaN or infinity.
    """
    target = torch.device(device)
    checked = _check(documents, "document")
    dimension = checked[0].shape[1] if checked else None

    def laid_out() -> Iterator[tuple[NDArray[np.intp], torch.Tensor]]:
        buffer: TokenVectors | None = None
        for rows, width in _buckets(checked, target):
            needed = len(rows) * width
            if buffer is None or len(buffer) < needed:
                buffer = np.empty((max(needed, _bucket_tokens(target)), checked[0].shape[1]), np.float32)
            yield rows, _fill(checked, rows, width, buffer).to(target)

    return _score(queries, len(checked), dimension, laid_out(), target)


def _score(
    queries: Sequence[TokenVectors],
    n_documents: int,
    dimension: int | None,
    buckets: Iterator[tuple[NDArray[np.intp], torch.Tensor]],
    device: torch.device,
) -> Scores:
    checked = _check(queries, "query", dimension)
    scores = np.zeros((len(checked), n_documents), np.float32)
    if not checked or not n_documents:
        return scores
    blocks = [_QueryBlock(checked[first:last], first, last, device) for first, last in _query_blocks(checked)]
    order = []
    done = waiting = 0
    at_once = _WAITING_MAXIMA // sum(map(len, checked))
    maxima: list[list[torch.Tensor]] = [[] for _ in blocks]  # of buckets not summed yet: (documents, query tokens)
    with torch.inference_mode():
        for rows, bucket in buckets:
            count, width, depth = bucket.shape
            tokens = bucket.view(count * width, depth)
            for block, found in zip(blocks, maxima, strict=True):
                found.append((tokens @ block.tokens).view(count, width, -1).amax(1))
            order.append(rows)
            waiting += count
            if waiting >= at_once or done + waiting == n_documents:
                for block, found in zip(blocks, maxima, strict=True):
                    scores[block.first : block.last, done : done + waiting] = block.sums(found)
                    found.clear()
                done, waiting = done + waiting, 0
    scores[:, np.concatenate(order)] = scores.copy()  # from the order of the buckets to the documents' own
    if not np.isfinite(scores).all():
        query, document = np.argwhere(~np.isfinite(scores))[0]
        raise VectorError(f"query {query} or document {document} holds NaN or infinity: their score is not finite.")
    return scores


def _check(matrices: Sequence[TokenVectors], what: str, dimension: int | None = None) -> list[TokenVectors]:
    checked: list[TokenVectors] = []
    for index, matrix in enumerate(matrices):
        array = as_token_vectors(matrix, f"{what} {index}", dimension)
        dimension = array.shape[1]
        checked.append(array)
    return checked


def _bucket_tokens(device: torch.device) -> int:
    return _CPU_BUCKET_TOKENS if device.type == "cpu" else _GPU_BUCKET_TOKENS


def _buckets(documents: list[TokenVectors], device: torch.device) -> Iterator[tuple[NDArray[np.intp], int]]:
    """Yields rows of similar length, and the width that holds the longest of them."""
    lengths = np.array([len(document) for document in documents], np.intp)
    order = np.argsort(lengths, kind="stable")
    budget = _bucket_tokens(device)
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end - start + 1) * lengths[order[end]] > budget:
            yield order[start:end], int(lengths[order[end - 1]])
            start = end


def _fill(
    documents: list[TokenVectors], rows: NDArray[np.intp], width: int, buffer: TokenVectors | None
) -> torch.Tensor:
    dimension = documents[0].shape[1]
    if buffer is None:
        bucket = np.empty((len(rows), width, dimension), np.float32)
    else:
        bucket = buffer[: len(rows) * width].reshape(len(rows), width, dimension)
    for place, row in enumerate(rows):
        document = documents[row]
        bucket[place, : len(document)] = document
        bucket[place, len(document) :] = document[-1]
    return torch.from_numpy(bucket)


class _QueryBlock:
    """Some queries as one matrix, and which of its columns belong to which of them."""

    def __init__(self, queries: list[TokenVectors], first: int, last: int, device: torch.device) -> None:
        self.first, self.last = first, last
        owners = np.repeat(np.arange(len(queries)), [len(query) for query in queries])
        filled = -(-len(owners) // _LANES) * _LANES  # with vectors of zeros, which belong to no query
        tokens = np.zeros((filled, queries[0].shape[1]), np.float32)
        tokens[: len(owners)] = np.concatenate(queries)
        self.tokens = torch.from_numpy(tokens).to(device).T.contiguous()
        ownership = np.zeros((filled, len(queries)))
        ownership[np.arange(len(owners)), owners] = 1
        self._ownership = torch.from_numpy(ownership)  # (query tokens, queries)

    def sums(self, maxima: list[torch.Tensor]) -> NDArray[np.float64]:
        """Computes the (queries, documents) sums in float64: a query of many tokens sums many rounded values."""
        summed: NDArray[np.float64] = (torch.cat(maxima).cpu().double() @ self._ownership).T.numpy()
        return summed


def _query_blocks(queries: list[TokenVectors]) -> Iterator[tuple[int, int]]:
    first = tokens = 0
    for index, query in enumerate(queries):
        if tokens and tokens + len(query) > _BLOCK_QUERY_TOKENS:
            yield first, index
            first, tokens = index, 0
        tokens += len(query)
    yield first, len(queries)
