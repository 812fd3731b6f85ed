"""A training run: a recipe, examples and a model, to a checkpoint that is better than it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.multi_vector_encoder.data_collator import MultiVectorEncoderDataCollator
from torch import nn
from transformers import EarlyStoppingCallback, ProgressCallback
from transformers.trainer_callback import PrinterCallback

from ..encoding.encoder import JaColBERT
from ..encoding.transformer import ColBERTTransformer
from ..encoding.whole_weights import make_whole
from ..errors import DivergedError, MissingExtraError, RecipeError, SaveError, TrainingDataError, TrainingError
from .arguments import trainer_arguments
from .attention import attention
from .batches import GroupedBatchSampler, ShuffledBatchSampler, example_dataset
from .cards import ModelFacts
from .heads import ProjectionHeads, add_heads, remove_heads
from .losses import LateInteractionLoss, cached_in_batch_loss
from .options import RunOptions
from .outcome import MODEL_FOLDER, TrainingResult, run_card, write_outcome
from .progress import LiveProgress
from .recipes import Recipe
from .records import Example
from .trainer import ColBERTTrainer, DevelopmentEvaluator, SamplerEpochs, check_state, last_checkpoint, save_state

if TYPE_CHECKING:
    from datasets import Dataset

Measure = Callable[[JaColBERT], Mapping[str, float]]


def train(
    model: JaColBERT,
    examples: Sequence[Example] | Dataset,
    output: str | Path,
    recipe: Recipe,
    *,
    measure: Measure | None = None,
    options: RunOptions | None = None,
    facts: ModelFacts | None = None,
    resume: bool = False,
) -> TrainingResult:
    """Trains a model, in place, and writes it to ``<output>/model``.

    On several GPUs, start the script with ``accelerate launch``; in-batch negatives are then those of each
    device. The log is in ``<output>/model/run.json``. ``<output>`` also holds the checkpoints, and, for recipes
    with smaller dimensions, ``model-<dimension>`` for each.

    Args:
        model: The model to start from. Its weights are made float32, as they are stored, if they are not.
        examples: What to learn from. Examples of more passages than the recipe's ways become several
            tuples. Or a dataset of columns ``query``, ``document_1``, ... and, with a teacher, ``scores``.
        output: The run's folder.
        recipe: How to train; with little data it is scaled down by :meth:`~.recipes.Recipe.scaled`.
        measure: Measures the model while it is trained, and at the end: name to value.
        options: How to carry the run out.
        facts: What the model's card is to say: name, licence, data, how to reproduce. The start, the recipe, what
            was measured and the time that it took are filled in. None leaves the licence ``unknown``.
        resume: Go on from the last whole checkpoint in ``output``. The weights come out as if the run
            had never been stopped: bit by bit on one processor thread, elsewhere as far as the numeric
            libraries sum in the same order at every run.

    Raises:
        RecipeError: If recipe, options and model do not fit together.
        TrainingDataError: If examples have too few passages, or lack scores.
        DivergedError: If the loss is no longer a number; the weights before it are kept.
        SaveError: If a checkpoint cannot be written, by whichever process of the run; the one before it stays.
        TrainingError: If ``output`` holds a run already and ``resume`` is False, or has nothing to resume.
        MissingExtraError: If the training extra is not installed.
    """
    options = RunOptions() if options is None else options
    output = Path(output)
    last = _last(output, resume)
    _check(examples, recipe, options, measure)
    if not len(examples):
        raise TrainingDataError("there are no examples to train on.")
    dataset, tuples = _dataset(examples, recipe)
    start = model.name
    recipe, notes = recipe.scaled(tuples)
    make_whole(model.model, model.checkpoint)  # small steps vanish in half precision
    _prepare(model, recipe)
    arguments, accumulated = trainer_arguments(output, recipe, options, measure is not None, model.model.device)
    if accumulated > 1 and "in_batch" in recipe.losses and not options.cached:
        notes.append(f"in-batch negatives are those of {recipe.batch_size // accumulated} queries at a time")
    samplers: list[DefaultBatchSampler] = []
    arguments.batch_sampler = _sampler(examples, recipe, samplers)
    trainer = ColBERTTrainer(
        model=model.model,
        args=arguments,
        train_dataset=dataset,
        loss=_loss(model, recipe, options),
        evaluator=None if measure is None else DevelopmentEvaluator(_fused(measure), options.metric),
        data_collator=_collator(model, recipe),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(SamplerEpochs(lambda: samplers[-1]))
    trainer.add_callback(LiveProgress(options.metric, options.show_progress_bar))
    if options.patience is not None:
        trainer.add_callback(EarlyStoppingCallback(options.patience))
    begun = perf_counter()
    try:
        with attention(model, "eager" if arguments.bf16 else "sdpa"):
            trainer.train(resume_from_checkpoint=None if last is None else str(last))
    except DivergedError:
        _keep_good_weights(trainer)
        raise
    trainer.average_weights()
    model.model.eval()
    seconds = perf_counter() - begun
    history = tuple(dict(entry) for entry in trainer.state.log_history)
    result = TrainingResult(model, output / MODEL_FOLDER, recipe, tuple(notes), history, seconds)
    facts = ModelFacts(name=output.name, licence="unknown") if facts is None else facts
    _write(trainer, result, output, run_card(facts, start, result))
    remove_heads(model.model)
    return result


def _write(trainer: ColBERTTrainer, result: TrainingResult, output: Path, card: str) -> None:
    """Writes in the first process; the others wait for it, and fail where it does."""
    failure: Exception | None = None
    if trainer.is_world_process_zero():
        try:
            write_outcome(result, output, card)
        except Exception as error:
            failure = error
    if trainer.anywhere(failure is not None):
        raise failure or SaveError(f"{result.path} could not be written: the first process of the run says why.")


def _last(output: Path, resume: bool) -> Path | None:
    last = last_checkpoint(output)
    if resume and last is None:
        raise TrainingError(f"there is no whole checkpoint in {output} to resume from. Start without resume.")
    if resume and last is not None:
        check_state(last)
    if not resume and (last is not None or (output / MODEL_FOLDER).exists()):
        raise TrainingError(
            f"{output} holds a run already. Go on with it (resume=True, --resume), or give another folder."
        )
    return last


def _dataset(examples: Sequence[Example] | Dataset, recipe: Recipe) -> tuple[Any, int]:
    if _is_dataset(examples):
        row: Any = examples[0]  # a transform may make other columns than are stored
        columns = row.keys()
        ways = sum(name.startswith("document") for name in columns)
        if ways != recipe.ways or (recipe.needs_teacher and "scores" not in columns):
            raise TrainingDataError(
                f"the dataset has {ways} document columns{'' if 'scores' in columns else ' and no scores'}, but recipe "
                f"{recipe.name!r} takes {recipe.ways}{' and a teacher’s scores' if recipe.needs_teacher else ''}."
            )
        if "scores" in columns and not recipe.needs_teacher:
            raise TrainingDataError(f"the dataset has scores, but recipe {recipe.name!r} learns from none. Drop them.")
        return examples, len(examples)
    made = example_dataset(examples, recipe.ways, scores=recipe.needs_teacher)
    return made, len(made)


def _is_dataset(examples: Any) -> bool:
    try:
        from datasets import Dataset
    except ImportError as error:
        raise MissingExtraError("datasets", "training") from error
    return isinstance(examples, Dataset)


def _prepare(model: JaColBERT, recipe: Recipe) -> None:
    """Gives the model the recipe's lengths, and projections for its smaller dimensions."""
    transformer = model.model[0]
    if isinstance(transformer, ColBERTTransformer):
        if recipe.document_maxlen > transformer.max_tokens:
            raise RecipeError(
                f"document_maxlen of the recipe is {recipe.document_maxlen}, but {model.name} has positions for "
                f"{transformer.max_tokens} tokens."
            )
        transformer.settings = replace(
            transformer.settings, document_maxlen=recipe.document_maxlen, query_maxlen=recipe.query_maxlen
        )
    if recipe.dimensions and not any(isinstance(module, ProjectionHeads) for module in model.model):
        add_heads(model.model, recipe.dimensions).to(model.model.device)


def _collator(model: JaColBERT, recipe: Recipe) -> MultiVectorEncoderDataCollator:
    transformer = model.model[0]
    preprocess = model.model.preprocess
    if isinstance(transformer, ColBERTTransformer):
        # The rule in training is the recipe's; what the model asks queries with afterwards stays its own.
        preprocess = ColBERTTransformer.from_transformer(
            transformer, transformer.settings, recipe.query_length
        ).preprocess
    return MultiVectorEncoderDataCollator(preprocess_fn=preprocess, prompts=_prompts(model, recipe))


def _prompts(model: JaColBERT, recipe: Recipe) -> dict[str, str]:
    """Returns the prompts by column; the trainer would leave out the model's own."""
    prompts = {"query": model.model.prompts.get("query"), "document": model.model.prompts.get("document")}
    names = ["document", *(f"document_{i + 1}" for i in range(recipe.ways))]  # a single one has no number
    columns = {"query": prompts["query"]} | dict.fromkeys(names, prompts["document"])
    return {column: prompt for column, prompt in columns.items() if prompt}


def _check(examples: Sequence[Example] | Dataset, recipe: Recipe, options: RunOptions, measure: Measure | None) -> None:
    """Refuses options that exclude each other."""
    if recipe.batches == "grouped" and (_is_dataset(examples) or recipe.ways != 1):
        raise RecipeError(
            "grouped batches are made of examples (not a dataset) with one passage each (ways=1), so that the other "
            f"positives are the negatives; this recipe has ways={recipe.ways}."
        )
    if options.cached and (set(recipe.losses) != {"in_batch"} or recipe.dimensions or recipe.pool_factor > 1):
        raise RecipeError(
            f"cached=True is for the loss in_batch alone, at one dimension and without pooling; this recipe has "
            f"{dict(recipe.losses)}, dimensions {recipe.dimensions} and pool_factor {recipe.pool_factor}."
        )
    if options.patience is not None and measure is None:
        raise RecipeError("patience needs a measure: give a development set.")


def _sampler(examples: Sequence[Example] | Dataset, recipe: Recipe, made: list[DefaultBatchSampler]) -> Any:
    """Returns a function that builds the sampler, and that keeps it where it can be told of epochs."""

    def make(dataset: Any, *, batch_size: int, seed: int = 0, **_: Any) -> DefaultBatchSampler:
        if recipe.batches == "grouped" and not _is_dataset(examples):
            made.append(GroupedBatchSampler(examples, batch_size, seed, group_size=recipe.group_size))
        else:
            made.append(ShuffledBatchSampler(len(dataset), batch_size, seed))
        return made[-1]

    return make


def _loss(model: JaColBERT, recipe: Recipe, options: RunOptions) -> nn.Module:
    if options.cached:
        size = recipe.batch_size if options.device_batch_size is None else options.device_batch_size
        return cached_in_batch_loss(model.model, min(size, recipe.batch_size), scale=recipe.scale)
    return LateInteractionLoss(
        model.model,
        recipe.losses,
        normalization=recipe.normalization,
        scale=recipe.scale,
        pool_factor=recipe.pool_factor,
    )


def _fused(measure: Measure) -> Measure:
    def measured(model: JaColBERT) -> Mapping[str, float]:
        with attention(model, "sdpa"):
            return measure(model)

    return measured


def _keep_good_weights(trainer: ColBERTTrainer) -> None:
    """Writes the weights of the step before the bad batch, unless they are bad themselves."""
    folder = Path(str(trainer.args.output_dir)) / f"diverged-{trainer.state.global_step}"
    if trainer.args.should_save and all(bool(torch.isfinite(tensor).all()) for tensor in trainer.model.parameters()):
        trainer.average_weights()
        trainer.model.eval()
        save_state(trainer.model, folder)
