"""Checks on token vectors, shared by scoring and stores."""

from __future__ import annotations

import numpy as np

from ..errors import InputError, VectorError
from ..types import TokenVectors


def as_token_vectors(value: object, what: str = "the vectors", dimension: int | None = None) -> TokenVectors:
    """Returns ``value`` as a (tokens, dimension) float32 array, without copying where it is one already.

    Args:
        value: An array or nested sequence.
        what: How to call it in an error.
        dimension: The dimension that it must have, if one is given.

    Raises:
        VectorError: If it is ragged, not two-dimensional, empty, not numeric or of another dimension.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"the type {array.dtype}")
        array = array.astype(np.float32, copy=False)
    except (ValueError, TypeError) as error:
        raise VectorError(f"{what}: expected a matrix of numbers, one row per token, but got {error}.") from None
    if array.ndim != 2 or 0 in array.shape:
        raise VectorError(f"{what}: expected the shape (tokens, dimension), none of them 0, but got {array.shape}.")
    if dimension is not None and array.shape[1] != dimension:
        raise VectorError(
            f"{what}: expected vectors of {dimension} dimensions, but got {array.shape[1]}. "
            "Documents and queries must come from the same model."
        )
    return array


def check_values(array: TokenVectors, what: str) -> None:
    """Refuses what no encoder makes: NaN, infinity and all-zero rows.

    Raises:
        VectorError: With the first bad row.
    """
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise VectorError(f"{what}: row {int(np.argmin(finite))} holds NaN or infinity.")
    nonzero = array.any(axis=1)
    if not nonzero.all():
        raise VectorError(f"{what}: row {int(np.argmin(nonzero))} is all zero, so it can match nothing.")


def check_top_k(top_k: int) -> None:
    """Refuses a number of results that is no positive integer.

    Raises:
        InputError: If it is not.
    """
    if not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1:
        raise InputError(f"top_k is {top_k!r}, but it must be an integer of at least 1.")
