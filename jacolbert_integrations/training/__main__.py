"""``python -m jacolbert_integrations.training``: trains the bundled mini model from raw text."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import JaColBERTError
from .mini import make_mini
from .recipes import MiniRecipe


def main() -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m jacolbert_integrations.training", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="training files: JSON in SQuAD's layout")
    parser.add_argument("--output", required=True, type=Path, help="where to write the checkpoint")
    parser.add_argument("--dev", nargs="*", type=Path, default=[], help="files of the same layout to measure it on")
    parser.add_argument("--steps", type=int, help="another number of optimizer steps than the recipe's")
    parser.add_argument("--seed", type=int, help="another seed than the recipe's")
    arguments = parser.parse_args()
    changes = {name: value for name in ("steps", "seed") if (value := getattr(arguments, name)) is not None}
    try:
        make_mini(arguments.files, arguments.output, MiniRecipe(**changes), dev_files=arguments.dev)
    except JaColBERTError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
