"""Rankings of passages: a run, as TREC calls what a system answers to all queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ..errors import InputError
from ..types import Scores

Ranking: TypeAlias = tuple[tuple[str, float], ...]
"""Passages and their scores, best first."""

DEPTH = 1_000
"""How many passages of a ranking are kept, as in TREC's runs."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a system answers to queries.

    Equal scores rank in the order of the passages' ids, in a file as in memory, so that every measure sees the same
    ranking. (trec_eval breaks ties the other way round, and others by chance.)

    Attributes:
        name: What tables call the system.
        rankings: Ids of queries to what was found for them, best first.

    Raises:
        InputError: If there are no rankings.
    """

    name: str
    rankings: Mapping[str, Ranking]

    def __post_init__(self) -> None:
        if not any(self.rankings.values()):
            raise InputError(f"the run {self.name!r} is empty: nothing was found for {len(self.rankings):,} queries.")

    @classmethod
    def of_scores(
        cls, name: str, scores: Scores, queries: Sequence[str], passages: Sequence[str], *, depth: int = DEPTH
    ) -> Run:
        """Builds a run of scores of each query with each passage.

        Args:
            name: What tables call the system.
            scores: (queries, passages). What is -inf was not found.
            queries: The ids of the rows.
            passages: The ids of the columns.
            depth: How many passages a query keeps.

        Raises:
            InputError: If the shape is another.
        """
        if scores.shape != (len(queries), len(passages)):
            raise InputError(
                f"scores of the shape {scores.shape} are not those of {len(queries)} queries and {len(passages)} "
                "passages."
            )
        by_id = np.argsort(np.array(passages))  # of equal scores, the smaller id comes first
        rankings = {}
        for query, row in zip(queries, scores, strict=True):
            best = by_id[np.argsort(-row[by_id], kind="stable")[:depth]]
            rankings[query] = tuple((passages[place], float(row[place])) for place in best if row[place] > -np.inf)
        return cls(name, rankings)

    def rank_of(self, query: str, passage: str) -> int:
        """Returns the rank of a passage, from 1; 0 if it was not found."""
        return next((rank for rank, (each, _) in enumerate(self.rankings.get(query, ()), 1) if each == passage), 0)


def ranked(scores: Iterable[tuple[str, float]]) -> Ranking:
    """Sorts passages by their scores, best first; those of equal scores by their ids."""
    return tuple(sorted(scores, key=lambda each: (-each[1], each[0])))
