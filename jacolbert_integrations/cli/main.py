"""Entry point of ``jacolbert``: one subcommand a file."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import warnings
from collections.abc import Sequence

from .. import __version__
from ..errors import JaColBERTError, TruncationWarning
from . import (
    centroids,
    completion,
    delete,
    demo,
    doctor,
    evaluate,
    explain,
    export,
    import_points,
    index,
    merge,
    models,
    negatives,
    reindex,
    search,
    stats,
    teach,
    train,
)
from .late_imports import import_late
from .terminal import HarmlessFormatter, say
from .usage import CommandParser, UsageError

_WITH_LATE_IMPORTS = {"delete", "explain", "index", "search", "stats"}
"""Commands that train and measure nothing."""


def parser() -> argparse.ArgumentParser:
    """Builds the parser of all commands and their options."""
    whole = argparse.ArgumentParser(
        prog="jacolbert", description="Japanese late-interaction retrieval with JaColBERT, LlamaIndex and Qdrant."
    )
    whole.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = whole.add_subparsers(dest="command", metavar="command", required=True, parser_class=CommandParser)
    for module in (
        demo,
        index,
        search,
        delete,
        reindex,
        stats,
        export,
        import_points,
        models,
        doctor,
        completion,
        evaluate,
        explain,
        train,
        centroids,
        negatives,
        teach,
        merge,
    ):
        module.add_command(commands)
    whole.set_defaults(whole=whole)  # what completes all commands needs them
    return whole


def command_parser(commands: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    """Returns the parser of one command out of that of all."""
    (found,) = (action for action in commands._actions if isinstance(action, argparse._SubParsersAction))
    parsers: dict[str, argparse.ArgumentParser] = found.choices
    return parsers[name]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: Arguments; None takes the process's own.

    Returns:
        The exit status: 0; 2 if options do not go together; 1 after another error that the user can mend; 130 after an
        interrupt.

    Raises:
        SystemExit: With 0 after ``--help`` and ``--version``, and with 2 if the arguments cannot be read.
    """
    try:
        commands = parser()
        arguments = commands.parse_args(argv)
        with warnings.catch_warnings():
            warnings.simplefilter("always", TruncationWarning)
            warnings.showwarning = _note
            if argv is None and arguments.command in _WITH_LATE_IMPORTS:
                import_late()
                gc.set_threshold(100_000)  # what is imported stays: looking through it for garbage finds none
            if logging.lastResort is not None:  # what prints log messages where no handler is set up
                logging.lastResort.setFormatter(HarmlessFormatter())
            arguments.run(arguments)
    except UsageError as error:
        command_parser(commands, arguments.command).print_usage(sys.stderr)
        say(f"jacolbert {arguments.command}: {error}", file=sys.stderr)
        return 2
    except JaColBERTError as error:
        say(f"jacolbert {arguments.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("stopped", file=sys.stderr)
        return 130
    return 0


def _note(message: Warning | str, *_: object, **__: object) -> None:
    say(f"note: {message}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
