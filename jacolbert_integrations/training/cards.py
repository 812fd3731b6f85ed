"""The card that lies beside a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version

import torch

from ..evaluation.metrics import RetrievalMetrics
from ..squad import QuestionSet
from .recipes import MiniRecipe

_CARD = """\
---
language: ja
license: cc-by-sa-3.0
pipeline_tag: feature-extraction
tags: [ColBERT, late-interaction, retrieval]
---

# jacolbert-mini

A very small ColBERT for Japanese, trained from scratch. It is for trying the package without a download, and for
its tests. For real work use [answerdotai/JaColBERTv2.5](https://huggingface.co/answerdotai/JaColBERTv2.5).

## Retrieval, measured as saved

{table}

JSQuAD valid (JGLUE 1.3, Yahoo Japan Corporation and Waseda University, CC BY-SA 4.0) is for measuring only: neither
weights nor vocabulary saw it. While the recipe was being developed, results were watched on JaQuAD's dev split and on
400 of JSQuAD's questions.

## Data

{passages:,} passages and {questions:,} questions of JaQuAD's train split (Skelter Labs, from Japanese Wikipedia,
CC BY-SA 3.0). The weights and the vocabulary are derived from it, and are under CC BY-SA 3.0 too.

## Recipe

{recipe}

In-batch negatives over batches made of the same articles; passages cut into windows of whole sentences; question
pairs and inverse-cloze pairs. Trained in {minutes:.0f} minutes on {threads} CPU threads, with sentence-transformers
{sentence_transformers}, transformers {transformers} and torch {torch_version}.

## How to make it again

```
python -m jacolbert_integrations.training jaquad_train_*.json --dev jaquad_dev_*.json --output mini
```

The vocabulary holds MeCab words (unidic-lite) and characters. Weights are stored as float16 and loaded as float32.
The query-length rule is recorded in `artifact.metadata` as `query_length`: queries in training were padded by the
same rule.
"""


def mini_card(
    recipe: MiniRecipe, questions: QuestionSet, measured: Mapping[str, RetrievalMetrics], minutes: float
) -> str:
    """The mini model's card, in Markdown.

    Args:
        recipe: What it was trained by.
        questions: What it was trained on.
        measured: Name of a question set to what was measured on it.
        minutes: How long training took.
    """
    rows = [
        f"| {name} | {m.questions:,} | {m.recall[1]:.3f} | {m.recall[5]:.3f} | {m.recall[10]:.3f} | {m.mrr_at_10:.3f} |"
        for name, m in measured.items()
    ]
    table = ["| set | questions | R@1 | R@5 | R@10 | MRR@10 |", "|---|---|---|---|---|---|", *rows]
    choices = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in asdict(recipe).items())]
    return _CARD.format(
        table="\n".join(table),
        passages=len(questions.passages),
        questions=len(questions.questions),
        recipe="\n".join(choices),
        minutes=minutes,
        threads=torch.get_num_threads(),
        sentence_transformers=version("sentence-transformers"),
        transformers=version("transformers"),
        torch_version=version("torch"),
    )
