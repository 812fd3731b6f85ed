"""Text on its way to a terminal: what comes from data can move no cursor, set no clipboard and turn no text around."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any, TextIO

_BIDIRECTIONAL = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNSAFE = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029{_BIDIRECTIONAL}\ufeff\ufff9-\ufffb\ud800-\udfff]")


def harmless(text: str) -> str:
    """Replaces each character that a terminal acts on by a visible one, such as ␛ for an escape; the length stays.

    These are control characters other than line ends and tabs, marks that change the direction of writing, and lone
    surrogates, which cannot be printed at all.
    """
    return _UNSAFE.sub(lambda match: _picture(match[0]), text)


def say(text: object = "", *, file: TextIO | None = None) -> None:
    """Prints a line, harmless.

    Args:
        text: The line; what is not a string is printed as ``str`` gives it.
        file: Where to; None is standard output.
    """
    print(harmless(str(text)), file=sys.stdout if file is None else file)


def say_json(value: Any, *, indent: int | None = None) -> None:
    """Prints a value as JSON that any reader gets back exactly, with the same characters escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    print(_UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


class HarmlessFormatter(logging.Formatter):
    """Formats log records as lines that are harmless."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line of a record."""
        return harmless(super().format(record))


def _picture(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"
