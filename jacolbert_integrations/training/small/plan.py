"""Every choice that makes jacolbert-small."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..pretrained.student import Student
from ..recipes import Recipe

CONTRASTIVE = Recipe(
    name="contrastive",
    base="intfloat/multilingual-e5-small",
    negatives="the other passages of a batch, which is made of a few documents",
    ways=1,
    losses={"in_batch": 1.0},
    scale=4.0,
    batch_size=32,
    batches="grouped",
    group_size=8,
    steps=960,
    learning_rate=3e-5,
    warmup_steps=60,
    document_maxlen=512,
    query_length="unpadded",
)


DISTILLED = Recipe(
    name="distilled",
    base="intfloat/multilingual-e5-small",
    negatives="of dense e5 and of BM25",
    teacher="the mean of the normalised scores of BM25, of dense e5, and of the model as the first stage made it",
    ways=4,
    losses={"kl": 1.0},
    normalization="both",
    batch_size=8,
    steps=480,
    learning_rate=1e-5,
    warmup_steps=48,
    max_grad_norm=None,
    document_maxlen=512,
    query_length="unpadded",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallPlan:
    """Every choice that makes jacolbert-small; two runs of one plan on one machine give the same weights.

    Attributes:
        student: What is kept of the pretrained weights.
        sampled: Passages whose token vectors decide the projection that training begins with.
        window: Characters of a training passage; longer ones are cut at the ends of sentences.
        longest: Tokens of a training passage; questions about longer ones are left out, as one of them makes all of
            its batch slow.
        contrastive: How it is trained on the questions with the windows that answer them.
        distilled: How it is then trained on an ensemble's scores of hard negatives.
        mined: Questions that get hard negatives.
        ranks: The window of ranks that they are from.
        checkpoint_steps: Steps between checkpoints.
        averaged: Checkpoints that each stage's result is the mean of: the one that measured best, and the last ones.
        seed: Decides the sample, and the batches.
    """

    student: Student = field(default_factory=lambda: Student(vocabulary_size=16_000, query_length="unpadded"))
    sampled: int = 400
    window: int = 200
    longest: int = 192
    contrastive: Recipe = CONTRASTIVE
    distilled: Recipe = DISTILLED
    mined: int = 4_000
    ranks: tuple[int, int] = (1, 30)
    checkpoint_steps: int = 240
    averaged: int = 2
    seed: int = 42
