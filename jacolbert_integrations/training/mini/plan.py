"""Every choice that makes the bundled mini model."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..architecture import Architecture
from ..recipes import Recipe

CONTRASTIVE = Recipe(
    name="contrastive",
    ways=4,
    losses={"in_batch": 1.0},
    # At 1, a model that begins weighed by rarity gets worse (benchmarks/ablations.md). Probably the loss falls
    # by making all differences larger, frequent words' too. Values between and above were not tried.
    scale=4.0,
    batch_size=24,
    # It begins well: four times these rates made a smaller model worse than it began (benchmarks/ablations.md).
    steps=520,
    learning_rate=1e-4,
    embedding_learning_rate=1e-3,
    warmup_steps=50,
    document_maxlen=512,
    query_length="released",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniPlan:
    """Every choice that makes the mini model; two runs of one plan on one machine give the same weights.

    Attributes:
        architecture: The untrained model.
        window: Characters of a training passage; longer ones are cut at the ends of sentences.
        ranks: The window of BM25's ranks that the hard negatives are from.
        contrastive: How it is trained on the questions with them.
        checkpoint_steps: Steps between checkpoints.
        averaged: Checkpoints that the result is the mean of: the one that measured best, and the last ones.
        seed: Decides weights, negatives and batches.
    """

    architecture: Architecture = field(
        default_factory=lambda: Architecture(vocabulary_size=28_672, hidden_size=128, document_maxlen=512)
    )
    window: int = 160
    ranks: tuple[int, int] = (1, 20)
    contrastive: Recipe = CONTRASTIVE
    checkpoint_steps: int = 130
    averaged: int = 2
    seed: int = 42
