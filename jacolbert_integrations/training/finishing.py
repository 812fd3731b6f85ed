"""How the making of a model from raw text ends: measured as saved, with its card and its log, whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..encoding.encoder import JaColBERT
from ..encoding.saving import save_stanford, whole_directory
from ..evaluation.jsquad import load_jsquad
from ..evaluation.metrics import RetrievalMetrics
from ..text.squad import QuestionSet
from .cards import DataSource
from .measuring import measure_whole
from .merging.averages import average
from .merging.members import PROVENANCE_FILE
from .outcome import MODEL_FOLDER, RUN_FILE

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Card = Callable[[Mapping[str, RetrievalMetrics], float], str]
"""What was measured, by the name of the set, and the minutes of training, to the card."""

MERGED = "merged"


def average_checkpoints(run: Path) -> JaColBERT:
    """Writes the mean of a run's checkpoints to ``<run>/merged``, and loads it."""
    checkpoints = sorted(run.glob("checkpoint-*"), key=lambda folder: int(folder.name.partition("-")[2]))
    average(checkpoints, run / MERGED)
    return JaColBERT.from_pretrained(run / MERGED, dtype=torch.float32)


def finish(
    trained: JaColBERT,
    output: Path,
    card: Card,
    *,
    runs: Sequence[Path],
    plan: DataclassInstance,
    development: QuestionSet | None,
    dtype: torch.dtype,
) -> str:
    """Saves a model of :func:`average_checkpoints`, measures what was saved, and writes it with its card and its log.

    Args:
        trained: The model.
        output: The checkpoint's folder; it appears when everything has been written.
        card: Writes the card.
        runs: The folders of the training runs, one after the other; ``trained`` was averaged in the last.
        plan: Every choice that made the model; it goes into the log.
        development: Held-out questions to measure on, beside JSQuAD.
        dtype: What to store the weights as.

    Returns:
        The card.
    """
    logs = [
        {
            "run": json.loads((run / MODEL_FOLDER / RUN_FILE).read_text(encoding="utf-8")),
            "merged": json.loads((run / MERGED / PROVENANCE_FILE).read_text(encoding="utf-8")),
        }
        for run in runs
    ]
    folder = runs[-1].parent / "saved"
    save_stanford(trained.model, folder, dtype=dtype)
    saved = JaColBERT.from_pretrained(folder, dtype=torch.float32)
    measured = measure_whole("JSQuAD valid", saved, load_jsquad())
    measured |= measure_whole("JSQuAD valid, passages with their titles", saved, load_jsquad(titles=True))
    if development is not None:
        measured |= measure_whole("JaQuAD dev", saved, development)
    written = card(measured, sum(log["run"]["seconds"] for log in logs) / 60)
    (folder / "README.md").write_text(written, encoding="utf-8")
    told = json.dumps({"plan": asdict(plan), "earlier": logs[:-1], **logs[-1]}, ensure_ascii=False, indent=1)
    (folder / "training-log.json").write_text(told + "\n", encoding="utf-8")
    with whole_directory(output) as finished:
        shutil.copytree(folder, finished, dirs_exist_ok=True)
    return written


def data_sources(questions: QuestionSet) -> tuple[DataSource, ...]:
    """Returns what such a model is trained, developed and measured on, for its card.

    Args:
        questions: What it was trained on.
    """
    jaquad = "Skelter Labs, from Japanese Wikipedia"
    trained_on = f"{len(questions.passages):,} passages, {len(questions.questions):,} questions"
    return (
        DataSource(name="JaQuAD, train split", licence="CC BY-SA 3.0", size=trained_on, origin=jaquad),
        DataSource(name="JaQuAD, dev split", licence="CC BY-SA 3.0", use="development", origin=jaquad),
        DataSource(
            name="JSQuAD valid (JGLUE 1.3)",
            licence="CC BY-SA 4.0",
            use="evaluation",
            origin="Yahoo Japan Corporation and Waseda University",
        ),
    )
