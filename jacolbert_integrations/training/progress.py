"""A progress bar that says how training goes."""

from __future__ import annotations

from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class LiveProgress(TrainerCallback):
    """Steps, time left, the loss, and the development metric with its best value so far.

    Args:
        metric: The development metric's name.
        show: None shows the bar on a terminal.
    """

    def __init__(self, metric: str, show: bool | None = None) -> None:
        self.metric = metric
        self.show = show
        self.bar: tqdm[Any] | None = None
        self.said: dict[str, str] = {}
        self.best = float("-inf")

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Opens the bar."""
        if state.is_world_process_zero:
            self.bar = tqdm(
                total=state.max_steps,
                initial=state.global_step,
                desc="Training",
                unit="step",
                disable=None if self.show is None else not self.show,
                dynamic_ncols=True,
            )

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Moves it on."""
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Shows the newest loss and metric."""
        if logs is None or self.bar is None:
            return
        if "loss" in logs:
            self.said["loss"] = f"{float(logs['loss']):.3f}"
        if (value := logs.get(f"eval_{self.metric}")) is not None:
            self.best = max(self.best, float(value))
            self.said[self.metric] = f"{float(value):.3f} (best {self.best:.3f})"
        self.bar.set_postfix(self.said)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Closes the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
