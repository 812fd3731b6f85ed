"""Fewer vectors of a query, for a first MaxSim over many candidates: [MASK] tokens and their like say much the same."""

from __future__ import annotations

import numpy as np

from ..types import TokenVectors


def pool_query(vectors: TokenVectors, count: int) -> TokenVectors:
    """Puts the sum of similar vectors in their place, by Ward's clustering.

    MaxSim with the sums is never more than with the vectors themselves: all vectors of a sum have to take the same
    token of a document. It needs only as many products as there are sums, and nothing of the documents changes.

    Args:
        vectors: (tokens, dimension), of a query.
        count: How many to leave; at least 1.

    Returns:
        (count, dimension) float32, not normalised; ``vectors`` themselves if they are no more than that.
    """
    if len(vectors) <= count:
        return vectors
    sums, sizes = vectors.astype(np.float32), np.ones(len(vectors))
    there = np.ones(len(vectors), bool)
    squares = np.einsum("ij,ij->i", sums, sums)
    distances = (squares[:, None] + squares - 2 * sums @ sums.T).astype(np.float64)
    np.fill_diagonal(distances, np.inf)
    for _ in range(len(vectors) - count):
        one, other = divmod(int(distances.argmin()), len(vectors))
        # Lance and Williams: what the others are from both together follows from what they are from each
        joined = (sizes + sizes[one]) * distances[one] + (sizes + sizes[other]) * distances[other]
        joined = (joined - sizes * distances[one, other]) / (sizes + sizes[one] + sizes[other])
        there[other] = False
        joined[~there] = joined[one] = np.inf
        distances[one], distances[:, one] = joined, joined
        distances[other], distances[:, other] = np.inf, np.inf
        sums[one] += sums[other]
        sizes[one] += sizes[other]
    return sums[there]
