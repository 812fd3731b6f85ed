"""Pieces of a document that a query matched: the part of late interaction that people can see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..text.content_words import content_spans


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


def content_matches(text: str, matches: Iterable[Match]) -> list[Match]:
    """Returns the matches that hold some of a content word: neither particles, auxiliaries nor punctuation alone.

    A particle matches the same particle anywhere, which says little of what a document is about.

    Args:
        text: The document that the matches are of.
        matches: From :func:`~.explanation.find_matches`.
    """
    content = np.zeros(len(text), bool)
    for start, end in content_spans(text):
        content[start:end] = True
    return [match for match in matches if content[match.start : match.end].any()]


def highlight(
    text: str,
    matches: Iterable[Match],
    *,
    at_least: float = 0.5,
    opening: str = "【",
    closing: str = "】",
    particles: bool = False,
) -> str:
    """Marks the matched pieces of the text.

    Args:
        text: The document that the matches are of.
        matches: From :func:`~.explanation.find_matches`.
        at_least: Weaker matches stay unmarked.
        opening: Put before a matched piece; neighbours are marked as one.
        closing: Put after it.
        particles: Whether particles, auxiliaries and punctuation are marked, too (:func:`content_matches`).
    """
    marked = np.zeros(len(text) + 1, bool)
    for match in matches if particles else content_matches(text, matches):
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
