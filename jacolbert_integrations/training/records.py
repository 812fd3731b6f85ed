"""What a retriever learns from: a query, its passages, and what a teacher thinks of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..errors import InputError


@dataclass(frozen=True, slots=True)
class Example:
    """A query and n passages: a pair (n = 1), a triplet (n = 2) or an n-way tuple.

    Attributes:
        query: The query.
        passages: The passages. The first is the positive one, and the others are negatives.
        scores: A teacher's score for each passage; None if none has been asked.
        query_id: The query's id, where it has one.
        passage_ids: Each passage's id, where they have them.
        group: The document that the positive is from. Passages of one group are about the same things.

    Raises:
        InputError: If a text is empty, there is no passage, a score is no finite number, or there is not
            one score, or one id, for each passage.
    """

    query: str
    passages: tuple[str, ...]
    scores: tuple[float, ...] | None = None
    query_id: str | None = None
    passage_ids: tuple[str, ...] | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        if not self.query.strip():
            raise InputError("the query is empty. Give it a text, or leave the row out.")
        if not self.passages:
            raise InputError("there is no passage. An example needs at least one, the positive.")
        for index, passage in enumerate(self.passages):
            if not passage.strip():
                raise InputError(f"passage {index} is empty. Give it a text, or leave the row out.")
        for name, values in (("scores", self.scores), ("passage ids", self.passage_ids)):
            if values is not None and len(values) != len(self.passages):
                raise InputError(
                    f"got {len(values)} {name} for {len(self.passages)} passages. Give one for each passage."
                )
        for index, score in enumerate(self.scores or ()):
            if not math.isfinite(score):
                raise InputError(f"the score of passage {index} is {score}. Scores must be finite numbers.")

    @property
    def ways(self) -> int:
        """How many passages there are."""
        return len(self.passages)

    def take(self, indices: Sequence[int]) -> Example:
        """Returns the example with only some of its passages, in the order of ``indices``."""
        return replace(
            self,
            passages=tuple(self.passages[i] for i in indices),
            scores=None if self.scores is None else tuple(self.scores[i] for i in indices),
            passage_ids=None if self.passage_ids is None else tuple(self.passage_ids[i] for i in indices),
        )

    def triplets(self) -> Iterator[Example]:
        """Yields the positive with each negative, one triplet at a time."""
        return (self.take((0, negative)) for negative in range(1, self.ways))
