"""What commands print, harmless whatever data hold."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, TextIO

from ..text.harmless import UNSAFE, harmless


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
    print(UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


class HarmlessFormatter(logging.Formatter):
    """Formats log records as lines that are harmless."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line of a record."""
        return harmless(super().format(record))
