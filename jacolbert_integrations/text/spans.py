"""Where in a text the words of its NFKC form come from."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from .cleaning import clean

_SPACE = re.compile(r"\s*")
_SLACK = 64
"""How far from where it should be a word is looked for, should one before it have changed its length."""


def locate_words(words: Iterable[str], text: str, normalize: bool) -> Iterator[tuple[str, int, int]]:
    """Finds each word of the cleaned and normalised text in the text itself, in time linear in its length."""
    normalised, spans = _normalise_with_spans(text, normalize)
    # Words may be lower-cased. Where that changes a text's length, only the exact form can be found.
    lowered = normalised.lower()
    folds = len(lowered) == len(normalised)
    searched = lowered if folds else normalised
    sure = at = 0  # where the last word that was found ends, and about where the next one begins
    for word in words:
        at = _end_of_space(searched, at)
        wanted = word.lower() if folds else word
        found = searched.find(wanted, max(sure, at - _SLACK), at + len(wanted) + _SLACK) if wanted else -1
        if found < 0:
            here = spans[at][0] if at < len(spans) else len(text)
            yield word, here, here
            at = min(at + len(word), len(spans))
            continue
        sure = at = found + len(wanted)
        yield word, spans[found][0], spans[at - 1][1]


def _end_of_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _normalise_with_spans(text: str, normalize: bool) -> tuple[str, list[tuple[int, int]]]:
    """Cleans and normalises ``text``, and returns for each character of the result its span in ``text``."""

    def form(part: str) -> str:
        part = clean(part)
        return unicodedata.normalize("NFKC", part) if normalize else part

    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    start = 0
    for end in range(1, len(text) + 1):
        # A character that composes with the one before it belongs to the same cluster, as do a pair of surrogates.
        if end < len(text) and _belongs(text[end - 1], text[end]):
            continue
        piece = form(text[start:end])
        pieces.append(piece)
        spans += [(i, i + 1) for i in range(start, end)] if len(piece) == end - start else [(start, end)] * len(piece)
        start = end
    whole = form(text)
    if whole != "".join(pieces):  # a composition that the clusters missed: the text as a whole is all we know
        spans = [(0, len(text))] * len(whole)
    return whole, spans


def _belongs(before: str, character: str) -> bool:
    return _may_compose(character) or ("\ud800" <= before <= "\udbff" and "\udc00" <= character <= "\udfff")


def _may_compose(character: str) -> bool:
    return (
        unicodedata.combining(character) != 0
        or character in "\uff9e\uff9f"  # half-width (semi-)voiced sound marks
        or "\u1160" <= character <= "\u11ff"  # Hangul vowels and finals
    )
