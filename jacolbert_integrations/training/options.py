"""How a run is carried out, as opposed to what it learns by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import InputError

Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run is carried out: nothing here belongs to a recipe.

    Attributes:
        device_batch_size: Queries that one device takes at once. Gradients are added up over as many
            such batches as make the recipe's; None takes the recipe's whole.
        cached: For ``in_batch`` alone: all queries of a batch are negatives to each other, though only
            ``device_batch_size`` are embedded at once (GradCache). Slower, in little memory.
        precision: Of the arithmetic; weights are float32. ``auto``: bfloat16, else float16, on a GPU;
            float32 on a processor.
        checkpoint_steps: Write a checkpoint every so many steps; None writes one at the end.
        keep_checkpoints: How many of the last checkpoints stay, beside the best; None keeps all.
        evaluation_steps: Measure every so many steps; None measures with every checkpoint.
        metric: Of the measure, the one that decides which checkpoint is best.
        keep_best: The result is the checkpoint of the best metric, rather than the last.
        patience: Stop after so many evaluations in a row without a better metric; None never does.
        logging_steps: Write the loss down every so many steps.
        tensorboard: Write a log for TensorBoard to the run's folder.
        data_workers: Processes that tokenize; 0 does it in between.
        show_progress_bar: None shows one on a terminal.
    """

    device_batch_size: int | None = None
    cached: bool = False
    precision: Precision = "auto"
    checkpoint_steps: int | None = None
    keep_checkpoints: int | None = 3
    evaluation_steps: int | None = None
    metric: str = "mrr_at_10"
    keep_best: bool = False
    patience: int | None = None
    logging_steps: int = 50
    tensorboard: bool = False
    data_workers: int = 0
    show_progress_bar: bool | None = None

    def __post_init__(self) -> None:
        for name in ("device_batch_size", "checkpoint_steps", "keep_checkpoints", "evaluation_steps", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}, but it must be at least 1, or None.")
        if self.logging_steps < 1 or self.data_workers < 0:
            raise InputError(
                f"logging_steps is {self.logging_steps} and data_workers {self.data_workers}, but they must be at "
                "least 1 and 0."
            )
