"""The card of the bundled mini model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import torch

from ...evaluation.metrics import RetrievalMetrics
from ...text.squad import QuestionSet
from ..cards import ModelFacts, model_card, package_versions, recipe_choices, retrieval_table
from ..finishing import data_sources
from .plan import MiniPlan


def mini_card(
    plan: MiniPlan,
    questions: QuestionSet,
    measured: Mapping[str, RetrievalMetrics],
    minutes: float,
    note: str = "",
) -> str:
    """Writes the mini model's card, in Markdown.

    Args:
        plan: What it was trained by.
        questions: What it was trained on.
        measured: Name of a question set, and of what else took part, to what was measured on it.
        minutes: How long training took.
        note: What to know about the figures.
    """
    facts = ModelFacts(
        name="jacolbert-mini",
        licence="cc-by-sa-3.0",
        summary=(
            "A very small ColBERT for Japanese, trained from scratch. It is for trying the package without a download, "
            "and for its tests. For real work use "
            "[answerdotai/JaColBERTv2.5](https://huggingface.co/answerdotai/JaColBERTv2.5)."
        ),
        usage='from jacolbert_integrations import JaColBERT\n\nmodel = JaColBERT.from_pretrained("jacolbert-mini")',
        metrics=(retrieval_table(measured, note),),
        data=data_sources(questions),
        data_note=(
            "The weights and the vocabulary are derived from JaQuAD's train split, and are under CC BY-SA 3.0 too. "
            "JSQuAD is for measuring only: neither weights nor vocabulary saw it, and no choice was made by it."
        ),
        recipe=_choices(plan),
        recipe_note=(
            "It begins with word vectors that weigh words by how rare they are, and with a first layer that mixes each "
            "word with its neighbours. It is trained contrastively: questions "
            "with the window that answers them, and windows that BM25 ranks high as hard negatives. The result is the "
            "mean of the checkpoint that measured best on the development sample and of the last."
        ),
        training_time=f"{minutes:.0f} minutes on {torch.get_num_threads()} CPU threads",
        versions=package_versions(("sentence-transformers", "transformers", "torch")),
        reproduce=(
            "python -m jacolbert_integrations.training jaquad_train_*.json --dev jaquad_dev_*.json --output mini",
        ),
        reproduce_note=(
            "The losses and the measurements of the run are in `training-log.json`. The vocabulary holds MeCab words "
            "(unidic-lite), characters and pairs of them. Weights are stored as float16 and loaded as float32. The "
            "query-length rule is recorded in `artifact.metadata` as `query_length`: queries in training were padded "
            "by the same rule."
        ),
    )
    return model_card(facts)


def _choices(plan: MiniPlan) -> dict[str, object]:
    choices: dict[str, object] = asdict(plan.architecture)
    choices |= {name: getattr(plan, name) for name in ("window", "ranks", "checkpoint_steps", "averaged", "seed")}
    chosen = recipe_choices(plan.contrastive).items()
    return choices | {
        f"{plan.contrastive.name}: {name}": value for name, value in chosen if name not in ("name", "seed")
    }
