"""An explanation as lines of text, for a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from .explanation import Contribution, Explanation
from .locating import Token, TokenKind

_NAMES: Mapping[TokenKind, str] = {"text": "words", "mask": "[MASK]", "control": "control tokens"}
_BAR = 10
_EIGHTHS = " ▏▎▍▌▋▊▉"
_SHOWN_PARTNERS = 6


def as_table(explanation: Explanation) -> str:
    """Formats an explanation as one line for each token of the query, in columns of equal width on a terminal.

    A bar is full where the similarity is 1. After what a token matched stand the characters of the document where that
    begins.

    Args:
        explanation: From :func:`~.explanation.explain`.
    """
    rows = [
        (_name(each.token, explanation.query), _partners(each, explanation.document), each.similarity)
        for each in explanation.contributions
    ]
    width = max((columns(name) for name, _, _ in rows), default=0)
    shares = " + ".join(f"{explanation.by_kind[kind]:.2f} of {name}" for kind, name in _NAMES.items())
    lines = [f"score {explanation.score:.2f} = {shares}"]
    for name, partners, similarity in rows:
        lines.append(f"{similarity:6.2f} {bar(similarity)}  {name}{' ' * (width - columns(name))}  {partners}".rstrip())
    return "\n".join(lines)


def columns(text: str) -> int:
    """Counts the columns that a text takes on a terminal: two for a wide character, none for a combining mark."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def bar(share: float) -> str:
    """Draws a share of 0 to 1 as a bar of ten columns."""
    eighths = round(min(max(share, 0.0), 1.0) * _BAR * 8)
    drawn = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
    return drawn.ljust(_BAR)


def _name(token: Token, text: str) -> str:
    if token.span is None or token.span[0] == token.span[1]:
        return token.piece
    return " ".join(text[slice(*token.span)].split())


def _partners(contribution: Contribution, document: str) -> str:
    names = [
        _name(partner, document) + ("" if partner.span is None else f" ({partner.span[0]})")
        for partner in contribution.partners
    ]
    more = "" if len(names) <= _SHOWN_PARTNERS else f" and {len(names) - _SHOWN_PARTNERS} more"
    return " + ".join(names[:_SHOWN_PARTNERS]) + more
