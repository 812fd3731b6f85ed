"""What a run leaves behind: a checkpoint, its log and its card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..checkpoints.hub import RUN_MODEL
from ..encoding.encoder import JaColBERT
from ..encoding.saving import save_stanford, whole_directory
from .cards import MetricsTable, ModelFacts, model_card, package_versions, recipe_choices
from .heads import of_dimension
from .recipes import Recipe
from .trainer import save_model

RUN_FILE = "run.json"
MODEL_FOLDER = RUN_MODEL

_TIMES = ("runtime", "samples_per_second", "steps_per_second")


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a run made.

    Attributes:
        model: The trained model, in evaluation mode.
        path: Its checkpoint.
        recipe: The recipe as it was run.
        notes: How the recipe was changed to fit the data, and what else there is to say.
        history: What was logged: a mapping with ``step`` and losses, or metrics with ``eval_`` before their names.
        seconds: How long training took.
    """

    model: JaColBERT
    path: Path
    recipe: Recipe
    notes: tuple[str, ...]
    history: tuple[Mapping[str, float], ...]
    seconds: float


def run_card(facts: ModelFacts, start: str, result: TrainingResult) -> str:
    """Writes the model's card: what the caller says of it, and what the run itself knows.

    Args:
        facts: Name, licence, data.
        start: The model that training started from.
        result: The run.
    """
    measured = [
        {name.removeprefix("eval_"): value for name, value in entry.items() if name.startswith("eval_")}
        | {"step": int(entry["step"])}
        for entry in result.history
        if any(name.startswith("eval_") for name in entry)
    ]
    names = [name for name in (measured[0] if measured else ()) if name not in _TIMES]
    table = MetricsTable(
        ("step", *(name for name in names if name != "step")),
        tuple((entry["step"], *(entry[name] for name in names if name != "step")) for entry in measured),
        "On the development set.",
    )
    return model_card(
        replace(
            facts,
            summary=facts.summary or f"A late-interaction retriever for Japanese, trained from {start}.",
            metrics=facts.metrics + ((table,) if measured else ()),
            recipe=recipe_choices(result.recipe),
            recipe_sources=result.recipe.sources,
            recipe_note="\n".join(f"- {note}" for note in result.notes),
            training_time=f"{result.seconds / 60:.1f} minutes on {result.model.model.device.type}",
            versions=package_versions(),
        )
    )


def write_outcome(result: TrainingResult, output: Path, card: str) -> None:
    """Writes the checkpoint with its log and card, and a checkpoint for each smaller dimension, whole or not at all."""
    model, recipe = result.model, result.recipe
    record = {
        "recipe": {name: value for name, value in asdict(recipe).items() if name != "sources"},
        "notes": list(result.notes),
        "seconds": round(result.seconds, 1),
        "fingerprint": model.fingerprint,
        "history": list(result.history),
    }
    with whole_directory(result.path) as folder:
        save_model(model.model, folder)
        (folder / RUN_FILE).write_text(json.dumps(record, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(card, encoding="utf-8")
    for dimension in recipe.dimensions:
        save_stanford(of_dimension(model.model, dimension), output / f"{MODEL_FOLDER}-{dimension}")
