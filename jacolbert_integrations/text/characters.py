"""Written characters: where several code points are one, as in ｶﾞ or 👨‍👩‍👧, and no text is cut."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right

_JOINER = "\u200d"


def is_inside_character(text: str, place: int) -> bool:
    """Returns whether a position lies inside a character of several code points: か\u3099, ｶﾞ, 👨‍👩‍👧, 🇯🇵.

    Args:
        text: Any text.
        place: A position between two of its code points, from 1 to below its length.
    """
    if not _is_flag_letter(text[place]):
        return _are_one(text[place - 1], text[place])
    letters = 0
    while letters < place and _is_flag_letter(text[place - 1 - letters]):
        letters += 1
    return letters % 2 == 1 or _are_one(text[place - 1], text[place])


class WholeCharacters:
    """The characters of a text, in which parts of it are found in whole, in time linear in its length.

    Args:
        text: Any text.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._bounds = [0]
        letters = 0  # of flags, in a row: two are one flag
        for place in range(1, len(text)):
            before, here = text[place - 1], text[place]
            letters = letters + 1 if _is_flag_letter(before) else 0
            if not (_are_one(before, here) or (letters % 2 == 1 and _is_flag_letter(here))):
                self._bounds.append(place)
        if text:
            self._bounds.append(len(text))

    def around(self, start: int, end: int) -> tuple[int, int] | None:
        """Widens a part of the text to whole characters, without white space and invisible signs at its ends.

        Args:
            start: Where the part begins, in code points.
            end: Where it ends.

        Returns:
            Where the whole characters begin and end; None if nothing of the part can be seen.
        """
        start, end = max(start, 0), min(end, len(self._text))
        if start >= end:
            return None
        first, last = bisect_right(self._bounds, start) - 1, bisect_left(self._bounds, end)
        while first < last and self._is_blank(first):
            first += 1
        while first < last and self._is_blank(last - 1):
            last -= 1
        return (self._bounds[first], self._bounds[last]) if first < last else None

    def _is_blank(self, number: int) -> bool:
        """Returns whether nothing of a character is seen: white space, control characters, formats such as U+200B."""
        character = self._text[self._bounds[number] : self._bounds[number + 1]]
        return len(character) == 1 and (character.isspace() or unicodedata.category(character) in ("Cc", "Cf"))


def _are_one(before: str, here: str) -> bool:
    """Returns whether a code point belongs to the one before it, flags left aside."""
    return here > "\x7f" and (
        (before == _JOINER and not here.isspace())
        or here in f"{_JOINER}ﾞﾟ"
        or "\ufe00" <= here <= "\ufe0f"  # variants, as of emoji
        or "\U000e0100" <= here <= "\U000e01ef"  # and of kanji
        or unicodedata.combining(here) != 0
        or "\u1160" <= here <= "\u11ff"  # vowels and finals of Hangul
        or "\U0001f3fb" <= here <= "\U0001f3ff"  # tones of skin
        or "\U000e0020" <= here <= "\U000e007f"  # tags, as of the flag of Scotland
        or ("\ud800" <= before <= "\udbff" and "\udc00" <= here <= "\udfff")  # a pair of surrogates
    )


def _is_flag_letter(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
