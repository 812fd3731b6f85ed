"""The process of ``jacolbert``: it can be interrupted from its first import on, without a traceback."""

from __future__ import annotations

import sys


def run() -> int:
    """Runs the command line that this process was started with.

    Returns:
        The exit status, as :func:`~jacolbert_integrations.cli.main.main` says.
    """
    try:
        from .main import main

        return main()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(run())
