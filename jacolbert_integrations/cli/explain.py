"""``jacolbert explain``: why a passage has the score that it has."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..text.harmless import harmless
from .model import add_model, load
from .terminal import say, say_json


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "explain",
        help="show which words of a passage a question matched, and what each adds to the score",
        description="Shows, token by token, where the MaxSim of a question and a passage comes from. A passage of more "
        "tokens than the model reads is explained by its best window.",
    )
    parser.add_argument("query", help="the question")
    parser.add_argument("passage", help="the passage; - reads it from standard input")
    add_model(parser)
    parser.add_argument("--pooling", metavar="NAME", help="pool the passage's vectors, such as hierarchical-2")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page to open in a browser")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    from ..errors import InputError
    from ..explaining import as_table, explain, explanation_as_html, highlight
    from ..explaining.html import as_page
    from .report import markers

    passage = sys.stdin.read() if arguments.passage == "-" else arguments.passage
    model = load(arguments, pooling=arguments.pooling)
    explanation = explain(model, arguments.query, passage, too_long="split")
    if arguments.html is not None:
        page = as_page(explanation_as_html(explanation), title=f"{model.name}: {arguments.query}")
        try:
            arguments.html.write_text(page, encoding="utf-8", errors="replace")
        except OSError as error:
            raise InputError(f"{arguments.html} cannot be written: {error.strerror}.") from error
    if arguments.json:
        say_json(explanation.as_dict(), indent=2)
        return
    opening, closing = markers()
    print(highlight(harmless(passage), explanation.matches, opening=opening, closing=closing))
    say()
    say(as_table(explanation))
