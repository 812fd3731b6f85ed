"""Points, vectors and a query of a made-up model, for tests of stores."""

from __future__ import annotations

import numpy as np
from qdrant_client import models

from jacolbert_integrations import Point, Query
from jacolbert_integrations.types import ModelIdentity, TokenVectors

DIMENSION = 8


IDENTITY = ModelIdentity("made-up", "f" * 64, DIMENSION, 300, query_length="released")


FLOAT32 = {"datatype": models.Datatype.FLOAT32}


def vectors(seed: int, tokens: int = 5) -> TokenVectors:
    matrix: TokenVectors = np.random.default_rng(seed).standard_normal((tokens, DIMENSION)).astype(np.float32)
    normalised: TokenVectors = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return normalised


def points(count: int) -> list[Point]:
    return [
        Point(f"文書 {i}", vectors(i, 1 + i % 7), {"n": i, "parity": "odd" if i % 2 else "even"}) for i in range(count)
    ]


QUERY = Query(vectors(999, 4), "問い")


IDS = ["a", "日本語", "a b/c?d#e", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6BA7B810-9DAD-11D1-80B4-00C04FD430C8",
       "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}", "6ba7b8109dad11d180b400c04fd430c8", "0", "x" * 500, "😀"]  # fmt: skip
