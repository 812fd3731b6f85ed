"""Pieces of a document that a query matched: the part of late interaction that people can see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Match:
    """A piece of a document that is the best match of a query's token.

    Attributes:
        start: Where it begins in the document's text.
        end: Where it ends.
        similarity: The product of the two vectors, at most 1.
    """

    start: int
    end: int
    similarity: float


def highlight(
    text: str, matches: list[Match], *, at_least: float = 0.5, opening: str = "【", closing: str = "】"
) -> str:
    """Marks the matched pieces of the text.

    Args:
        text: The document that the matches are of.
        matches: From :func:`~.explanation.find_matches`.
        at_least: Weaker matches stay unmarked.
        opening: Put before a matched piece; neighbours are marked as one.
        closing: Put after it.
    """
    marked = np.zeros(len(text) + 1, bool)
    for match in matches:
        if match.similarity >= at_least:
            marked[match.start : match.end] = True
    pieces: list[str] = []
    inside = False
    for index, character in enumerate(text):
        if marked[index] != inside:
            pieces.append(closing if inside else opening)
            inside = not inside
        pieces.append(character)
    return "".join(pieces) + (closing if inside else "")
