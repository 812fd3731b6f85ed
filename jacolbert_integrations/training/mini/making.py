"""The bundled mini model: a small ColBERT made from Japanese questions and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ...encoding.encoder import JaColBERT
from ...evaluation.metrics import RetrievalMetrics
from ...text.squad import QuestionSet, read_squad
from ..architecture import build_untrained
from ..finishing import average_checkpoints, finish
from ..measuring import development_measure
from ..negatives import Source, mine_negatives
from ..options import RunOptions
from ..outcome import MODEL_FOLDER
from ..pairs import question_pairs, windows
from ..rankers import BM25Ranker
from ..records import Example
from ..run import Measure, train
from ..trainer import last_checkpoint
from .card import mini_card
from .plan import MiniPlan


def train_mini(
    questions: QuestionSet,
    plan: MiniPlan,
    work: Path,
    *,
    measure: Measure | None = None,
    options: RunOptions | None = None,
) -> JaColBERT:
    """Trains the mini model from raw text. A run that was stopped goes on where it was.

    Args:
        questions: Passages and questions.
        plan: How.
        work: Where checkpoints and negatives are kept.
        measure: Measures the model while it is trained.
        options: How the runs are carried out.

    Raises:
        MissingExtraError: If the training or evaluation extra is not installed.
        TrainingDataError: If no question has enough negatives.
        TrainingError: If a stage fails; what has been done stays in ``work``.
    """
    texts = [p.text for p in questions.passages] + [q.text for q in questions.questions]
    model = build_untrained(texts, replace(plan.architecture, seed=plan.seed))
    run = work / plan.contrastive.name
    if not (run / MODEL_FOLDER).exists():
        options = replace(
            RunOptions() if options is None else options,
            checkpoint_steps=plan.checkpoint_steps,
            keep_checkpoints=plan.averaged,  # the best and the last: what is averaged
        )
        recipe, resume = plan.contrastive.change(seed=plan.seed), last_checkpoint(run) is not None
        train(model, _examples(questions, plan, work), run, recipe, measure=measure, options=options, resume=resume)
    return average_checkpoints(run)


def make_mini(
    files: Sequence[str | Path],
    output: Path,
    plan: MiniPlan,
    work: Path,
    *,
    dev_files: Sequence[str | Path] = (),
    dev_sample: int = 600,
    options: RunOptions | None = None,
) -> str:
    """Trains the mini model, measures it as saved, and writes it with its card and its log.

    Args:
        files: Training files in SQuAD's JSON layout.
        output: The checkpoint's folder; it appears when everything has been written.
        plan: How to train.
        work: Where checkpoints and negatives are kept; a run that was stopped goes on from them.
        dev_files: Files of the same layout, held out, to measure on.
        dev_sample: Questions of them that are asked while training; all are at the end.
        options: How the runs are carried out.

    Returns:
        The card.

    Raises:
        InputError: If a file cannot be read.
        TrainingDataError: If no question has enough negatives.
        MissingExtraError: If the training or evaluation extra is not installed.
        TrainingError: If a stage fails; what has been done stays in ``work``.
    """
    questions = read_squad(files)
    development = read_squad(dev_files) if dev_files else None
    measure = None if development is None else development_measure(development, dev_sample)
    trained = train_mini(questions, plan, work, measure=measure, options=options)

    def card(measured: Mapping[str, RetrievalMetrics], minutes: float) -> str:
        return mini_card(plan, questions, measured, minutes)

    return finish(
        trained,
        output,
        card,
        runs=[work / plan.contrastive.name],
        plan=plan,
        development=development,
        dtype=torch.float16,  # float16 halves the package; float32 comes back at loading
    )


def _examples(questions: QuestionSet, plan: MiniPlan, work: Path) -> list[Example]:
    """Questions with the window that answers them, and with windows that BM25 takes for the answer."""
    cut = windows(questions, plan.window)
    ways = plan.contrastive.ways
    mined = mine_negatives(
        question_pairs(cut),
        cut.passages,
        [Source(ranker=BM25Ranker([p.text for p in cut.passages]), count=ways - 1, window=plan.ranks)],
        file=work / "negatives.jsonl",
        same_document=True,  # the windows beside the right one are what it has to be told from
        seed=plan.seed,
    )
    return [example for example in mined.examples if example.ways >= ways]
