"""What a query matched in a document as HTML, for notebooks and pages."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from .matches import Match

# Opacities of one colour over whatever is behind: letters keep the page's own colour, and can be read on a light page
# as on a dark one.
_COLOUR = "230,140,0"
_OPACITIES = (0.15, 0.225, 0.3, 0.375, 0.45)


def as_html(text: str, matches: Iterable[Match], *, at_least: float = 0.5) -> str:
    """Renders the text as an HTML element with its matched pieces coloured: the stronger, the more similar.

    The colour has five steps between ``at_least`` and 1. Where a pointer rests on a piece, its similarity is shown.
    The element needs no style sheet and no script, and everything in the text is escaped.

    Args:
        text: The document that the matches are of.
        matches: From :func:`~.matches.find_matches`. Where two overlap, the more similar is shown.
        at_least: Weaker matches stay unmarked.

    Returns:
        A ``div`` with a ``mark`` for each matched piece.

    Raises:
        InputError: If ``at_least`` is not from 0 to below 1.
    """
    if not 0 <= at_least < 1:
        raise InputError(f"at_least is {at_least!r}, but it must be a similarity from 0 to below 1.")
    shown: list[Match | None] = [None] * len(text)
    for match in sorted(matches, key=lambda match: match.similarity):
        if match.similarity >= at_least:
            for place in range(match.start, min(match.end, len(text))):
                shown[place] = match
    pieces = (
        _piece("".join(text[place] for place in places), match, at_least)
        for match, places in groupby(range(len(text)), key=shown.__getitem__)
    )
    return f'<div style="white-space:pre-wrap;line-height:1.8">{"".join(pieces)}</div>'


def _piece(text: str, match: Match | None, at_least: float) -> str:
    if match is None:
        return escape(text)
    opacity = _OPACITIES[_step(match.similarity, at_least)]
    style = f"color:inherit;background-color:rgba({_COLOUR},{opacity});border-radius:2px"
    return f'<mark style="{style}" title="similarity {match.similarity:.2f}">{escape(text)}</mark>'


def _step(similarity: float, at_least: float) -> int:
    share = (similarity - at_least) / (1 - at_least)
    return min(math.floor(share * len(_OPACITIES)), len(_OPACITIES) - 1)  # 1, and what rounding takes past it
