"""Text that may be shown: what comes from data can move no cursor, set no clipboard and turn no text around."""

from __future__ import annotations

import re

_BIDIRECTIONAL = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
UNSAFE = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029{_BIDIRECTIONAL}\ufeff\ufff9-\ufffb\ud800-\udfff]")
"""Control characters other than line ends and tabs, marks that change the direction of writing, and lone surrogates,
which cannot be printed at all."""


def harmless(text: str) -> str:
    """Replaces each character that a terminal acts on by a visible one, such as ␛ for an escape; the length stays."""
    return UNSAFE.sub(lambda match: _picture(match[0]), text)


def _picture(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"
