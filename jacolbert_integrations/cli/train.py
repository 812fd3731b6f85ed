"""``jacolbert train``: a better retriever from a question-answer set, tuples, or passages alone."""

from __future__ import annotations

import argparse
import random
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .terminal import say
from .usage import UsageError

if TYPE_CHECKING:
    from datasets import Dataset

    from ..encoding.encoder import JaColBERT
    from ..training.outcome import TrainingResult
    from ..training.recipes import Recipe
    from ..training.records import Example
    from ..training.run import Measure


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "train",
        help="train a model: contrastively, by distillation, or by a published recipe",
        description="Trains a model on questions with their passages, on examples with hard negatives or a teacher's "
        "scores, on published tuples, or on passages alone, whose sentences then are the queries. "
        "On several GPUs: accelerate launch -m jacolbert_integrations.cli.main train ...",
    )
    data = parser.add_argument_group("data: one of")
    data.add_argument("--squad", nargs="+", type=Path, metavar="FILE", help="questions and passages: SQuAD-style JSON")
    data.add_argument("--examples", nargs="+", type=Path, metavar="FILE", help="pairs, triplets or scored n-way tuples")
    data.add_argument(
        "--tuples", type=Path, metavar="FILE", help="n-way tuples by ids, with --queries and --collection"
    )
    data.add_argument(
        "--passages", type=Path, metavar="FILE", help="passages alone: lines of id, tab and text, or JSONL"
    )
    more = parser.add_argument_group("more of the data")
    more.add_argument("--queries", type=Path, metavar="FILE", help="the texts of --tuples' query ids")
    more.add_argument("--collection", type=Path, metavar="FILE", help="the texts of --tuples' passage ids")
    more.add_argument(
        "--window", type=int, metavar="N", help="--squad: cut passages into windows of about N characters"
    )
    more.add_argument("--mix", type=Path, metavar="FILE", help="old examples to mix in, against forgetting")
    more.add_argument("--mix-share", type=float, metavar="S", help="old examples for each new one (default: 0.1)")
    more.add_argument(
        "--skip-bad-rows", action="store_true", help="leave out rows that cannot be used, and say how many"
    )
    how = parser.add_argument_group("how")
    how.add_argument("--recipe", default="pairs", help="pairs (the default), v1, v2 or v2.5")
    how.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", help="change fields of the recipe")
    how.add_argument("--show", action="store_true", help="print the recipe with the source of each field, and stop")
    how.add_argument("--model", metavar="MODEL", help="what to start from (default: the recipe's base)")
    how.add_argument("--new-projection", action="store_true", help="--model is a pretrained encoder, no ColBERT yet")
    run_ = parser.add_argument_group("the run")
    run_.add_argument("--output", type=Path, metavar="DIR", help="the run's folder; the model will be in DIR/model")
    run_.add_argument("--name", help="the model's name on its card (default: DIR's)")
    run_.add_argument("--licence", default="unknown", help="of the weights, as the hub abbreviates it")
    run_.add_argument("--resume", action="store_true", help="go on from the last checkpoint in DIR")
    run_.add_argument("--dev", nargs="+", type=Path, metavar="FILE", help="SQuAD-style JSON to measure MRR@10 on")
    run_.add_argument("--dev-sample", type=int, metavar="N", help="ask only N of its questions, at random (seed 0)")
    run_.add_argument("--evaluate-every", type=int, metavar="N", help="steps (default: with each checkpoint)")
    run_.add_argument("--checkpoint-every", type=int, metavar="N", help="steps (default: at the end only)")
    run_.add_argument("--keep-best", action="store_true", help="the result is the checkpoint that measured best")
    run_.add_argument("--patience", type=int, metavar="N", help="stop after N evaluations without a better one")
    run_.add_argument("--device-batch-size", type=int, metavar="N", help="queries that a device takes at once")
    run_.add_argument("--cached", action="store_true", help="large in-batch losses in little memory (GradCache)")
    run_.add_argument("--precision", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    run_.add_argument("--tensorboard", action="store_true", help="write a log for TensorBoard to DIR/tensorboard")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    from ..training.recipes import parse, recipe

    chosen = recipe(arguments.recipe).change(**dict(parse(text) for text in arguments.set))
    if arguments.show:
        say(shown(chosen))
        return
    given = [name for name in ("squad", "examples", "tuples", "passages") if getattr(arguments, name) is not None]
    if len(given) != 1:
        raise UsageError(f"give one of --squad, --examples, --tuples and --passages; got {given or 'none'}.")
    if arguments.output is None:
        raise UsageError("give the run's folder: --output DIR.")
    from ..training.cards import ModelFacts
    from ..training.options import RunOptions
    from ..training.run import train

    examples = _examples(arguments, chosen)
    options = RunOptions(
        device_batch_size=arguments.device_batch_size,
        cached=arguments.cached,
        precision=arguments.precision,
        checkpoint_steps=arguments.checkpoint_every,
        evaluation_steps=arguments.evaluate_every,
        keep_best=arguments.keep_best,
        patience=arguments.patience,
        tensorboard=arguments.tensorboard,
    )
    model = _model(arguments, chosen)
    measure = None if arguments.dev is None else _measure(arguments.dev, arguments.dev_sample)
    say(f"{len(examples):,} examples, recipe {chosen.name}, starting from {model.name}")
    facts = ModelFacts(
        name=arguments.output.name if arguments.name is None else arguments.name,
        licence=arguments.licence,
        reproduce=(shlex.join(["jacolbert", *sys.argv[1:]]),),
    )
    result = train(
        model,
        examples,
        arguments.output,
        chosen,
        measure=measure,
        options=options,
        facts=facts,
        resume=arguments.resume,
    )
    say(report(result))


def shown(recipe: Recipe) -> str:
    """Formats the recipe as a table: each field, its value and its source."""
    names = [item.name for item in fields(recipe) if item.name not in ("name", "sources")]
    values = [(name, _value(getattr(recipe, name)), recipe.sources.get(name, "")) for name in names]
    rows = [("field", "value", "source"), *values]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"{name:{widths[0]}}  {value:{widths[1]}}  {source}".rstrip() for name, value, source in rows]
    return "\n".join([f"recipe {recipe.name}", *lines])


def report(result: TrainingResult) -> str:
    """Describes the outcome of a run."""
    lines = [f"note: {note}" for note in result.notes]
    measured = [(entry["step"], entry["eval_mrr_at_10"]) for entry in result.history if "eval_mrr_at_10" in entry]
    lines += [f"step {int(step):,}: MRR@10 {value:.3f}" for step, value in measured]
    lines.append(f"{result.recipe.steps:,} steps in {result.seconds:.0f} s; the model is in {result.path}")
    return "\n".join(lines)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}:{weight:g}" for name, weight in value.items())
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _examples(arguments: argparse.Namespace, recipe: Recipe) -> Sequence[Example] | Dataset:

    if arguments.tuples is not None:
        return _tuples(arguments, recipe)
    found: list[Example]
    if arguments.squad is not None:
        found = _questions(arguments.squad, arguments.window)
    elif arguments.passages is not None:
        found = _cloze(arguments.passages, recipe.seed)
    else:
        found = [example for file in arguments.examples for example in _read(file, arguments.skip_bad_rows)]
    if arguments.mix is not None:
        from ..training.mixing import V25_SHARE, mix

        share = V25_SHARE if arguments.mix_share is None else arguments.mix_share
        found = mix(found, _read(arguments.mix, arguments.skip_bad_rows), share=share, seed=recipe.seed)
    elif arguments.mix_share is not None:
        raise UsageError("--mix-share needs --mix FILE.")
    return found


def _read(file: Path, skip: bool) -> list[Example]:
    from ..training.data.examples import read_examples
    from ..training.data.rows import BadRows

    skipped = BadRows() if skip else None
    return list(read_examples(file, skipped=skipped))


def _questions(files: Sequence[Path], window: int | None) -> list[Example]:
    from ..text.squad import read_squad
    from ..training.pairs import question_pairs, windows

    questions = read_squad(files)
    return question_pairs(questions if window is None else windows(questions, window))


def _cloze(file: Path, seed: int) -> list[Example]:
    from ..training.pairs import inverse_cloze_pairs, read_passages

    questions = read_passages(file)
    return inverse_cloze_pairs(questions, len(questions.passages), cut=0.7, rng=random.Random(seed))


def _tuples(arguments: argparse.Namespace, recipe: Recipe) -> Dataset:
    from ..training.data.nway import nway_dataset
    from ..training.data.rows import BadRows

    if arguments.queries is None or arguments.collection is None:
        raise UsageError("--tuples holds ids: give their texts with --queries FILE and --collection FILE.")
    if arguments.mix is not None:
        raise UsageError("--mix goes with --squad, --examples or --passages; join files of tuples beforehand.")
    return nway_dataset(
        arguments.tuples,
        arguments.queries,
        arguments.collection,
        ways=recipe.ways,
        cache_dir=arguments.output / "tables",
        skipped=BadRows() if arguments.skip_bad_rows else None,
    )


def _model(arguments: argparse.Namespace, recipe: Recipe) -> JaColBERT:
    from ..encoding.encoder import JaColBERT
    from ..training.architecture import from_backbone

    start = recipe.base if arguments.model is None else arguments.model
    if arguments.new_projection:
        if start is None:
            raise UsageError("--new-projection needs a pretrained encoder: --model NAME.")
        return from_backbone(start, document_maxlen=recipe.document_maxlen, seed=recipe.seed)
    return JaColBERT.from_pretrained(start)


def _measure(files: Sequence[Path], sample: int | None) -> Measure:
    from ..evaluation.retrieval import evaluate_model
    from ..text.squad import read_squad

    questions = read_squad(files)
    asked = questions.questions
    if sample is not None and sample < len(asked):
        asked = random.Random(0).sample(asked, max(sample, 1))

    def measure(model: JaColBERT) -> dict[str, float]:
        found = evaluate_model(model, questions, asked, show_progress_bar=False)
        return {"mrr_at_10": found.mrr_at_10, **{f"recall_at_{k}": value for k, value in found.recall.items()}}

    return measure
