"""``jacolbert merge``: one checkpoint out of several."""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .terminal import say

if TYPE_CHECKING:
    from ..encoding.encoder import JaColBERT
    from ..training.merging.merged import MergeResult

_SHOWN_FINGERPRINT = 12


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "merge",
        help="merge checkpoints: average, SLERP of two, or a greedy soup",
        description="Merges checkpoints of the same architecture, tokenizer and settings into one, and writes what it "
        "was made of beside it (merge.json).",
    )
    parser.add_argument("members", nargs="+", metavar="MEMBER", help="a checkpoint's directory or hub id")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="where to write the result")
    parser.add_argument(
        "--method",
        choices=("average", "slerp", "greedy"),
        default="average",
        help="%(default)s by default; greedy keeps a member only if the development metric rises",
    )
    parser.add_argument("--weights", nargs="+", type=float, metavar="W", help="average: how much each member counts")
    parser.add_argument("--t", type=float, help="slerp: 0 is the first member, 1 the second (0.5)")
    parser.add_argument(
        "--dev", nargs="+", type=Path, metavar="FILE", help="greedy: SQuAD-style JSON files to measure on"
    )
    parser.add_argument("--metric", choices=("mrr@10", "recall@1"), help="greedy: what to measure (mrr@10)")
    parser.add_argument("--sample", type=int, metavar="N", help="greedy: ask only N questions, at random (seed 0)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    _check_options(arguments)
    from ..training.merging.averages import average, slerp

    members, output = arguments.members, arguments.output
    if arguments.method == "greedy":
        result = _greedy(arguments)
    elif arguments.method == "slerp":
        first, second = members
        result = slerp(first, second, output, t=0.5 if arguments.t is None else arguments.t)
    else:
        result = average(members, output, weights=arguments.weights)
    say(_table(result))
    say(f"\n{output}: {result.method} of {len(result.members)}, fingerprint {result.fingerprint[:_SHOWN_FINGERPRINT]}")


def _check_options(arguments: argparse.Namespace) -> None:
    from ..errors import MergeError

    owners = {"weights": "average", "t": "slerp", "dev": "greedy", "metric": "greedy", "sample": "greedy"}
    for option, method in owners.items():
        if getattr(arguments, option) is not None and method != arguments.method:
            raise MergeError(f"--{option} is for --method {method}, but the method is {arguments.method}.")
    if arguments.method == "greedy" and arguments.dev is None:
        raise MergeError("--method greedy needs --dev with SQuAD-style JSON files to measure the members on.")
    if arguments.method == "slerp" and len(arguments.members) != 2:
        raise MergeError(
            f"--method slerp merges two checkpoints, but got {len(arguments.members)}. Merge them in turn."
        )
    if arguments.sample is not None and arguments.sample < 1:
        raise MergeError(f"--sample is {arguments.sample}, but at least 1 question must be asked.")


def _greedy(arguments: argparse.Namespace) -> MergeResult:
    from ..errors import InputError
    from ..evaluation.retrieval import evaluate_model
    from ..text.squad import read_squad
    from ..training.merging.soup import greedy_soup

    development = read_squad(arguments.dev)
    asked = development.questions
    if not asked:
        raise InputError(f"there is no question in {', '.join(map(str, arguments.dev))}. Give files with questions.")
    if arguments.sample is not None and arguments.sample < len(asked):
        asked = random.Random(0).sample(asked, arguments.sample)
    metric = arguments.metric or "mrr@10"

    def measure(model: JaColBERT) -> float:
        metrics = evaluate_model(model, development, asked)
        return metrics.mrr_at_10 if metric == "mrr@10" else metrics.recall[1]

    say(f"{len(asked):,} questions over {len(development.passages):,} passages, measured by {metric}\n")
    return greedy_soup(arguments.members, arguments.output, evaluate=measure, metric=metric)


def _table(result: MergeResult) -> str:
    """Formats one line per member: its weight, or what the greedy soup did with it."""
    if result.steps:
        width = max(len(step.member.name) for step in result.steps)
        lines = [f"{'':{width}}   alone    soup"]
        lines += [
            f"{step.member.name:{width}}{step.alone:8.4f}{step.with_it:8.4f}  {'kept' if step.kept else 'left out'}"
            for step in result.steps
        ]
        return "\n".join(lines)
    width = max(len(member.name) for member in result.members)
    shares = result.weights if result.weights is not None else (1 - (result.t or 0.0), result.t or 0.0)
    heading = "weight" if result.weights is not None else "1-t, t"
    lines = [f"{'':{width}}{heading:>8}  fingerprint"]
    lines += [
        f"{member.name:{width}}{share:8.3f}  {member.fingerprint[:_SHOWN_FINGERPRINT]}"
        for member, share in zip(result.members, shares, strict=True)
    ]
    return "\n".join(lines)
