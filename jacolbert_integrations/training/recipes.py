"""Recipes: every choice of a training run, as frozen data, with where each comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from ..errors import RecipeError
from ..query_length import QueryLength

Term = Literal["softmax", "in_batch", "kl", "margin_mse"]
Normalization = Literal["none", "teacher", "both"]
Optimizer = Literal["adamw", "schedule_free_adamw"]
Schedule = Literal["linear", "constant"]
Batches = Literal["shuffled", "grouped"]

FROM_TEACHER: frozenset[Term] = frozenset({"kl", "margin_mse"})
"""The losses that compare with a teacher's scores."""

LONGEST = 10
"""Times that a run goes over its data at most: the rule by which recipes are scaled down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every choice of a training run; two runs of one recipe on one machine give the same weights.

    Attributes:
        name: What it is called.
        base: The checkpoint that training starts from, unless another is given.
        data: What the model was trained on; for the record.
        negatives: Where the negatives came from; for the record.
        teacher: Whose scores were learned; for the record.
        ways: Passages for each query, the positive one included.
        losses: Name of a loss to its weight: ``softmax``, ``in_batch``, ``kl``, ``margin_mse``
            (see :class:`~.losses.LateInteractionLoss`).
        normalization: Of the scores that are compared with a teacher's: ``none``, ``teacher`` or ``both``.
        scale: Factor on the scores before the softmax of ``softmax`` and ``in_batch``. Too small a one can
            lower the loss by making all differences larger, at the cost of their order: the bundled mini
            model was trained with 4.
        batch_size: Queries for each optimizer step, over all devices and accumulated batches.
        batches: ``shuffled``, or ``grouped``: of as few documents as possible, so that the others of a
            batch are hard negatives (see :class:`~.batches.GroupedBatchSampler`).
        group_size: Most queries of one document in a grouped batch; None takes as many as there are. With fewer,
            a batch is of more documents, and fewer of its negatives answer the query too.
        steps: Optimizer steps.
        optimizer: ``adamw`` or ``schedule_free_adamw`` (arXiv 2405.15682).
        schedule: What follows the warm-up: ``linear`` decay, or ``constant``.
        learning_rate: The peak.
        embedding_learning_rate: The peak for the word vectors; None is the same.
        warmup_steps: Steps until the peak.
        weight_decay: As of AdamW.
        max_grad_norm: Gradients are clipped to this norm; None does not clip.
        document_maxlen: Most tokens of a document, control tokens included.
        query_maxlen: Tokens of a query under the rule ``fixed``.
        query_length: The query-length rule in training. What the model uses afterwards is its own.
        dimensions: Smaller dimensions to train projections for, beside the model's own.
        pool_factor: Documents are pooled to this fraction of their vectors in training; 1 does not pool.
        seed: Decides the order of the data, and dropout.

    Raises:
        RecipeError: If a field has a value that cannot be.
    """

    name: str
    base: str | None = None
    data: str = ""
    negatives: str = ""
    teacher: str | None = None
    ways: int
    losses: Mapping[Term, float]
    normalization: Normalization = "none"
    scale: float = 1.0
    batch_size: int
    batches: Batches = "shuffled"
    group_size: int | None = None
    steps: int
    optimizer: Optimizer = "adamw"
    schedule: Schedule = "linear"
    learning_rate: float
    embedding_learning_rate: float | None = None
    warmup_steps: int
    weight_decay: float = 0.0
    max_grad_norm: float | None = 1.0
    document_maxlen: int
    query_maxlen: int = 32
    query_length: QueryLength = "fixed"
    dimensions: tuple[int, ...] = ()
    pool_factor: float = 1.0
    seed: int = 42
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, least in (("ways", 1), ("batch_size", 1), ("steps", 1), ("document_maxlen", 4), ("query_maxlen", 4)):
            self._require(name, getattr(self, name) >= least, f"at least {least}")
        for name in ("learning_rate", "scale"):
            value = getattr(self, name)
            self._require(name, 0 < value < math.inf, "above 0 and finite: with any other, nothing would be learned")
        for name in ("embedding_learning_rate", "max_grad_norm"):
            value = getattr(self, name)
            self._require(name, value is None or 0 < value < math.inf, "above 0 and finite, or None")
        self._require("warmup_steps", 0 <= self.warmup_steps <= self.steps, f"from 0 to the {self.steps} steps")
        self._require("weight_decay", 0 <= self.weight_decay < math.inf, "0 or more")
        self._require("pool_factor", 1 <= self.pool_factor < math.inf, "1 or more")
        self._require("losses", bool(self.losses), "at least one loss with its weight")
        for term, weight in self.losses.items():
            self._require("losses", term in get_args(Term), f"any of {', '.join(get_args(Term))}")
            self._require("losses", 0 < weight < math.inf, "each of a weight above 0")
        if self.group_size is not None:
            fine = self.batches == "grouped" and self.group_size >= 1
            self._require("group_size", fine, "None, or at least 1 with grouped batches")
        for name in ("normalization", "batches", "optimizer", "schedule", "query_length"):
            allowed = get_args(get_type_hints(Recipe)[name])
            self._require(name, getattr(self, name) in allowed, f"one of {', '.join(allowed)}")
        if self.needs_teacher or "softmax" in self.losses:
            self._require("ways", self.ways >= 2, f"at least 2 with {', '.join(self.losses)}, which compare passages")
        self._require(
            "dimensions",
            len(set(self.dimensions)) == len(self.dimensions) and all(d > 0 for d in self.dimensions),
            "different numbers above 0",
        )
        self._require(
            "schedule",
            self.optimizer == "adamw" or self.schedule == "constant",
            "constant with schedule_free_adamw, which takes the place of a schedule",
        )

    @property
    def needs_teacher(self) -> bool:
        """Whether examples must have a teacher's scores."""
        return bool(FROM_TEACHER & self.losses.keys())

    def change(self, **changes: Any) -> Recipe:
        """Returns the recipe with other values, each with a source that says so.

        Raises:
            RecipeError: If there is no such field, or a value cannot be.
        """
        known = {f.name for f in fields(self)} - {"sources"}
        if unknown := sorted(changes.keys() - known):
            raise RecipeError(f"a recipe has no field {unknown[0]!r}. There are {', '.join(sorted(known))}.")
        changed = {name: "changed" for name, value in changes.items() if value != getattr(self, name)}
        return replace(self, **changes, sources={**self.sources, **changed})

    def scaled(self, examples: int) -> tuple[Recipe, list[str]]:
        """Scales the recipe down to as much data as there is.

        A run goes over its data ten times at most; with fewer steps the warm-up takes the same share
        of them. A batch takes no more than all examples.

        Args:
            examples: How many there are.

        Returns:
            The recipe, and a sentence for each change that was made.

        Raises:
            RecipeError: If there are no examples.
        """
        if examples < 1:
            raise RecipeError("there are no examples to train on.")
        changes: dict[str, Any] = {}
        said = []
        batch = min(self.batch_size, examples)
        if batch < self.batch_size:
            changes["batch_size"] = batch
            said.append(f"batch_size {self.batch_size} -> {batch}: there are only {examples:,} examples")
        steps = min(self.steps, max(1, examples * LONGEST // batch))
        if steps < self.steps:
            warmup = round(self.warmup_steps * steps / self.steps)
            changes |= {"steps": steps, "warmup_steps": warmup}
            said.append(
                f"steps {self.steps:,} -> {steps:,}, warmup_steps {self.warmup_steps:,} -> {warmup:,}: "
                f"{LONGEST} times over {examples:,} examples in batches of {batch}"
            )
        return (self.change(**changes), said) if changes else (self, [])

    def _require(self, name: str, fine: bool, expected: str) -> None:
        if not fine:
            raise RecipeError(f"{name} of the recipe is {getattr(self, name)!r}, but it must be {expected}.")


def recipe(name: str) -> Recipe:
    """Returns a recipe by its name.

    Raises:
        RecipeError: If there is none of that name.
    """
    if name not in RECIPES:
        raise RecipeError(f"there is no recipe {name!r}. There are {', '.join(RECIPES)}.")
    return RECIPES[name]


def parse(text: str) -> tuple[str, Any]:
    """Reads ``field=value``, as on a command line: ``steps=500``, ``losses=kl:1,in_batch:0.5``.

    Raises:
        RecipeError: If there is no such field, or the value is none for it.
    """
    name, equals, value = text.partition("=")
    hints = get_type_hints(Recipe)
    if not equals or name not in hints or name == "sources":
        known = ", ".join(sorted(hints.keys() - {"sources"}))
        raise RecipeError(f"{text!r} is no field=value of a recipe. The fields are {known}.")
    try:
        return name, _value(name, value, hints[name])
    except ValueError:
        raise RecipeError(f"{value!r} is no value for {name} of a recipe ({hints[name]}).") from None


def _value(name: str, value: str, hint: Any) -> Any:
    kinds = get_args(hint) if type(None) in get_args(hint) else (hint,)
    if type(None) in kinds and value.lower() == "none":
        return None
    if name == "losses":
        pairs = (item.partition(":") for item in value.split(","))
        return {term.strip(): float(weight) if colon else 1.0 for term, colon, weight in pairs}
    if name == "dimensions":
        return tuple(int(item) for item in value.split(",") if item)
    for kind in (int, float):
        if kind in kinds:
            return kind(value)
    return value


_V1 = "arXiv 2312.16144 (JaColBERT)"
_V2 = "model page of JaColBERTv2"
_P = "arXiv 2407.20750 (JaColBERTv2.5)"
_C = "training code of v2.5 (bclavie/ColBERT, commit 7ab0835)"
_S = "ColBERT's own default (colbert-ai 0.2.22)"
_OURS = "ours; the source is not known"
_COLBERT = dict.fromkeys(
    ("losses", "scale", "normalization", "optimizer", "schedule", "weight_decay", "max_grad_norm", "query_length"), _S
)


def _cited(default: str, **others: str) -> dict[str, str]:
    names = [f.name for f in fields(Recipe) if f.name not in ("name", "sources")]
    unused = {"dimensions": "unused", "pool_factor": "unused", "embedding_learning_rate": "unused", "seed": _OURS}
    unused["group_size"] = "unused"
    unused["batches"] = "ours; ColBERT's code takes the order of its file"
    return dict.fromkeys(names, default) | unused | others


RECIPES: Mapping[str, Recipe] = {
    "pairs": Recipe(
        name="pairs",
        data="any question-answer set, or passages alone",
        negatives="the other passages of a batch, which is made of as few documents as possible",
        ways=1,
        losses={"in_batch": 1.0},
        batch_size=32,
        batches="grouped",
        steps=1_000,
        learning_rate=2e-5,
        warmup_steps=100,
        document_maxlen=300,
        sources=_cited("ours: for adapting a trained model to a small set"),
    ),
    "v1": Recipe(
        name="v1",
        base="tohoku-nlp/bert-base-japanese-v3",
        data="10 M triplets of MMARCO-ja",
        negatives="25 of multilingual-e5-base and up to 10 of BM25 for each query",
        ways=2,
        losses={"softmax": 1.0, "in_batch": 1.0},
        batch_size=128,
        steps=78_125,
        learning_rate=5e-6,
        warmup_steps=8_000,
        document_maxlen=228,
        sources=_cited(
            _V1,
            **_COLBERT,
            steps="one epoch of 10 M triplets in batches of 128",
        ),
    ),
    "v2": Recipe(
        name="v2",
        base="bclavie/JaColBERT",
        data="8 M 32-way tuples of MMARCO-ja",
        negatives="31 of ColBERTv2's 63 for each query",
        teacher="the English MiniLM cross-encoder's scores that ColBERTv2 was trained on",
        ways=32,
        losses={"kl": 1.0, "in_batch": 1.0},
        batch_size=32,
        steps=250_000,
        learning_rate=1e-5,
        warmup_steps=10_000,
        document_maxlen=256,
        sources=_cited(
            _P,
            **_COLBERT,
            warmup_steps=f"{_P}; the {_V2} says 20,000",
        ),
    ),
    "v2.5": Recipe(
        name="v2.5",
        base="bclavie/JaColBERT",
        data="3.2 M 32-way tuples of MMARCO-ja",
        negatives="31 of ColBERTv2's 63 for each query",
        teacher="BAAI/bge-reranker-v2-m3",
        ways=32,
        losses={"kl": 1.0},
        normalization="both",
        batch_size=64,
        steps=50_000,
        optimizer="schedule_free_adamw",
        schedule="constant",
        learning_rate=3e-5,
        warmup_steps=2_500,
        max_grad_norm=None,
        document_maxlen=300,
        sources=_cited(
            _P, losses=_C, normalization=_C, weight_decay=_C, max_grad_norm=_C, scale="unused", query_length=_C
        ),
    ),
}
"""Recipes by name: ours for a small set, and the published ones."""
