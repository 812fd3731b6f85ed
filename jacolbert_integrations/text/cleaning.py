"""Makes any Python string one that tokenizers can read: whole, and in pieces of bounded length.

MeCab is a C library. It ends its input at a NUL, cannot read a lone surrogate, crashes on texts of half a million
characters, drops what follows 65,536 white-space characters, and takes quadratic time on long runs of one kind of
character. So every text goes through :func:`clean` once, and to MeCab in :func:`pieces`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_PIECE = 10_000
"""Most characters of a piece. Shorter texts are never cut, unless they hold a run as long as :data:`MAX_RUN`."""

MAX_RUN = 500
"""Most characters of one kind (letters, kana, kanji, signs) that go to MeCab in a row."""

_UNREADABLE = re.compile("[\x00\ud800-\udfff]")
_CHARACTER = re.compile("[\ud800-\udbff][\udc00-\udfff]|.", re.DOTALL)
_LONG_SPACE = re.compile(r"\s{256,}")
_LONG_RUN = re.compile(
    rf"[^\W\u3040-\u30ff\u3400-\u9fff]{{{MAX_RUN + 1},}}"  # letters and digits
    rf"|[\u3040-\u30ff]{{{MAX_RUN + 1},}}"  # kana
    rf"|[\u3400-\u9fff]{{{MAX_RUN + 1},}}"  # kanji
    rf"|[^\w\s]{{{MAX_RUN + 1},}}"  # signs
)
_BOUNDARIES = (re.compile(r"[\n\r\v\f\x85\u2028\u2029]"), re.compile(r"[。！？!?]"), re.compile(r"[\s、，,]"))


def clean(text: str) -> str:
    """Replaces what is no text: a NUL by a space, a lone surrogate by U+FFFD, a pair of surrogates by its character.

    Nothing else is changed, and the length only by a pair.
    """
    if _UNREADABLE.search(text) is None:
        return text
    # by way of UTF-16, a pair of surrogates becomes the character that it stands for
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\x00", " ")


def original_spans(text: str) -> list[tuple[int, int]]:
    """Returns for each character of ``clean(text)`` where in ``text`` it begins and ends."""
    return [match.span() for match in _CHARACTER.finditer(text)]


def pieces(text: str) -> Iterator[str]:
    """Yields a clean text in pieces that MeCab can read, in time linear in its length.

    A text of ordinary length is one piece. A longer one is cut after a line's end, else after a sentence, else after
    white space or a comma, and only where there is none of these, anywhere. Long runs of white space become one line
    end; all other characters are kept.
    """
    if len(text) <= MAX_RUN:
        yield text
        return
    text = _LONG_SPACE.sub("\n", text)
    start = 0
    for run in _LONG_RUN.finditer(text):
        for cut in range(run.start() + MAX_RUN, run.end(), MAX_RUN):
            yield from _bounded(text, start, cut)
            start = cut
    yield from _bounded(text, start, len(text))


def _bounded(text: str, start: int, end: int) -> Iterator[str]:
    while end - start > MAX_PIECE:
        cut = _boundary(text, start + MAX_PIECE // 2, start + MAX_PIECE)
        yield text[start:cut]
        start = cut
    if start < end:
        yield text[start:end]


def _boundary(text: str, first: int, last: int) -> int:
    """Returns the best position to cut at, from ``first`` to ``last``."""
    for boundary in _BOUNDARIES:
        ends = [match.end() for match in boundary.finditer(text, first, last)]
        if ends:
            return ends[-1]
    return last
