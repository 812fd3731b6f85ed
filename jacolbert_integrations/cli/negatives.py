"""``jacolbert negatives``: hard negatives for the queries of a training file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .model import add_model, load
from .terminal import say
from .usage import UsageError

if TYPE_CHECKING:
    from ..text.squad import Passage
    from ..training.negatives import MinedNegatives, Source
    from ..training.records import Example


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "negatives",
        help="mine hard negatives with BM25 and a late-interaction or dense model",
        description="Gives each query passages that are ranked high and are no answers. A run that was stopped goes "
        "on from the journal beside the output when it is started again.",
    )
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--squad", nargs="+", type=Path, metavar="FILE", help="questions and passages: SQuAD-style JSON")
    given.add_argument("--examples", type=Path, metavar="FILE", help="queries with their positives: JSON lines")
    parser.add_argument(
        "--corpus",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="passages to mine from, beside --examples: SQuAD-style JSON (default: the passages of the examples)",
    )
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="where to write the examples")
    add_model(parser)
    parser.add_argument("--dense", metavar="MODEL", help="a single-vector model of sentence-transformers in its place")
    parser.add_argument(
        "--model-count", type=int, default=25, metavar="N", help="from the model (default: 25; 0: none)"
    )
    parser.add_argument("--bm25", type=int, default=10, metavar="N", help="from BM25 (default: 10; 0: none)")
    parser.add_argument(
        "--window",
        nargs=2,
        type=int,
        default=(10, 100),
        metavar=("FIRST", "LAST"),
        help="ranks to take them from, both included (default: 10 100)",
    )
    parser.add_argument(
        "--sampling", choices=("random", "top"), default="random", help="of the window (default: random)"
    )
    parser.add_argument("--margin", type=float, metavar="SCORE", help="least distance below the positive's score")
    parser.add_argument(
        "--relative-margin", type=float, metavar="SHARE", help="the same as a share of the positive's score, as 0.05"
    )
    parser.add_argument("--same-document", action="store_true", help="let the positive's own document give negatives")
    parser.add_argument("--seed", type=int, default=42, help="of the sampling (default: 42)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    from ..training.data.examples import write_examples
    from ..training.negatives import mine_negatives

    check_output(arguments.output)
    if arguments.model is not None and arguments.dense is not None:
        raise UsageError("give --model or --dense, not both.")
    examples, corpus = _data(arguments)
    mined = mine_negatives(
        examples,
        corpus,
        _sources(arguments, corpus),
        file=arguments.output.with_name(f"{arguments.output.name}.journal"),
        same_document=arguments.same_document,
        seed=arguments.seed,
    )
    write_examples(arguments.output, mined.examples)
    say(report(mined, len(corpus)))
    say(f"written to {arguments.output}")


def check_output(file: Path) -> None:
    """Refuses a name that examples cannot be written to, before the work and not after it.

    Raises:
        InputError: If it does not end with ``.jsonl``, perhaps with ``.gz`` behind it.
    """
    if not file.name.removesuffix(".gz").endswith(".jsonl"):
        raise UsageError(f"--output is {file}, but it must end with .jsonl or .jsonl.gz.")


def report(mined: MinedNegatives, passages: int) -> str:
    """Describes what was mined, in words."""
    removed = ", ".join(f"{guard.replace('_', ' ')} {count:,}" for guard, count in mined.removed.items())
    return (
        f"{mined.found:,} negatives from {passages:,} passages for {len(mined.examples):,} queries\n"
        f"{mined.short:,} queries have fewer than {mined.wanted}, {mined.empty:,} of them none\n"
        f"removed by guards: {removed}"
    )


def _data(arguments: argparse.Namespace) -> tuple[list[Example], list[Passage]]:
    from ..text.squad import Passage, read_squad
    from ..training.data.examples import read_examples
    from ..training.pairs import question_pairs

    if arguments.squad:
        if arguments.corpus:
            raise UsageError("--corpus goes with --examples; with --squad the corpus is that of its files.")
        questions = read_squad(arguments.squad)
        return question_pairs(questions), questions.passages
    examples = list(read_examples(arguments.examples))
    if arguments.corpus:
        return examples, read_squad(arguments.corpus).passages
    passages: dict[str, Passage] = {}
    for example in examples:  # only of a positive is the document known
        passages.setdefault(example.passages[0], Passage(f"p{len(passages)}", example.group or "", example.passages[0]))
    for example in examples:
        for text in example.passages[1:]:
            passages.setdefault(text, Passage(f"p{len(passages)}", "", text))
    return examples, list(passages.values())


def _sources(arguments: argparse.Namespace, corpus: list[Passage]) -> list[Source]:
    from ..training.negatives import Source
    from ..training.rankers import BM25Ranker, DenseRanker, LateInteractionRanker, Ranker

    texts = [passage.text for passage in corpus]
    rankers: list[tuple[Ranker, int]] = []
    if arguments.model_count and arguments.dense is not None:
        rankers.append(
            (DenseRanker.from_pretrained(arguments.dense, texts, device=arguments.device), arguments.model_count)
        )
    elif arguments.model_count:
        rankers.append((LateInteractionRanker(load(arguments), texts), arguments.model_count))
    if arguments.bm25:
        rankers.append((BM25Ranker(texts), arguments.bm25))
    return [
        Source(
            ranker=ranker,
            count=count,
            window=tuple(arguments.window),
            absolute_margin=arguments.margin,
            relative_margin=arguments.relative_margin,
            sampling=arguments.sampling,
        )
        for ranker, count in rankers
    ]
