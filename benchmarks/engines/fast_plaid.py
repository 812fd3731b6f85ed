"""Indexes of fast-plaid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from fast_plaid import search as engine  # type: ignore[import-not-found]
from numpy.typing import NDArray

from .measuring import TOP_K, Index, run
from .vectors import About, Encoded

SEARCHES = {
    "default: probe 8, 4,096 scored": {},
    "probe 8, 256 scored": {"n_full_scores": 256},
    "probe 8, 1,024 scored": {"n_full_scores": 1024},
    "probe 32, 8,192 scored": {"n_ivf_probe": 32, "n_full_scores": 8192},
}


class FastPlaid:
    """An index of residuals of some bits. A deletion moves all later passages up: who uses it keeps count.

    Args:
        bits: Of a number of a residual.
        folder: Where to.
        about: The vectors.
    """

    def __init__(self, bits: int, folder: Path, about: About) -> None:  # noqa: ARG002
        self._bits = bits
        self._index = engine.FastPlaid(str(folder), device="cpu")
        self._numbers: list[int] = []

    @property
    def searches(self) -> Sequence[str]:
        """Names of the ways in which it is asked."""
        return list(SEARCHES)

    def add(self, numbers: Sequence[int], passages: Encoded) -> None:
        """Adds passages; the first ones build the index."""
        tensors = [torch.from_numpy(vectors) for vectors in passages.vectors]
        if self._numbers:
            self._index.update(tensors)
        else:
            self._index.create(tensors, nbits=self._bits)
        self._numbers += numbers

    def delete(self, numbers: Sequence[int]) -> None:
        """Deletes passages."""
        gone = set(numbers)
        self._index.delete([place for place, number in enumerate(self._numbers) if number in gone])
        self._numbers = [number for number in self._numbers if number not in gone]

    def search(self, search: str, vectors: NDArray[np.float32], text: str) -> list[int]:  # noqa: ARG002
        """The numbers of the ten best passages, best first."""
        (hits,) = self._index.search([torch.from_numpy(vectors)], top_k=TOP_K, show_progress=False, **SEARCHES[search])
        return [self._numbers[place] for place, _ in hits]


INDEXES: dict[str, Callable[[Path, About], Index]] = {f"{bits} bits": partial(FastPlaid, bits) for bits in (4, 2)}

if __name__ == "__main__":
    run(INDEXES, f"fast-plaid {version('fast-plaid')}")
