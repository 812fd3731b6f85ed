"""What the tests of training by several processes run in each of two: ``two_processes.py FOLDER``.

By hand: ``torchrun --nproc-per-node 2 --standalone tests/training/two_processes.py FOLDER``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from transformers import Trainer, TrainerCallback

from jacolbert_integrations.errors import DivergedError, SaveError
from jacolbert_integrations.text.squad import read_squad
from jacolbert_integrations.training import run as run_module
from jacolbert_integrations.training import trainer
from jacolbert_integrations.training.losses import LateInteractionLoss
from jacolbert_integrations.training.pairs import question_pairs, windows
from jacolbert_integrations.training.recipes import Recipe
from tests.conftest import JAQUAD_EXCERPT
from tests.training.test_run import PAIRS, go

FIRST = os.environ["RANK"] == "0"
QUESTIONS = windows(read_squad([JAQUAD_EXCERPT]), 60)
EXAMPLES = question_pairs(QUESTIONS)[:48]
SAVE_STATE = trainer.save_state


def train(folder: Path, recipe: Recipe = PAIRS, **options: Any) -> str:
    return go(QUESTIONS, EXAMPLES, folder, recipe, **options).model.fingerprint


def one_writes(folder: Path) -> Any:
    saved = []

    def slowly(model: Any, path: Path) -> None:
        saved.append(path.name)
        time.sleep(0.5)  # whoever does not wait is ahead now
        assert not path.exists()
        SAVE_STATE(model, path)

    with patch.object(trainer, "save_state", slowly):
        return {"fingerprint": train(folder, PAIRS.change(steps=2, warmup_steps=0)), "saved": saved}


class Stop(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 9:
            raise KeyError("stopped")


class Stopped(trainer.ColBERTTrainer):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_callback(Stop())


def resumed(folder: Path, recipe: Recipe = PAIRS) -> Any:
    """Stopped in the middle of the second epoch."""
    whole = train(folder / "whole", recipe, checkpoint_steps=4)
    with patch.object(run_module, "ColBERTTrainer", Stopped), suppress(KeyError):
        train(folder / "stopped", recipe, checkpoint_steps=4)
    return [whole, train(folder / "stopped", recipe, checkpoint_steps=4, resume=True)]


def resumed_in_groups(folder: Path) -> Any:
    return resumed(folder, PAIRS.change(batches="grouped"))


def diverged(folder: Path) -> Any:
    forward = LateInteractionLoss.forward

    def bad(self: LateInteractionLoss, features: Any, labels: Any = None) -> Any:
        losses = forward(self, features, labels)
        return {name: loss * (1 if FIRST else float("nan")) for name, loss in losses.items()}

    with patch.object(LateInteractionLoss, "forward", bad):
        return message(folder, DivergedError, lambda: train(folder, PAIRS.change(steps=2, warmup_steps=0)))


def message(folder: Path, kind: type[Exception], deed: Callable[[], object]) -> str:
    """What an error says; the first process goes on only when the second has got one, too."""
    try:
        deed()
    except kind as error:
        said = folder.with_name(f"{folder.name}-said")
        if not FIRST:
            said.touch()
        until = time.monotonic() + 300  # it hangs
        while FIRST and not said.exists() and time.monotonic() < until:
            time.sleep(0.02)
        return f"{said.exists()} {type(error).__name__} {error}"
    return "no error"


def full_disk(folder: Path) -> Any:
    """It is full at the second checkpoint, where the first process writes; nor could it write what comes after."""
    save = Trainer._save_scaler

    def write(model: Any, path: Path) -> None:
        if path.name == "checkpoint-4":
            path.mkdir()
            raise OSError(28, "No space left on device")
        SAVE_STATE(model, path)

    def write_scaler(self: Trainer, path: str) -> None:  # as with float16 on a GPU
        if FIRST and Path(path).name == "checkpoint-4":
            raise OSError(28, "No space left on device")
        save(self, path)

    with patch.object(trainer, "save_state", write), patch.object(Trainer, "_save_scaler", write_scaler):
        return message(folder, SaveError, lambda: train(folder, checkpoint_steps=2, keep_checkpoints=1))


def full_disk_of_the_second(folder: Path) -> Any:
    save = Trainer._save_rng_state

    def write(self: Trainer, path: str) -> None:
        if not FIRST and Path(path).name == "checkpoint-4":
            raise OSError(28, "No space left on device")
        save(self, path)

    with patch.object(Trainer, "_save_rng_state", write):
        return message(folder, SaveError, lambda: train(folder, checkpoint_steps=2, keep_checkpoints=1))


def full_disk_at_the_end(folder: Path) -> Any:
    with patch.object(run_module, "write_outcome", side_effect=SaveError("No space left on device")):
        return message(folder, SaveError, lambda: train(folder, PAIRS.change(steps=2, warmup_steps=0)))


SCENARIOS: list[Callable[[Path], Any]] = [
    one_writes,
    resumed,
    resumed_in_groups,
    diverged,
    full_disk,
    full_disk_of_the_second,
    full_disk_at_the_end,
]

if __name__ == "__main__":
    torch.set_num_threads(1)
    output = Path(sys.argv[1])
    found = {scenario.__name__: scenario(output / scenario.__name__) for scenario in SCENARIOS}
    (output / f"{os.environ['RANK']}.json").write_text(json.dumps(found))
    torch.distributed.barrier()  # nobody leaves while the other may still listen
    torch.distributed.destroy_process_group()
