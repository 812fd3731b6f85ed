"""What is done with every index: built, asked, added to and deleted from. It needs NumPy alone."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .vectors import About, Encoded, questions_name, read_encoded

TOP_K = 10
WARM_UP = 5
PROBES = 20
PROBE_TOKENS = 32
"""A passage that was added or deleted is asked for by its own first vectors: exact MaxSim has it first."""


class Index(Protocol):
    """An index in a folder. It knows passages by their numbers, whatever the engine calls them."""

    @property
    def searches(self) -> Sequence[str]:
        """Names of the ways in which it is asked."""

    def add(self, numbers: Sequence[int], passages: Encoded) -> None:
        """Adds passages, which are then kept and can be found; the first call builds the index."""

    def delete(self, numbers: Sequence[int]) -> None:
        """Deletes passages."""

    def search(self, search: str, vectors: NDArray[np.float32], text: str) -> list[int]:
        """The numbers of the ten best passages, best first."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one way of asking an index gave.

    Attributes:
        search: Its name.
        milliseconds: Of each question of the first set.
        found: Numbers of the best passages: of each set, of each question.
    """

    search: str
    milliseconds: list[float]
    found: list[list[list[int]]]


@dataclass(frozen=True, slots=True)
class Measured:
    """An index that was measured.

    Attributes:
        index: Its name, with the engine's version.
        built: Seconds from vectors in memory until it could be asked.
        size: Bytes on the disk.
        log: Of these, bytes of a write-ahead log, which is emptied now and then.
        added: Seconds until the first of the added passages could be asked for.
        deleted: Seconds until it could be asked again.
        lost: Of :data:`PROBES` added passages, those that are not found by their own vectors.
        left: Of as many deleted passages, those that are still found.
        asked: What was found, before anything was added or deleted.
    """

    index: str
    built: float
    size: int
    added: float
    deleted: float
    lost: int
    left: int
    asked: list[Asked]
    log: int = 0

    @classmethod
    def parse(cls, line: str) -> Measured:
        """Reads it from the line that :func:`run` prints."""
        values = json.loads(line)
        return cls(**{**values, "asked": [Asked(**asked) for asked in values["asked"]]})


def size_of(folder: Path) -> int:
    """Bytes that the files of a folder take of the disk."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


def log_of(folder: Path) -> int:
    """Bytes of a write-ahead log: Qdrant has one, the other engines none."""
    return sum(map(size_of, folder.rglob("wal")))


def measure(name: str, make: Callable[[Path], Index], source: Path, folder: Path) -> Measured:
    """Measures an index.

    Args:
        name: With the engine's version.
        make: Makes an empty index in a folder.
        source: The folder of vectors.
        folder: An empty one, for the index.
    """
    about, passages, more = About.read(source), read_encoded(source, "passages"), read_encoded(source, "more")
    count = len(passages.texts)
    index, begun = make(folder), perf_counter()
    index.add(range(count), passages)
    first = questions_name(0)
    questions = read_encoded(source, first)
    index.search(index.searches[0], questions.vectors[0], questions.texts[0])
    built, size, log = perf_counter() - begun, size_of(folder), log_of(folder)
    sets = [read_encoded(source, questions_name(place)) for place in range(len(about.sets))]
    asked = [ask(index, search, sets) for search in index.searches]

    def finds(number: int) -> bool:
        at, there = (number, passages) if number < count else (number - count, more)
        return number in index.search(index.searches[-1], there.vectors[at][:PROBE_TOKENS], there.texts[at])

    begun = perf_counter()
    index.add(range(count, count + len(more.texts)), more)
    finds(count)
    added = perf_counter() - begun
    lost = sum(not finds(number) for number in range(count, count + len(more.texts))[:PROBES])
    begun = perf_counter()
    index.delete(about.deleted)
    finds(count)
    deleted = perf_counter() - begun
    left = sum(map(finds, about.deleted[:PROBES]))
    return Measured(name, built, size, added, deleted, lost, left, asked, log)


def ask(index: Index, search: str, sets: Sequence[Encoded]) -> Asked:
    """Asks all questions in one of the ways, one at a time."""
    milliseconds: list[float] = []
    found: list[list[list[int]]] = []
    for vectors, text in zip(sets[0].vectors[:WARM_UP], sets[0].texts, strict=False):
        index.search(search, vectors, text)
    for questions in sets:
        answers = []
        for vectors, text in zip(questions.vectors, questions.texts, strict=True):
            begun = perf_counter()
            answers.append(index.search(search, vectors, text))
            if questions is sets[0]:
                milliseconds.append(1000 * (perf_counter() - begun))
        found.append(answers)
    return Asked(search, milliseconds, found)


def run(indexes: Mapping[str, Callable[[Path, About], Index]], version: str) -> None:
    """Measures the index that the command line names, from the folder that it names, and prints what was measured.

    Args:
        indexes: Makes an empty index in a folder, by name.
        version: The engine's name and version.
    """
    name, source = sys.argv[1], Path(sys.argv[2])
    about = About.read(source)
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        row = measure(f"{version}, {name}", lambda path: indexes[name](path, about), source, Path(folder))
    print("\n" + json.dumps(asdict(row)), flush=True)
