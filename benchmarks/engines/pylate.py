"""Indexes of PyLate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pylate import indexes, retrieve  # type: ignore[import-not-found]
from pylate.indexes.fast_plaid import FastPlaid  # type: ignore[import-not-found]

from .measuring import TOP_K, Index, run
from .vectors import About, Encoded

SEARCHES: dict[str, dict[str, int]] = {
    "default: probe 8, 8,192 scored": {"n_ivf_probe": 8, "n_full_scores": 8192},
    "probe 8, 1,024 scored": {"n_ivf_probe": 8, "n_full_scores": 1024},
    "probe 32, 8,192 scored": {"n_ivf_probe": 32, "n_full_scores": 8192},
}


class PyLate:
    """An index with a retriever.

    Args:
        index: PyLate's.
        searches: The options of each way of asking it, by name; PyLate has them as attributes of the index.
    """

    def __init__(self, index: Any, searches: Mapping[str, Mapping[str, int]]) -> None:
        self._index = index
        self._retriever = retrieve.ColBERT(index=index)
        self._searches = searches

    @property
    def searches(self) -> Sequence[str]:
        """Names of the ways in which it is asked."""
        return list(self._searches)

    def add(self, numbers: Sequence[int], passages: Encoded) -> None:
        """Adds passages; the first ones build the index."""
        self._index.add_documents(documents_ids=list(map(str, numbers)), documents_embeddings=passages.vectors)

    def delete(self, numbers: Sequence[int]) -> None:
        """Deletes passages."""
        self._index.remove_documents(list(map(str, numbers)))

    def search(self, search: str, vectors: NDArray[np.float32], text: str) -> list[int]:  # noqa: ARG002
        """The numbers of the ten best passages, best first."""
        for option, value in self._searches[search].items():
            setattr(self._index, option, value)
        (hits,) = self._retriever.retrieve([vectors], k=TOP_K, device="cpu")
        return [int(hit["id"]) for hit in hits]


def plaid(folder: Path, about: About) -> PyLate:  # noqa: ARG001
    """What ``PLAID`` is by default: an index of fast-plaid, of the version that PyLate allows, of 4 bits."""
    return PyLate(FastPlaid(index_folder=str(folder), show_progress=False, device="cpu"), SEARCHES)


def stanford(folder: Path, about: About) -> PyLate:
    """Stanford's PLAID, which PyLate calls deprecated; of 4 bits, too."""
    index = indexes.PLAID(index_folder=str(folder), use_fast=False, show_progress=False, embedding_size=about.dimension)
    return PyLate(index, {"default: probe 8, 8,192 scored": {}})


def voyager(folder: Path, about: About) -> PyLate:
    """A graph of all token vectors, which are float32; documents that it finds are scored exactly."""
    index = indexes.Voyager(index_folder=str(folder), embedding_size=about.dimension)
    return PyLate(index, {"default: 100 neighbours a token": {}})


INDEXES: dict[str, Callable[[Path, About], Index]] = {"PLAID": plaid, "Stanford's PLAID": stanford, "Voyager": voyager}

if __name__ == "__main__":
    run(INDEXES, f"PyLate {version('pylate')}")
