"""What first stages give to Qdrant."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from ...types import TokenVectors

Value: TypeAlias = models.SparseVector | models.Document | list[float]


def mean_vector(vectors: TokenVectors) -> NDArray[np.float32]:
    """Returns the mean of token vectors, (dimension,) float32."""
    mean: NDArray[np.float32] = np.asarray(vectors, np.float32).mean(axis=0)
    return mean
