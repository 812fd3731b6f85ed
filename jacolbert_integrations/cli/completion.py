"""``jacolbert completion``: the script that completes commands, options and their values in a shell."""

from __future__ import annotations

import argparse
from typing import Any

_SHELLS = ("bash", "zsh", "tcsh")


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "completion",
        help="print what completes this command line in a shell",
        description="Prints a script for the shell. For bash: jacolbert completion bash > "
        "~/.local/share/bash-completion/completions/jacolbert. For zsh: a file named _jacolbert in a folder of $fpath. "
        "It comes with the extra completion.",
    )
    parser.add_argument("shell", choices=_SHELLS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command.

    Raises:
        MissingExtraError: If shtab is not installed.
    """
    from ..errors import MissingExtraError

    try:
        import shtab
    except ImportError as error:
        raise MissingExtraError("shtab", "completion") from error

    print(shtab.complete(arguments.whole, shell=arguments.shell))
