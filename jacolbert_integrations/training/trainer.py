"""sentence-transformers' trainer with what it leaves to chance: averaged saves, whole saves, exact resumption."""

from __future__ import annotations

import json
import math
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sentence_transformers import MultiVectorEncoder, MultiVectorEncoderTrainer
from sentence_transformers.base.evaluation import BaseEvaluator
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..encoding.encoder import JaColBERT
from ..encoding.saving import save_stanford
from ..errors import DivergedError, InputError, SaveError, TrainingError
from .heads import ProjectionHeads

STATE_FILE = "trainer_state.json"
"""What transformers' trainer writes last into a checkpoint: where it is, all is there."""

HEADS_FILE = "heads.safetensors"

_ELSEWHERE = "another process of the run says why"


class ColBERTTrainer(MultiVectorEncoderTrainer):
    """sentence-transformers' trainer, with saves that can be relied on.

    - Schedule-free optimizers train at one point and average at another. transformers changes to the
      averaged weights for an evaluation only; here it does for every save, and for the final weights.
    - A checkpoint that could not be written whole is removed, and the one before it stays.
    - A loss that is not a finite number ends the run before it reaches the weights.
    - Checkpoints have the layout of the released JaColBERT models, so that each can be used as it is.
    - Of several processes all stop where one cannot go on, and none waits for it.
    """

    _failure: Exception | None = None  # of the checkpoint that is being written, in this process
    _in_checkpoint = False

    def average_weights(self) -> None:
        """Puts the averaged weights of a schedule-free optimizer in place; with any other does nothing."""
        average = getattr(self.optimizer, "eval", None)
        if callable(average):
            average()

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Does nothing: this package writes the card, without counting the tokens of the data."""

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Runs a training step as transformers does.

        Raises:
            DivergedError: If the loss is infinite or not a number, in this process or in another of the run.
        """
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        if not math.isfinite(value := self.accelerator.gather(loss).sum().item()):
            raise DivergedError(
                f"the loss of the batch for step {self.state.global_step + 1} (epoch {self.state.epoch or 0:.3f}) is "
                f"{value}. The weights of step {self.state.global_step} are kept. Look for such scores in that batch, "
                "or lower the learning rate; float16 overflows sooner than bfloat16."
            )
        return loss

    def anywhere(self, fact: bool) -> bool:
        """Returns whether something is so in any process of the run. All processes have to call it."""
        return bool(self.accelerator.gather(torch.tensor([int(fact)], device=self.args.device)).any())

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        folder = Path(self.args.output_dir or ".") / f"checkpoint-{self.state.global_step}"
        self.average_weights()
        self._failure, self._in_checkpoint = None, True
        with self._writing():
            super()._save_checkpoint(model, trial)
        self._in_checkpoint = False
        if not self.anywhere(self._failure is not None):
            return
        if self.args.should_save:
            shutil.rmtree(folder, ignore_errors=True)
        kept = last_checkpoint(folder.parent)
        raise SaveError(
            f"{folder.name} could not be written: {self._failure or _ELSEWHERE}. It has been removed; "
            f"{'there is none before it' if kept is None else f'{kept.name} is whole'}. "
            "Make room, and resume."
        ) from self._failure

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keeps for later that a part of a checkpoint cannot be written: others wait where they meet this process."""
        try:
            yield
        except (
            OSError,
            SafetensorError,
            RuntimeError,
            SaveError,
        ) as error:  # RuntimeError is how torch.save says "disk full"
            if not self._in_checkpoint:
                raise
            self._failure = self._failure or error

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if not self.args.should_save:
            return  # transformers 5 asks every process, and sentence-transformers' trainer has all of them write
        folder = Path(output_dir if output_dir is not None else self.args.output_dir or ".")
        with self._writing():
            save_state(self.model, folder)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self._failure is None:
            with self._writing():
                super()._save_optimizer_and_scheduler(output_dir)

    def _save_scaler(self, output_dir: str) -> None:  # of float16; the others would wait in _save_rng_state for ever
        if self._failure is None:
            with self._writing():
                super()._save_scaler(output_dir)

    def _save_rng_state(self, output_dir: str) -> None:
        # The first process has put a whole folder in its place, which nobody may have made before.
        if not self.anywhere(self._failure is not None):
            with self._writing():
                super()._save_rng_state(output_dir)
        if self.anywhere(self._failure is not None):  # before it is called whole, and an older one is removed
            raise self._failure or OSError(_ELSEWHERE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_weights(self.model, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        self.average_weights()  # or the optimizer would change to them later, from the loaded ones
        best = self.state.best_model_checkpoint
        if best is not None:
            load_weights(self.model, Path(best))


def save_model(model: MultiVectorEncoder, folder: Path) -> None:
    """Writes a model in the released layout, or in sentence-transformers' own where that cannot hold it."""
    try:
        save_stanford(model, folder)
    except InputError:  # queries, or projections, of a kind of their own
        model.save_pretrained(str(folder))


def save_state(model: MultiVectorEncoder, folder: Path) -> None:
    """Writes a model, with the projections that only training needs, so that training can go on from it."""
    save_model(model, folder)
    heads = next((module for module in model if isinstance(module, ProjectionHeads)), None)
    if heads is not None:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in heads.heads.state_dict().items()}
        save_file(tensors, folder / HEADS_FILE)


def load_weights(model: MultiVectorEncoder, folder: Path) -> None:
    """Puts the weights of a trainer's checkpoint into the model that wrote it.

    Raises:
        CheckpointError: If they cannot be read.
    """
    stored = JaColBERT.from_pretrained(folder, device="cpu", trust_remote_code=model.trust_remote_code)
    heads = next((module for module in model if isinstance(module, ProjectionHeads)), None)
    own = {name for name in model.state_dict() if ".heads." not in name}
    weights = stored.model.state_dict()
    model.load_state_dict({name: weights[name] for name in own}, strict=heads is None)
    if heads is not None:
        heads.heads.load_state_dict(load_file(folder / HEADS_FILE))


def check_state(checkpoint: Path) -> None:
    """Refuses to resume from a checkpoint without all of its state, which transformers would silently begin anew.

    Raises:
        TrainingError: If a file of the state is missing or cannot be read.
    """
    wanted = {"optimizer.pt": "the optimizer", "scheduler.pt": "the learning rate", "rng_state*.pth": "random numbers"}
    for pattern, what in {**wanted, "trainer_state.json": "the step"}.items():
        files = sorted(checkpoint.glob(pattern))
        advice = "Bring it back, or remove this checkpoint and resume from the one before it."
        if not files:
            raise TrainingError(
                f"{checkpoint} has no {pattern}, the state of {what}: resumed without it, the run would end with other "
                f"weights. {advice}"
            )
        for file in files:
            try:
                if file.suffix == ".json":
                    TrainerState.load_from_json(str(file))
                    continue
                with zipfile.ZipFile(file) as archive:  # torch writes a checksum of each tensor, and reads none
                    if (damaged := archive.testzip()) is not None:
                        raise ValueError(f"{damaged} in it is damaged")
            except (OSError, ValueError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
                raise TrainingError(f"{file}, the state of {what}, cannot be read: {error}. {advice}") from None


def last_checkpoint(folder: Path) -> Path | None:
    """Returns the newest checkpoint of a run that was written whole; None if there is none."""
    found = []
    for checkpoint in folder.glob("checkpoint-*"):
        try:
            step = int(json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))["global_step"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a kill cut it short
        found.append((step, checkpoint))
    return max(found)[1] if found else None


class SamplerEpochs(TrainerCallback):
    """Tells a sampler of batches which epoch it is.

    transformers tells it itself, but not where a run of several processes resumes: there it does not find the sampler.

    Args:
        sampler: Returns the sampler, once there is one.
    """

    def __init__(self, sampler: Callable[[], Any]) -> None:
        self._sampler = sampler

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tells it."""
        self._sampler().epoch = int(state.epoch or 0)


class DevelopmentEvaluator(BaseEvaluator):
    """Runs a measure of the model while it is trained.

    Args:
        measure: The model to name and value of each metric.
        metric: The one that decides which checkpoint is best.
    """

    def __init__(self, measure: Callable[[JaColBERT], Mapping[str, float]], metric: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.measure = measure
        self.primary_metric = metric

    def __call__(
        self,
        model: Any,
        output_path: str | None = None,
        epoch: float = -1,
        steps: int = -1,
    ) -> dict[str, float]:
        """Measures the model; sentence-transformers calls it."""
        return dict(self.measure(JaColBERT(model)))
