"""Old names of options and of their values: they keep working for one release, and say what they are called now."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any

from .terminal import say


def add_old_name(parser: argparse._ActionsContainer, old: str, new: str) -> None:
    """Lets an option be given by its old name, which the help does not show.

    Args:
        parser: Has the option already.
        old: Its old name, such as ``--at``.
        new: Its name now.
    """
    action = parser._option_string_actions[new]

    class Renamed(argparse.Action):
        def __call__(self, _: Any, namespace: Any, values: Any, option: str | None = None) -> None:  # noqa: ARG002
            _note(old, new)
            setattr(namespace, self.dest, values)

    parser.add_argument(
        old,
        action=Renamed,
        dest=action.dest,
        type=action.type or str,
        choices=action.choices,
        nargs=action.nargs,
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )


def renamed_value(names: Mapping[str, str]) -> Callable[[str], str]:
    """Returns what reads an option's value, of which some had another name.

    Args:
        names: What each old name is called now.
    """

    def value(given: str) -> str:
        if given in names:
            _note(given, names[given])
        return names.get(given, given)

    return value


def _note(old: str, new: str) -> None:
    say(f"note: {old} is called {new} now. The old name works for one release more.", file=sys.stderr)
