"""How a command is used: the parser of each, types of options, and the error of options that do not go together."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from ..errors import InputError


class UsageError(InputError):
    """Options of a command do not go together, or lack one; the exit status is 2, as for what the parser refuses."""


class CommandParser(argparse.ArgumentParser):
    """The parser of one command, which refuses unknown options by itself, and so shows its own usage."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """Does the same as argparse's, but leaves nothing to the parser of all commands, whose usage would be shown."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown


def positive(text: str) -> int:
    """Reads a whole number from 1 on, as an option's type."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return value
