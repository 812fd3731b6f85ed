"""What a query matched in a document, and what that adds to the score, as HTML for notebooks and pages."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from ..errors import InputError
from .matches import content_matches

if TYPE_CHECKING:
    from .explanation import Explanation
    from .locating import Token
    from .matches import Match

# Opacities of one colour over whatever is behind: letters keep the page's own colour, and can be read on a light page
# as on a dark one.
_COLOUR = "230,140,0"
_OPACITIES = (0.15, 0.225, 0.3, 0.375, 0.45)


def as_html(text: str, matches: Iterable[Match], *, at_least: float = 0.5, particles: bool = False) -> str:
    """Renders the text as an HTML element with its matched pieces coloured: the stronger, the more similar.

    The colour has five steps between ``at_least`` and 1. Where a pointer rests on a piece, its similarity is shown.
    The element needs no style sheet and no script, and everything in the text is escaped.

    Args:
        text: The document that the matches are of.
        matches: From :func:`~.explanation.find_matches`. Where two overlap, the more similar is shown.
        at_least: Weaker matches stay unmarked.
        particles: Whether particles, auxiliaries and punctuation are coloured, too (:func:`~.matches.content_matches`).

    Returns:
        A ``div`` with a ``mark`` for each matched piece.

    Raises:
        InputError: If ``at_least`` is not from 0 to below 1.
    """
    if not 0 <= at_least < 1:
        raise InputError(f"at_least is {at_least!r}, but it must be a similarity from 0 to below 1.")
    shown: list[Match | None] = [None] * len(text)
    for match in sorted(matches if particles else content_matches(text, matches), key=lambda match: match.similarity):
        if match.similarity >= at_least:
            for place in range(match.start, min(match.end, len(text))):
                shown[place] = match
    pieces = (
        _piece("".join(text[place] for place in places), match, at_least)
        for match, places in groupby(range(len(text)), key=shown.__getitem__)
    )
    return f'<div style="white-space:pre-wrap;line-height:1.8">{"".join(pieces)}</div>'


def explanation_as_html(explanation: Explanation, *, at_least: float = 0.5, particles: bool = False) -> str:
    """Renders an explanation as an HTML element: the document with what was matched, and a row for each query token.

    It needs no style sheet and no script, and everything in the texts is escaped.

    Args:
        explanation: From :func:`~.explanation.explain`.
        at_least: Weaker matches stay unmarked in the document; the rows show them all.
        particles: Whether particles, auxiliaries and punctuation are coloured in the document, too.

    Returns:
        A ``section``.

    Raises:
        InputError: If ``at_least`` is not from 0 to below 1.
    """
    document = as_html(explanation.document, explanation.matches, at_least=at_least, particles=particles)
    kinds = explanation.by_kind
    score = (
        f"<p>Score <strong>{explanation.score:.2f}</strong>: {kinds['text']:.2f} of words, {kinds['mask']:.2f} of "
        f"[MASK]s, {kinds['control']:.2f} of control tokens</p>"
    )
    rows = "".join(
        f"<tr>{_cell(_characters(each.token, explanation.query))}"
        f"{_cell(' + '.join(_characters(partner, explanation.document) for partner in each.partners))}"
        f'<td style="padding:0 .5em"><meter min="0" max="1" value="{min(max(each.similarity, 0), 1):.4f}"></meter> '
        f"{each.similarity:.2f}</td></tr>"
        for each in explanation.contributions
    )
    head = "<tr>" + "".join(
        f'<th scope="col" style="text-align:left;padding:0 .5em">{name}</th>'
        for name in ("query", "document", "similarity")
    )
    return (
        f"<section><p><strong>{escape(explanation.query)}</strong></p>{document}{score}"
        f'<table style="border-collapse:collapse"><thead>{head}</tr></thead><tbody>{rows}</tbody></table></section>'
    )


def as_page(*elements: str, title: str) -> str:
    """Makes a page of elements: one file that needs no network, for light and dark screens and narrow ones.

    Args:
        *elements: HTML.
        title: The page's name; it is escaped.
    """
    return (
        '<!DOCTYPE html><html lang="ja"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>:root{{color-scheme:light dark}}"
        "body{font-family:system-ui,sans-serif;line-height:1.6;max-width:50em;margin:auto;padding:1em;"
        "overflow-wrap:anywhere}</style></head>"
        f"<body>{''.join(elements)}</body></html>\n"
    )


def _cell(text: str) -> str:
    return f'<td style="padding:0 .5em">{escape(text)}</td>'


def _characters(token: Token, text: str) -> str:
    return token.piece if token.span is None or token.span[0] == token.span[1] else text[slice(*token.span)]


def _piece(text: str, match: Match | None, at_least: float) -> str:
    if match is None:
        return escape(text)
    opacity = _OPACITIES[_step(match.similarity, at_least)]
    style = f"color:inherit;background-color:rgba({_COLOUR},{opacity});border-radius:2px"
    return f'<mark style="{style}" title="similarity {match.similarity:.2f}">{escape(text)}</mark>'


def _step(similarity: float, at_least: float) -> int:
    share = (similarity - at_least) / (1 - at_least)
    return min(math.floor(share * len(_OPACITIES)), len(_OPACITIES) - 1)  # 1, and what rounding takes past it
