"""Where in a text the words of its NFKC form come from."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator


def locate_words(words: Iterable[str], text: str, normalize: bool) -> Iterator[tuple[str, int, int]]:
    """Finds each word of the normalised text in the text itself."""
    normalised, spans = _normalise_with_spans(text) if normalize else (text, [(i, i + 1) for i in range(len(text))])
    # Words may be lower-cased. Where that changes a text's length, only the exact form can be found.
    lowered = normalised.lower()
    folds = len(lowered) == len(normalised)
    at = 0
    for word in words:
        found = lowered.find(word.lower(), at) if folds else normalised.find(word, at)
        if found < 0 or not word:
            here = spans[at][0] if at < len(spans) else len(text)
            yield word, here, here
            continue
        at = found + len(word)
        yield word, spans[found][0], spans[at - 1][1]


def _normalise_with_spans(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Computes NFKC of ``text``, and for each of its characters the span of ``text`` that it comes from."""
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    start = 0
    for end in range(1, len(text) + 1):
        # A character that composes with the one before it belongs to the same cluster.
        if end < len(text) and _may_compose(text[end]):
            continue
        piece = unicodedata.normalize("NFKC", text[start:end])
        pieces.append(piece)
        spans += [(i, i + 1) for i in range(start, end)] if len(piece) == end - start else [(start, end)] * len(piece)
        start = end
    whole = unicodedata.normalize("NFKC", text)
    if whole != "".join(pieces):  # a composition that the clusters missed: the text as a whole is all we know
        spans = [(0, len(text))] * len(whole)
    return whole, spans


def _may_compose(character: str) -> bool:
    return (
        unicodedata.combining(character) != 0
        or character in "\uff9e\uff9f"  # half-width (semi-)voiced sound marks
        or "\u1160" <= character <= "\u11ff"  # Hangul vowels and finals
    )
