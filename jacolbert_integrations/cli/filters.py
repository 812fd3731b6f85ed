"""``--filter KEY=VALUE``: which passages, in words of the command line."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .usage import UsageError

if TYPE_CHECKING:
    from ..types import Filter

_OPERATORS: dict[str, Any] = {
    "=": "==",
    "!=": "!=",
    ">=": ">=",
    "<=": "<=",
    ">": ">",
    "<": "<",
    "~": "text_match",
}
_CONDITION = re.compile(r"(?P<key>[^=!<>~]+)(?P<operator>!=|>=|<=|=|>|<|~)(?P<value>.*)", re.DOTALL)
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")


def add_filter(parser: argparse.ArgumentParser) -> None:
    """Adds the option."""
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only passages whose payload has this value; also with !=, >, >=, <, <= (numbers, dates), ~ (a part of a "
        'text), or nothing behind = (it is missing or empty). A number in quotes ("007") is text. May be repeated: all '
        "have to hold",
    )


def filter_of(given: Sequence[str]) -> Filter | None:
    """Reads what was given; None if that is nothing.

    Raises:
        UsageError: If it is no condition.
    """
    from ..types import Condition, Filter

    conditions = []
    for text in given:
        found = _CONDITION.fullmatch(text)
        if found is None:
            raise UsageError(
                f"--filter takes KEY=VALUE, such as year=2020, year>=2020 or title~大阪, but got {text!r:.60}."
            )
        key, operator, value = found["key"].strip(), found["operator"], found["value"].strip()
        if value or operator != "=":
            conditions.append(Condition(key, _OPERATORS[operator], value if operator == "~" else _value(value)))
        else:
            conditions.append(Condition(key, "is_empty"))
    return Filter(conditions) if conditions else None


def _value(text: str) -> Any:
    """Reads a number, a truth value, or a text, which quotes may be around."""
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    if quoted or text in ("true", "false") or _NUMBER.fullmatch(text):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text[1:-1]
    return text
