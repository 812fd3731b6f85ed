"""A recipe and options in the words of transformers' trainer."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch
from sentence_transformers import MultiVectorEncoderTrainingArguments

from ..errors import MissingExtraError, RecipeError
from .options import RunOptions
from .recipes import Recipe


def trainer_arguments(
    output: Path, recipe: Recipe, options: RunOptions, measured: bool, device: torch.device
) -> tuple[MultiVectorEncoderTrainingArguments, int]:
    """Builds the trainer's arguments, and returns how many batches on a device make one batch of the recipe.

    Args:
        output: The run's folder.
        recipe: What to learn by.
        options: How to carry it out.
        measured: Whether there is a measure.
        device: What the model is on.

    Raises:
        RecipeError: If checkpoints and evaluations do not fall together as keeping the best needs it.
        MissingExtraError: If TensorBoard is asked for and not installed.
    """
    devices = int(os.environ.get("WORLD_SIZE", "1"))
    share = max(1, recipe.batch_size // devices)
    size = share if options.cached or options.device_batch_size is None else min(options.device_batch_size, share)
    accumulated = math.ceil(share / size)
    every = options.checkpoint_steps or recipe.steps
    evaluated = options.evaluation_steps or every
    best = measured and (options.keep_best or options.patience is not None)
    if best and every % evaluated:
        raise RecipeError(
            f"checkpoints are written every {every} steps, but evaluations are every {evaluated}: to keep the best, "
            "make the first a multiple of the second."
        )
    cuda = device.type == "cuda"
    bfloat16 = options.precision == "bfloat16" or (
        options.precision == "auto" and cuda and torch.cuda.is_bf16_supported()
    )
    float16 = options.precision == "float16" or (options.precision == "auto" and cuda and not bfloat16)
    mapping = {} if recipe.embedding_learning_rate is None else {"word_embeddings": recipe.embedding_learning_rate}
    arguments = MultiVectorEncoderTrainingArguments(
        output_dir=str(output),
        max_steps=recipe.steps,
        per_device_train_batch_size=size,
        gradient_accumulation_steps=accumulated,
        optim="schedule_free_adamw" if recipe.optimizer == "schedule_free_adamw" else "adamw_torch",
        lr_scheduler_type=_scheduler(recipe),
        learning_rate=recipe.learning_rate,
        learning_rate_mapping=mapping,
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=0.0 if recipe.max_grad_norm is None else recipe.max_grad_norm,
        seed=recipe.seed,
        use_cpu=device.type == "cpu",
        bf16=bfloat16,
        fp16=float16,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=options.keep_checkpoints,
        eval_strategy="steps" if measured else "no",
        eval_steps=evaluated if measured else None,
        load_best_model_at_end=best,
        metric_for_best_model=f"eval_{options.metric}" if measured else None,
        greater_is_better=True if measured else None,
        logging_steps=options.logging_steps,
        logging_nan_inf_filter=False,
        report_to=_reports(output, options),
        dataloader_num_workers=options.data_workers,
        dataloader_drop_last=True,
        dataloader_pin_memory=cuda,
        disable_tqdm=True,
    )
    return arguments, accumulated


def _scheduler(recipe: Recipe) -> str:
    if recipe.schedule == "linear":
        return "linear"
    # A schedule-free optimizer warms up by itself; a second warm-up would multiply with it.
    return "constant" if recipe.optimizer == "schedule_free_adamw" else "constant_with_warmup"


def _reports(output: Path, options: RunOptions) -> list[str]:
    if not options.tensorboard:
        return []
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("tensorboard", "training") from error
    # transformers takes the folder from the environment alone
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(output / "tensorboard")
    return ["tensorboard"]
