"""Long texts in windows of whole sentences, each as long as a model reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeAlias, get_args

from ..errors import InputError
from .sentences import Span as Span
from .sentences import Units, clauses, middle, quotations, sentences

DOCUMENT_KEY = "_jacolbert_document"
"""The payload key of the document that a window is of. A document that was not split has none."""

SPAN_KEY = "_jacolbert_span"
"""The payload key of where in its document a window begins and ends, in characters."""

TooLong: TypeAlias = Literal["refuse", "split", "cut"]
"""What becomes of a text of more tokens than the model reads."""

Lengths: TypeAlias = Callable[[Sequence[str]], list[int]]
"""Tokens of each of some texts, control tokens included, such as ``JaColBERT.document_lengths``."""

_REMEMBERED = 1 << 16

_UNITS: tuple[Units, ...] = (quotations, sentences, clauses)


def check_too_long(too_long: str) -> None:
    """Refuses an unknown way to treat long texts.

    Raises:
        InputError: If it is none.
    """
    if too_long not in get_args(TooLong):
        raise InputError(f"too_long is {too_long!r}, but it must be 'refuse', 'split' or 'cut'.")


def window_id(document: str, start: int) -> str:
    """Returns the id of a window other than the first, which has its document's id.

    Where it begins tells it from all others of its document, also from those that were cut before.

    Args:
        document: The document's id.
        start: Where in it the window begins, in characters.
    """
    return f"{document}#window-{start}"


def windows(text: str, lengths: Lengths, limit: int, overlap: int = 0) -> list[Span]:
    """Cuts a text into windows of at most so many tokens.

    A window ends where a sentence ends (。！？ with the brackets that close after them, a full stop of English, or a
    line's end), and not between the sentences of a quotation, if that is short enough. A sentence that is too long by
    itself is cut between clauses, and a clause between characters.

    Args:
        text: Any text.
        lengths: Counts tokens.
        limit: Most tokens of a window, as ``lengths`` counts them.
        overlap: Sentences, or pieces of one that is too long, that a window repeats of the one before; fewer where
            they would leave no room for what is new.

    Returns:
        The windows in order. They meet each other, or overlap, and leave out nothing but windows of white space. A
        text of white space has none.

    Raises:
        InputError: If ``limit`` leaves no room for a single character, or ``overlap`` is below 0.
    """
    if overlap < 0:
        raise InputError(f"overlap is {overlap}, but it must be 0 or more sentences.")
    lengths = _remembered(lengths)
    empty = lengths([""])[0]
    if limit <= empty:
        raise InputError(f"a window of {limit} tokens has no room for text: {empty} of them are control tokens.")
    fitting = list(_fitting(text, (0, len(text)), lengths, limit, 0))
    units = [span for span, _ in fitting]
    counts = [count - empty for _, count in fitting]
    blank = [not text[start:end].strip() for start, end in units]

    def filled(first: int) -> int:
        """Returns where a window ends that begins with a unit."""
        last, total = first + 1, empty + counts[first]
        while last < len(units) and total + counts[last] <= limit:
            total += counts[last]
            last += 1
        # The tokens of sentences are not quite those of each alone: where they meet, words may be cut otherwise.
        while last - first > 1 and lengths([text[units[first][0] : units[last - 1][1]]])[0] > limit:
            last -= 1
        return last

    def repeated(first: int, last: int) -> int:
        """Returns where the next window begins: ``overlap`` sentences back, if it then still reaches a new one."""
        new = next((unit for unit in range(last, len(units)) if not blank[unit]), len(units))
        again, missing = last, overlap
        while missing and again > first + 1:
            again -= 1
            missing -= not blank[again]
        while again < last and filled(again) <= new:
            again += 1
        return again

    found: list[Span] = []
    first = last = 0
    while last < len(units):
        last = filled(first)
        found.append((units[first][0], units[last - 1][1]))
        first = repeated(first, last)
    return [(start, end) for start, end in found if text[start:end].strip()]


def _remembered(lengths: Lengths) -> Lengths:
    """Counts each text once: long documents repeat their headings, and the cells of their tables."""
    known: dict[str, int] = {}

    def counts(texts: Sequence[str]) -> list[int]:
        if len(known) > _REMEMBERED:
            known.clear()
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        known.update(zip(missing, lengths(missing) if missing else [], strict=True))
        return [known[text] for text in texts]

    return counts


def _fitting(text: str, span: Span, lengths: Lengths, limit: int, level: int) -> Iterator[tuple[Span, int]]:
    """Units of a text that are short enough: quotations and sentences where they are, clauses, or pieces of them."""
    if level == len(_UNITS):
        yield from _halves(text, span, lengths, limit)
        return
    units = list(_UNITS[level](text, *span))
    for unit, count in zip(units, lengths([text[start:end] for start, end in units]), strict=True):
        if count <= limit:
            yield unit, count
        else:
            yield from _fitting(text, unit, lengths, limit, level + 1)


def _halves(text: str, span: Span, lengths: Lengths, limit: int) -> Iterator[tuple[Span, int]]:
    start, end = span
    count = lengths([text[start:end]])[0]
    if count <= limit:
        yield span, count
    elif end - start == 1:
        raise InputError(f"{text[start:end]!r} alone has more than the {limit} tokens of a window.")
    else:
        half = middle(text, start, end)
        yield from _halves(text, (start, half), lengths, limit)
        yield from _halves(text, (half, end), lengths, limit)
