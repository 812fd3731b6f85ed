"""Which examples share a batch, and their texts as the columns that the losses take."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sentence_transformers.base.sampler import DefaultBatchSampler

from ..errors import InputError, MissingExtraError, TrainingDataError
from .records import Example

if TYPE_CHECKING:
    from datasets import Dataset


class ShuffledBatchSampler(DefaultBatchSampler):
    """Batches in an order that seed and epoch alone decide.

    sentence-transformers' own goes on with one generator from epoch to epoch, so that a run resumed
    in a later epoch would see its data in another order.

    Args:
        rows: How many examples there are.
        batch_size: Examples of a batch; those of the last that cannot fill one are left out.
        seed: Decides the order, together with the epoch.
    """

    def __init__(self, rows: int, batch_size: int, seed: int = 0) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.drop_last = True
        if rows < batch_size:
            raise InputError(f"a batch of {batch_size} needs as many examples, but there are only {rows}.")

    def __len__(self) -> int:
        return self.rows // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.rows)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield order[start : start + self.batch_size].tolist()


class GroupedBatchSampler(DefaultBatchSampler):
    """Batches of examples from as few documents as possible, no positive passage twice.

    The other passages of a document are about the same things, so that telling them apart takes
    more than the topic: they are hard negatives that cost nothing to find.

    Args:
        examples: The rows of the dataset, in its order.
        batch_size: Examples of a batch; batches that cannot be filled are left out.
        seed: Decides the order, together with the epoch.
        group_size: Most examples of one document in a batch; None takes as many as there are.
    """

    def __init__(
        self, examples: Sequence[Example], batch_size: int, seed: int = 0, *, group_size: int | None = None
    ) -> None:
        self.batch_size = batch_size
        self.group_size = batch_size if group_size is None else group_size
        self.seed = seed
        self.epoch = 0
        self.drop_last = True
        self._keys = [_positive(example) for example in examples]
        passages = len(set(self._keys))
        if passages < batch_size:
            raise InputError(f"a batch of {batch_size} needs as many passages, but there are only {passages}.")
        self._count: tuple[int, int] | None = None

    def __len__(self) -> int:
        if self._count is None or self._count[0] != self.epoch:
            self._count = (self.epoch, sum(1 for _ in self))
        return self._count[1]

    def __iter__(self) -> Iterator[list[int]]:
        rng = random.Random(f"{self.seed}-{self.epoch}")
        groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for row, (group, passage) in enumerate(self._keys):
            groups[group][passage].append(row)
        for by_passage in groups.values():
            for rows in by_passage.values():
                rng.shuffle(rows)
        open_groups = sorted(groups)
        while open_groups:
            rng.shuffle(open_groups)
            batch: list[int] = []
            for group in open_groups:
                passages = [rows for rows in groups[group].values() if rows]
                rng.shuffle(passages)
                for rows in passages[: self.group_size]:
                    if len(batch) < self.batch_size:
                        batch.append(rows.pop())
                if len(batch) == self.batch_size:
                    yield batch
                    batch = []
            # What a document still has goes into a later round, so that none is in a batch twice.
            open_groups = [group for group in open_groups if any(groups[group].values())]


def _positive(example: Example) -> tuple[str, str]:
    passage = example.passages[0] if example.passage_ids is None else example.passage_ids[0]
    return (passage if example.group is None else example.group, passage)


def split_ways(examples: Sequence[Example], ways: int) -> list[tuple[int, tuple[int, ...]]]:
    """Splits examples into tuples of ``ways`` passages: each positive with its negatives, no negative twice.

    An example of 36 passages gives 35 triplets, and one of 64 gives two 32-way tuples.

    Args:
        examples: The examples.
        ways: Passages of a tuple.

    Returns:
        For each tuple the example's position, and the positions of its passages.

    Raises:
        TrainingDataError: If an example has fewer passages than ``ways``.
    """
    if short := [(i, e.ways) for i, e in enumerate(examples) if e.ways < ways]:
        problems = [(i + 1, f"{n} passages, but the recipe takes {ways}") for i, n in short]
        raise TrainingDataError(
            f"{len(short):,} of {len(examples):,} examples have fewer passages than the recipe's {ways} ways; "
            f"the first is example {short[0][0] + 1}, with {short[0][1]}. Mine more negatives, leave them out, or "
            "lower ways.",
            problems,
        )
    if ways == 1:
        return [(i, (0,)) for i in range(len(examples))]
    step = ways - 1
    return [
        (i, (0, *range(start, start + step)))
        for i, example in enumerate(examples)
        for start in range(1, example.ways - step + 1, step)
    ]


def example_dataset(examples: Sequence[Example], ways: int, *, scores: bool) -> Dataset:
    """Builds a dataset for sentence-transformers' trainer from examples.

    Its rows are ``query``, ``document_1`` to ``document_<ways>`` and, if asked for, ``scores``. The
    texts are looked up as they are needed, so that a passage in many tuples is stored once.

    Raises:
        TrainingDataError: If an example has too few passages, or none of the scores asked for.
        MissingExtraError: If the training extra is not installed.
    """
    try:
        from datasets import Dataset
    except ImportError as error:
        raise MissingExtraError("datasets", "training") from error
    if scores and (unscored := [i for i, e in enumerate(examples) if e.scores is None]):
        raise TrainingDataError(
            f"{len(unscored):,} of {len(examples):,} examples have no scores, which the recipe's losses need; the "
            f"first is example {unscored[0] + 1}. Let a teacher score them first.",
            [(i + 1, "no scores") for i in unscored],
        )
    tuples = split_ways(examples, ways)

    def texts(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        taken = [(examples[tuples[row][0]], tuples[row][1]) for row in rows["row"]]
        columns: dict[str, list[Any]] = {"query": [example.query for example, _ in taken]}
        for way in range(ways):
            columns[f"document_{way + 1}"] = [example.passages[places[way]] for example, places in taken]
        if scores:
            columns["scores"] = [[e.scores[i] for i in places] for e, places in taken if e.scores is not None]
        return columns

    return Dataset.from_dict({"row": range(len(tuples))}).with_transform(texts)
