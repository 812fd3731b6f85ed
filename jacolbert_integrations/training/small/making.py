"""jacolbert-small: a ColBERT for Japanese that begins with multilingual-e5-small."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ...encoding.encoder import JaColBERT
from ...evaluation.metrics import RetrievalMetrics
from ...text.squad import QuestionSet, read_squad
from ..finishing import average_checkpoints, finish
from ..measuring import development_measure
from ..options import RunOptions
from ..outcome import MODEL_FOLDER
from ..pairs import question_pairs, windows
from ..pretrained.reading import PretrainedWeights, read_pretrained
from ..pretrained.student import build_student
from ..recipes import Recipe
from ..records import Example
from ..run import Measure, train
from ..trainer import last_checkpoint
from .card import small_card
from .plan import SmallPlan
from .teaching import taught_examples


def train_small(
    questions: QuestionSet,
    weights: PretrainedWeights,
    plan: SmallPlan,
    work: Path,
    *,
    measure: Measure | None = None,
    options: RunOptions | None = None,
) -> JaColBERT:
    """Trains jacolbert-small from pretrained weights. A run that was stopped goes on where it was.

    Args:
        questions: Passages and questions.
        weights: From :func:`~..pretrained.reading.read_pretrained`.
        plan: How.
        work: Where checkpoints are kept.
        measure: Measures the model while it is trained.
        options: How the run is carried out.

    Raises:
        MissingExtraError: If the training extra is not installed.
        TrainingError: If the run fails; what has been done stays in ``work``.
    """
    options = replace(
        RunOptions() if options is None else options,
        checkpoint_steps=plan.checkpoint_steps,
        keep_checkpoints=plan.averaged,  # the best and the last: what is averaged
    )

    def stage(
        recipe: Recipe, start: Callable[[], JaColBERT], examples: Callable[[JaColBERT], list[Example]]
    ) -> JaColBERT:
        run = work / recipe.name
        if not (run / MODEL_FOLDER).exists():
            student, resume = start(), last_checkpoint(run) is not None
            recipe = recipe.change(seed=plan.seed)
            train(student, examples(student), run, recipe, measure=measure, options=options, resume=resume)
        return average_checkpoints(run)

    cut = windows(questions, plan.window)

    def pairs(student: JaColBERT) -> list[Example]:
        return question_pairs(_short(cut, student, plan))

    def taught(student: JaColBERT) -> list[Example]:
        short = _short(cut, student, plan)
        return taught_examples(question_pairs(short), short.passages, weights, student, plan, work)

    first = stage(plan.contrastive, lambda: _untrained(questions, weights, plan), pairs)
    return stage(plan.distilled, lambda: first, taught)


def make_small(
    files: Sequence[str | Path],
    pretrained: str | Path,
    output: Path,
    plan: SmallPlan,
    work: Path,
    *,
    dev_files: Sequence[str | Path] = (),
    dev_sample: int = 600,
    options: RunOptions | None = None,
) -> str:
    """Trains jacolbert-small, measures it as saved, and writes it with its card and its log.

    Args:
        files: Training files in SQuAD's JSON layout.
        pretrained: The package with the pretrained weights, or the file in it.
        output: The checkpoint's folder; it appears when everything has been written.
        plan: How to train.
        work: Where checkpoints are kept; a run that was stopped goes on from them.
        dev_files: Files of the same layout, held out, to measure on.
        dev_sample: Questions of them that are asked while training; all are at the end.
        options: How the run is carried out.

    Returns:
        The card.

    Raises:
        InputError: If a file cannot be read.
        CheckpointError: If the pretrained weights cannot be.
        MissingExtraError: If the training or evaluation extra is not installed.
        TrainingError: If the run fails; what has been done stays in ``work``.
    """
    questions = read_squad(files)
    development = read_squad(dev_files) if dev_files else None
    measure = None if development is None else development_measure(development, dev_sample)
    trained = train_small(questions, read_pretrained(pretrained), plan, work, measure=measure, options=options)

    asked = questions if development is None else development
    unknown = sum(trained.unknown_tokens([passage.text for passage in asked.passages]))

    def card(measured: Mapping[str, RetrievalMetrics], minutes: float) -> str:
        return small_card(plan, questions, measured, minutes, unknown)

    return finish(
        trained,
        output,
        card,
        runs=[work / plan.contrastive.name, work / plan.distilled.name],
        plan=plan,
        development=development,
        dtype=torch.int8,
    )


def _short(questions: QuestionSet, student: JaColBERT, plan: SmallPlan) -> QuestionSet:
    """Leaves out passages that are too long, with their questions."""
    lengths = student.document_lengths([passage.text for passage in questions.passages])
    passages = [p for p, length in zip(questions.passages, lengths, strict=True) if length <= plan.longest]
    kept = {passage.id for passage in passages}
    return QuestionSet(passages, [q for q in questions.questions if q.passage_id in kept])


def _untrained(questions: QuestionSet, weights: PretrainedWeights, plan: SmallPlan) -> JaColBERT:
    passages = [passage.text for passage in questions.passages]
    sample = random.Random(plan.seed).sample(passages, min(plan.sampled, len(passages)))
    texts = passages + [question.text for question in questions.questions]
    return build_student(weights, texts, plan.student, directions_of=sample)
