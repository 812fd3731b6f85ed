"""A folder of texts and their token vectors, from which every engine reads the same. It needs NumPy alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ABOUT = "about.json"


@dataclass(frozen=True, slots=True)
class About:
    """What a folder is of.

    Attributes:
        model: The checkpoint that made the vectors.
        dimension: Of a token vector.
        passages: How many there are, without those that are added.
        questions: How many were wanted of each set.
        sets: Names of the sets of questions; the first one's questions are timed.
        deleted: Places of the passages to delete: as many as are added.
        tokens: Token vectors of a passage, on average.
        exact: The ten best passages by exact MaxSim: of each set, of each question.
    """

    model: str
    dimension: int
    passages: int
    questions: int
    sets: list[str]
    deleted: list[int]
    tokens: float
    exact: list[list[list[int]]]

    def write(self, folder: Path) -> None:
        """Writes it into the folder."""
        (folder / ABOUT).write_text(json.dumps(asdict(self), ensure_ascii=False), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> About:
        """Reads it from the folder."""
        return cls(**json.loads((folder / ABOUT).read_text(encoding="utf-8")))


class Encoded(NamedTuple):
    """Texts and the token vectors of each: (tokens, dimension) float32."""

    texts: list[str]
    vectors: list[NDArray[np.float32]]


def write_encoded(folder: Path, name: str, texts: Sequence[str], vectors: Sequence[NDArray[np.float32]]) -> None:
    """Writes texts and their vectors under a name; the vectors as float16, all after one another.

    Args:
        folder: Where to.
        name: Of the files.
        texts: The texts.
        vectors: (tokens, dimension) of each text.
    """
    np.save(folder / f"{name}.npy", np.concatenate(vectors).astype(np.float16))
    np.save(folder / f"{name}.lengths.npy", np.array([len(own) for own in vectors], np.int64))
    (folder / f"{name}.json").write_text(json.dumps(list(texts), ensure_ascii=False), encoding="utf-8")


def read_encoded(folder: Path, name: str) -> Encoded:
    """Reads what was written under a name; vectors as float32, with the values that float16 has left them."""
    together = np.load(folder / f"{name}.npy").astype(np.float32)
    lengths = np.load(folder / f"{name}.lengths.npy")
    texts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return Encoded(texts, np.split(together, np.cumsum(lengths)[:-1]))


def questions_name(place: int) -> str:
    """The name under which a set of questions is written, by its place among them."""
    return f"questions-{place}"
