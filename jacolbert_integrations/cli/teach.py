"""``jacolbert teach``: a teacher's scores for the passages of a training file."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .model import add_loading, load
from .negatives import check_output
from .terminal import say
from .usage import UsageError

if TYPE_CHECKING:
    from ..training.records import Example
    from ..training.teachers import Teacher

_KINDS = {"bm25": 0, "cross-encoder": 1, "dense": 1, "late-interaction": 1, "precomputed": 1}  # kind to most values
_NAMED = ("dense", "precomputed")  # those that have no default


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "teach",
        help="score training passages with a cross-encoder or another teacher",
        description="Fills in teacher scores, for distillation. Several teachers are joined as the mean of their "
        "min-max normalised scores. A run that was stopped goes on from the journals beside the output.",
    )
    parser.add_argument(
        "--examples", required=True, type=Path, metavar="FILE", help="queries with passages: JSON lines"
    )
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="where to write the examples")
    parser.add_argument(
        "--teacher",
        nargs="+",
        action="append",
        metavar=("KIND", "MODEL"),
        help="cross-encoder [MODEL], late-interaction [MODEL], dense MODEL, bm25, or precomputed FILE; once for each "
        "teacher (default: cross-encoder BAAI/bge-reranker-v2-m3)",
    )
    parser.add_argument("--normalize", action="store_true", help="min-max normalise the scores of one teacher too")
    parser.add_argument("--sigmoid", action="store_true", help="apply a sigmoid to the logits of cross-encoders")
    add_loading(parser)
    parser.add_argument("--batch-size", type=int, default=256, metavar="N", help="pairs between writes (default: 256)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    from ..training.data.examples import read_examples, write_examples
    from ..training.ensembles import ensemble, is_constant
    from ..training.teaching import teach

    check_output(arguments.output)
    specifications = [["cross-encoder"]] if arguments.teacher is None else arguments.teacher
    for specification in specifications:
        _check(specification)
    examples = list(read_examples(arguments.examples))
    taught = []
    for specification in specifications:
        teacher = make_teacher(specification, examples, arguments)
        file = _journal(arguments.output, specification[0], teacher)
        taught.append(teach(examples, teacher, file=file, batch_size=arguments.batch_size))
        constant = sum(map(is_constant, taught[-1]))
        say(f"{teacher.name}: {len(examples):,} queries scored, {constant:,} with all passages alike")
    write_examples(arguments.output, ensemble(*taught) if len(taught) > 1 or arguments.normalize else taught[0])
    say(f"written to {arguments.output}")


def make_teacher(specification: list[str], examples: list[Example], arguments: argparse.Namespace) -> Teacher:
    """Builds the teacher that the words after ``--teacher`` describe.

    Args:
        specification: The words.
        examples: What will be scored.
        arguments: Of the command: where models compute, and how.

    Raises:
        InputError: If they describe none.
    """
    from ..training.teachers import (
        DEFAULT_CROSS_ENCODER,
        BM25Teacher,
        CrossEncoderTeacher,
        DenseTeacher,
        LateInteractionTeacher,
        PrecomputedTeacher,
    )

    _check(specification)
    kind, value = specification[0], specification[1] if len(specification) > 1 else None
    if kind == "bm25":
        return BM25Teacher(list(dict.fromkeys(passage for example in examples for passage in example.passages)))
    if kind == "late-interaction":
        return LateInteractionTeacher(load(arguments, value))
    if kind == "dense" and value is not None:
        return DenseTeacher.from_pretrained(value, device=arguments.device)
    if kind == "precomputed" and value is not None:
        return PrecomputedTeacher.from_file(value)
    name = DEFAULT_CROSS_ENCODER if value is None else value
    activation: Literal["identity", "sigmoid"] = "sigmoid" if arguments.sigmoid else "identity"
    return CrossEncoderTeacher(name, activation=activation, device=arguments.device)


def _check(specification: list[str]) -> None:

    kind, values = specification[0], specification[1:]
    if kind not in _KINDS or len(values) > _KINDS[kind] or (kind in _NAMED and not values):
        raise UsageError(
            f"--teacher {' '.join(specification)} is no teacher. Give cross-encoder [MODEL], late-interaction [MODEL], "
            "dense MODEL, bm25 or precomputed FILE."
        )


def _journal(output: Path, kind: str, teacher: Teacher) -> Path:
    """Opens a journal for each teacher, so that ensembles, or a change of teachers, never mix their scores."""
    return output.with_name(
        f"{output.name}.{kind}-{hashlib.sha256(teacher.fingerprint.encode()).hexdigest()[:8]}.journal"
    )
