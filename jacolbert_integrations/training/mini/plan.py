"""Every choice that makes the bundled mini model."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..architecture import Architecture
from ..recipes import Recipe

CONTRASTIVE = Recipe(
    name="contrastive",
    ways=1,
    losses={"in_batch": 1.0},
    batch_size=32,
    batches="grouped",
    steps=2_500,
    learning_rate=5e-4,
    warmup_steps=125,
    document_maxlen=300,
    query_length="released",
)
DISTILLED = Recipe(
    name="distilled",
    ways=4,
    losses={"in_batch": 1.0, "kl": 10.0},
    normalization="both",
    batch_size=16,
    steps=1_000,
    learning_rate=3e-4,
    warmup_steps=50,
    document_maxlen=300,
    query_length="released",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniPlan:
    """Every choice that makes the mini model; two runs of one plan on one machine give the same weights.

    Attributes:
        architecture: The untrained model.
        window: Characters of a training passage; longer ones are cut at the ends of sentences.
        inverse_cloze: Inverse-cloze pairs for each question pair, in the first stage.
        cut: Share of them whose sentence is cut out of the passage.
        contrastive: The first stage, on pairs.
        taught: Questions of the second stage, drawn at random.
        negatives: For each of them, from BM25.
        ranks: The window of ranks that they are from.
        distilled: The second stage, on those negatives with the scores of an ensemble: BM25 and the first
            stage's model.
        checkpoint_steps: Steps between the checkpoints of both stages. The result is the mean of the first
            stage's model and all checkpoints of the second, as v2.5 merged base and post-trained models.
        seed: Decides weights, pairs, negatives and batches.
    """

    architecture: Architecture = field(default_factory=lambda: Architecture(vocabulary_size=28_672, hidden_size=128))
    window: int = 160
    inverse_cloze: float = 0.5
    cut: float = 0.3
    contrastive: Recipe = CONTRASTIVE
    taught: int = 16_000
    negatives: int = 3
    ranks: tuple[int, int] = (1, 40)
    distilled: Recipe = DISTILLED
    checkpoint_steps: int = 500
    seed: int = 42
