"""Collections of this project in Qdrant Edge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from jacolbert_integrations import EdgeStore, JaColBERT, Point, Query
from jacolbert_integrations.qdrant import FirstStage, Lexical, NearestCentroids, SearchOptions

from .measuring import TOP_K, Index, run
from .vectors import About, Encoded

CANDIDATES = (100, 200, 500, 1000)
EXACT = "exact scan"


class Collection:
    """A collection; one that has no first stage is scanned.

    Args:
        datatype: Of the token vectors.
        words: Whether words find candidates.
        centroids: Whether centroids do.
        folder: Where to.
        about: The vectors.
    """

    def __init__(self, datatype: models.Datatype, words: bool, centroids: bool, folder: Path, about: About) -> None:
        model = JaColBERT.from_pretrained(about.model)
        stages: list[FirstStage] = [Lexical()] if words else []
        if centroids:
            stages.append(NearestCentroids(model.centroids))
        self._options = {
            f"{count:,} candidates": SearchOptions(candidates=count, exact_limit=0) for count in CANDIDATES
        }
        if not stages:
            self._options = {EXACT: SearchOptions(exact=True)}
        self._store = EdgeStore(folder, first_stage=stages or None, vector_options={"datatype": datatype})
        self._store.bind(model.identity)

    @property
    def searches(self) -> Sequence[str]:
        """Names of the ways in which it is asked."""
        return list(self._options)

    def add(self, numbers: Sequence[int], passages: Encoded) -> None:
        """Adds passages; the first ones build the index."""
        points = zip(numbers, passages.vectors, passages.texts, strict=True)
        self._store.upsert(Point(str(number), vectors, {}, text) for number, vectors, text in points)

    def delete(self, numbers: Sequence[int]) -> None:
        """Deletes passages."""
        self._store.delete(list(map(str, numbers)))

    def search(self, search: str, vectors: NDArray[np.float32], text: str) -> list[int]:
        """The numbers of the ten best passages, best first."""
        hits = self._store.search(Query(vectors, text), top_k=TOP_K, options=self._options[search])
        return [int(hit.id) for hit in hits]


def indexes() -> dict[str, Callable[[Path, About], Index]]:
    """The collections, by name."""
    types, both = models.Datatype, "words and centroids"
    found: dict[str, Callable[[Path, About], Index]] = {"float16": partial(Collection, types.FLOAT16, False, False)}
    for datatype in (types.FLOAT16, types.TURBO8, types.TURBO4):
        found[f"{datatype.value}, centroids"] = partial(Collection, datatype, False, True)
        found[f"{datatype.value}, {both}"] = partial(Collection, datatype, True, True)
    return found


if __name__ == "__main__":
    run(indexes(), f"Qdrant Edge {version('qdrant-edge-py')}")
