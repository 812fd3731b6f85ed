"""Where Japanese text, and what other text is mixed into it, can be cut: sentences, clauses, characters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

from .characters import is_inside_character

Span: TypeAlias = tuple[int, int]
"""Where in a text something begins and ends, in characters."""

Units: TypeAlias = Callable[[str, int, int], Iterator[Span]]
"""Cuts a part of a text, from one place to another, into units that follow one another and leave nothing out."""

_LINE_ENDS = "\n\r\v\f\x85\u2028\u2029"
_OPENING, _CLOSED_BY = "「『（(【［[〈《〔｢", "」』）)】］]〉》〕｣"
_CLOSING = re.escape(_CLOSED_BY + "\"'”’")
_SENTENCE_END = re.compile(
    r"(?:[。｡！？]"
    r"|[!?](?![A-Za-z0-9=&%/_-])"  # not within https://example.org/?q=1
    r"|(?<!\d)．(?!\d)"  # not within ３．１４
    rf"|(?<![\d\s.])\.(?=[{_CLOSING}]*(?:\s|$))"  # not within 3.14, e.g. example.org, or after the 1 of a list
    rf")[。｡．.！？!?…]*[{_CLOSING}]*|[{_LINE_ENDS}]+"
)
_CLAUSE_END = re.compile(
    rf"(?:[、､；：・\s{re.escape(_CLOSED_BY)}]|(?<!\d)，|，(?!\d)|[,;:](?![A-Za-z0-9/]))[、､，,；;：:・\s]*"
)


def quotations(text: str, start: int, end: int) -> Iterator[Span]:
    """Yields sentences, those between brackets, as in 「行く。すぐに。」, together; a line's end closes brackets."""
    begin, depth = start, 0
    for first, last in sentences(text, start, end):
        unit = text[first:last]
        depth = max(0, depth + sum(map(unit.count, _OPENING)) - sum(map(unit.count, _CLOSED_BY)))
        if depth == 0 or unit[-1] in _LINE_ENDS:
            yield begin, last
            begin, depth = last, 0
    if begin < end:
        yield begin, end


def sentences(text: str, start: int, end: int) -> Iterator[Span]:
    """Yields sentences, with the brackets that close after them; and lines."""
    return _cut(_SENTENCE_END, text, start, end)


def clauses(text: str, start: int, end: int) -> Iterator[Span]:
    """Yields what commas, closing brackets and white space separate."""
    return _cut(_CLAUSE_END, text, start, end)


def middle(text: str, start: int, end: int) -> int:
    """Returns a position near the middle, not inside a character of several code points: か\u3099, 👨‍👩‍👧."""
    half = (start + end) // 2
    places = sorted(range(max(start + 1, half - 8), min(end, half + 9)), key=lambda place: abs(place - half))
    return next((place for place in places if not is_inside_character(text, place)), half)


def _cut(ends: re.Pattern[str], text: str, start: int, end: int) -> Iterator[Span]:
    begin = start
    for match in ends.finditer(text, start, end):
        yield begin, match.end()
        begin = match.end()
    if begin < end:
        yield begin, end
