"""Training runs: the same twice, the same after a kill, whole saves, and what goes wrong."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import TrainerCallback, TrainerState

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.errors import (
    DivergedError,
    InputError,
    RecipeError,
    SaveError,
    TrainingDataError,
    TrainingError,
)
from jacolbert_integrations.evaluation.retrieval import evaluate_model
from jacolbert_integrations.text.squad import QuestionSet, read_squad
from jacolbert_integrations.training import run as run_module
from jacolbert_integrations.training.architecture import Architecture, build_untrained, from_backbone
from jacolbert_integrations.training.losses import LateInteractionLoss
from jacolbert_integrations.training.options import RunOptions
from jacolbert_integrations.training.outcome import TrainingResult
from jacolbert_integrations.training.pairs import question_pairs, windows
from jacolbert_integrations.training.recipes import Recipe
from jacolbert_integrations.training.records import Example
from jacolbert_integrations.training.run import train
from jacolbert_integrations.training.trainer import ColBERTTrainer, check_state, last_checkpoint

from ..conftest import JAQUAD_EXCERPT, STANFORD

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = Architecture(vocabulary_size=3000, hidden_size=16, layers=1, heads=2, dimension=8, dropout=0.1)
PAIRS = Recipe(name="pairs", ways=1, losses={"in_batch": 1.0}, batch_size=8, steps=12, learning_rate=5e-3,
               warmup_steps=2, document_maxlen=64)  # fmt: skip
SCHEDULE_FREE = PAIRS.change(optimizer="schedule_free_adamw", schedule="constant", max_grad_norm=None)
DISTILL = SCHEDULE_FREE.change(name="distill", ways=4, losses={"kl": 1.0}, normalization="both")


@pytest.fixture(scope="module")
def questions() -> QuestionSet:
    return windows(read_squad([JAQUAD_EXCERPT]), 60)


@pytest.fixture(scope="module")
def pairs(questions: QuestionSet) -> list[Example]:
    return question_pairs(questions)[:48]


@pytest.fixture(scope="module")
def tuples(pairs: list[Example]) -> list[Example]:
    others = [[pairs[(i + k) % 48].passages[0] for k in (7, 11, 13)] for i in range(48)]
    scores = (3.0, 1.5, 0.5, 0.0)
    return [Example(p.query, (p.passages[0], *o), scores) for p, o in zip(pairs, others, strict=True)]


def untrained(pairs: list[Example]) -> JaColBERT:
    return build_untrained([text for pair in pairs for text in (pair.query, *pair.passages)], SMALL)


def fresh(questions: QuestionSet) -> JaColBERT:
    return build_untrained([p.text for p in questions.passages], SMALL)


def go(questions: QuestionSet, examples: Any, output: Path, recipe: Recipe, **options: Any) -> TrainingResult:
    resume, measure = options.pop("resume", False), options.pop("measure", None)
    return train(
        fresh(questions), examples, output, recipe, measure=measure, resume=resume, options=RunOptions(**options)
    )


@pytest.mark.parametrize("recipe", [PAIRS, SCHEDULE_FREE, PAIRS.change(batches="grouped")], ids=lambda r: r.optimizer)
def test_the_same_seed_gives_the_same_weights(
    recipe: Recipe, questions: QuestionSet, pairs: list[Example], tmp_path: Path
) -> None:
    first = go(questions, pairs, tmp_path / "1", recipe)
    second = go(questions, pairs, tmp_path / "2", recipe)
    other = go(questions, pairs, tmp_path / "3", recipe.change(seed=1))
    assert first.model.fingerprint == second.model.fingerprint != other.model.fingerprint
    assert JaColBERT.from_pretrained(first.path).fingerprint == first.model.fingerprint
    assert not first.model.model.training
    assert [entry["step"] for entry in first.history if "loss" in entry] == []
    facts = json.loads((first.path / "run.json").read_text(encoding="utf-8"))
    assert facts["recipe"]["learning_rate"] == 5e-3
    assert facts["fingerprint"] == first.model.fingerprint


@pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")
def test_training_learns(questions: QuestionSet, pairs: list[Example], tmp_path: Path) -> None:
    some = QuestionSet(questions.passages, questions.questions[:48])
    before = evaluate_model(fresh(questions), some).mrr_at_10
    trained = go(questions, pairs, tmp_path / "run", PAIRS.change(steps=40), logging_steps=10)
    assert evaluate_model(trained.model, some).mrr_at_10 > before + 0.05
    losses = [entry["loss"] for entry in trained.history if "loss" in entry]
    assert len(losses) == 4
    assert losses[-1] < losses[0]


KILLED = """
import os
import sys
from pathlib import Path
from tests.training.test_run import *
questions = windows(read_squad([JAQUAD_EXCERPT]), 60)
class Die(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 9:
            os.kill(os.getpid(), signal.SIGKILL)
torch.set_num_threads(1)
class Dying(ColBERTTrainer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.add_callback(Die())
run_module.ColBERTTrainer = Dying
go(questions, question_pairs(questions)[:48], Path({output!r}), {recipe}, checkpoint_steps=4)
"""


@pytest.mark.parametrize("recipe", ["PAIRS", "SCHEDULE_FREE"])
def test_a_killed_run_resumes_to_the_same_weights(
    recipe: str, questions: QuestionSet, pairs: list[Example], tmp_path: Path
) -> None:
    chosen: Recipe = globals()[recipe]
    whole = go(questions, pairs, tmp_path / "whole", chosen, checkpoint_steps=4)
    code = KILLED.format(output=str(tmp_path / "killed"), recipe=recipe)
    died = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    assert not (tmp_path / "killed" / "model").exists()
    # as a kill in the middle of a save would leave it
    (tmp_path / "killed" / "checkpoint-9").mkdir()
    (tmp_path / "killed" / "checkpoint-9" / "trainer_state.json").write_text("{")
    last = last_checkpoint(tmp_path / "killed")
    assert last is not None
    assert last.name == "checkpoint-8"
    resumed = go(questions, pairs, tmp_path / "killed", chosen, checkpoint_steps=4, resume=True)
    for part in ("checkpoint-8", "checkpoint-12", "model"):  # in the order in which a difference would appear
        assert differences(tmp_path / "killed" / part, tmp_path / "whole" / part) == {}, part
    assert resumed.model.fingerprint == whole.model.fingerprint


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"])
def test_a_checkpoint_without_all_of_its_state_is_not_resumed_from(
    questions: QuestionSet, pairs: list[Example], tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "run" / "checkpoint-4"
    folder.mkdir(parents=True)
    for state in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"step": 4, "exp_avg": torch.arange(1000.0)}, folder / state)
    TrainerState(global_step=4).save_to_json(str(folder / "trainer_state.json"))
    check_state(folder)
    whole = (folder / name).read_bytes()
    flipped = bytearray(whole)
    flipped[whole.find(b"step") if name.endswith(".json") else whole.index(b"data.pkl") + 80] ^= 0x10
    for damaged in (None, b"", whole[: len(whole) // 2], bytes(flipped)):
        (folder / name).unlink(missing_ok=True)
        if damaged is not None:
            (folder / name).write_bytes(damaged)
        pattern = name.replace("state.pth", r"state\*?\.pth")
        with pytest.raises(TrainingError, match=rf"{pattern}, the state of .*resume from the one before it"):
            check_state(folder)


def differences(folder: Path, other: Path) -> dict[str, float]:
    """The tensors that two checkpoints do not share bit by bit, with the largest difference."""
    ours, theirs = load_file(folder / "model.safetensors"), load_file(other / "model.safetensors")
    assert ours.keys() == theirs.keys()
    return {n: float((t - theirs[n]).abs().max()) for n, t in ours.items() if not torch.equal(t, theirs[n])}


class Watch(TrainerCallback):
    """Averages the weights by the optimizer's own definition, beside it: x = (y - (1 - beta) z) / beta."""

    def __init__(self) -> None:
        self.averages: dict[int, dict[str, Tensor]] = {}
        self.points: dict[int, dict[str, Tensor]] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        optimizer, model = kwargs["optimizer"], kwargs["model"]
        beta = optimizer.param_groups[0]["betas"][0]
        assert all(group["train_mode"] for group in optimizer.param_groups)
        inner = getattr(optimizer, "optimizer", optimizer)
        trained = {name: tensor for name, tensor in model.named_parameters() if "z" in inner.state[tensor]}
        points = {name: tensor.detach().clone() for name, tensor in trained.items()}
        z = {name: inner.state[tensor]["z"] for name, tensor in trained.items()}
        self.points[state.global_step] = points
        self.averages[state.global_step] = {n: (y - (1 - beta) * z[n]) / beta for n, y in points.items()}


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()

    class Watched(ColBERTTrainer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.add_callback(watch)

    monkeypatch.setattr(run_module, "ColBERTTrainer", Watched)
    return watch


def stored(folder: Path) -> Tensor:
    return load_file(folder / "model.safetensors")["linear.weight"]


def test_schedule_free_saves_are_the_averaged_weights(
    watch: Watch, questions: QuestionSet, pairs: list[Example], tmp_path: Path
) -> None:
    result = go(questions, pairs, tmp_path / "run", SCHEDULE_FREE, checkpoint_steps=3, keep_checkpoints=None)
    projection = "1.linear.weight"
    for step in (3, 6, 9, 12):
        saved = stored(tmp_path / "run" / f"checkpoint-{step}")
        assert torch.allclose(saved, watch.averages[step][projection], atol=1e-6)
        assert not torch.allclose(saved, watch.points[step][projection], atol=1e-6)
    assert torch.equal(stored(result.path), stored(tmp_path / "run" / "checkpoint-12"))
    # and after a resume
    for step in (9, 12):
        for file in (tmp_path / "run" / f"checkpoint-{step}").iterdir():
            file.unlink()
    resumed = go(questions, pairs, tmp_path / "run", SCHEDULE_FREE, checkpoint_steps=3, resume=True)
    assert torch.allclose(stored(resumed.path), watch.averages[12][projection], atol=1e-6)
    assert torch.equal(stored(resumed.path), stored(tmp_path / "run" / "checkpoint-12"))


def test_accumulated_batches_are_the_batch(questions: QuestionSet, tuples: list[Example], tmp_path: Path) -> None:
    recipe = DISTILL.change(optimizer="adamw", schedule="constant", steps=3, warmup_steps=0)
    model = from_backbone_without_dropout(questions)
    whole = train(model, tuples, tmp_path / "1", recipe)
    model = from_backbone_without_dropout(questions)
    parts = train(model, tuples, tmp_path / "2", recipe, options=RunOptions(device_batch_size=2))
    assert torch.allclose(stored(whole.path), stored(parts.path), atol=1e-4)


def test_cached_in_batch_negatives_are_those_of_the_whole_batch(
    questions: QuestionSet, pairs: list[Example], tmp_path: Path
) -> None:
    recipe = PAIRS.change(steps=3, warmup_steps=0)
    whole = train(from_backbone_without_dropout(questions), pairs, tmp_path / "1", recipe)
    options = RunOptions(device_batch_size=2, cached=True)
    cached = train(from_backbone_without_dropout(questions), pairs, tmp_path / "2", recipe, options=options)
    assert torch.allclose(stored(whole.path), stored(cached.path), atol=1e-4)
    assert cached.notes == ()
    plain = train(
        from_backbone_without_dropout(questions), pairs, tmp_path / "3", recipe, options=RunOptions(device_batch_size=2)
    )
    assert plain.notes == ("in-batch negatives are those of 2 queries at a time",)
    with pytest.raises(RecipeError, match="cached=True is for the loss in_batch alone"):
        go(questions, pairs, tmp_path / "4", PAIRS.change(losses={"in_batch": 1, "softmax": 1}, ways=2), cached=True)


def from_backbone_without_dropout(questions: QuestionSet) -> JaColBERT:
    return build_untrained([p.text for p in questions.passages], replace(SMALL, dropout=0.0))


def test_dimensions_are_trained_together_and_saved_apart(
    questions: QuestionSet, tuples: list[Example], tmp_path: Path
) -> None:
    recipe = DISTILL.change(dimensions=(6, 4), pool_factor=2.0)
    whole = go(questions, tuples, tmp_path / "run", recipe, checkpoint_steps=4)
    assert [JaColBERT.from_pretrained(tmp_path / "run" / f"model{d}").dimension for d in ("", "-6", "-4")] == [8, 6, 4]
    assert whole.model.encode_query(["山"])[0].shape[1] == 8
    for step in (8, 12):
        for file in (tmp_path / "run" / f"checkpoint-{step}").iterdir():
            file.unlink()
    small = stored(tmp_path / "run" / "model-4")
    go(questions, tuples, tmp_path / "run", recipe, checkpoint_steps=4, resume=True)
    assert torch.equal(stored(tmp_path / "run" / "model-4"), small)


def test_the_rule_of_training_is_not_that_of_the_model(
    questions: QuestionSet, pairs: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths: list[tuple[int, int]] = []
    forward = LateInteractionLoss.forward

    def seen(self: LateInteractionLoss, features: Any, labels: Any = None) -> Any:
        widths.append((features[0]["input_ids"].shape[1], features[1]["input_ids"].shape[1]))
        return forward(self, features, labels)

    monkeypatch.setattr(LateInteractionLoss, "forward", seen)
    long = [replace(pair, query=pair.query * 3) for pair in pairs]
    result = go(questions, long, tmp_path / "run", PAIRS.change(query_maxlen=24, document_maxlen=40))
    assert {width for width, _ in widths} == {24}
    assert max(width for _, width in widths) == 40
    assert (result.model.query_length, result.model.document_maxlen) == ("released", 40)
    metadata = json.loads((result.path / "artifact.metadata").read_text())
    assert (metadata["query_maxlen"], metadata["doc_maxlen"]) == (24, 40)
    assert result.model.encode_query(["山と川、" * 20])[0].shape[0] > 32


def falling(values: list[float]) -> Any:
    left: Iterator[float] = iter(values)

    def measure(_: JaColBERT) -> Mapping[str, float]:
        return {"mrr_at_10": next(left)}

    return measure


def test_early_stopping_keeps_the_best(questions: QuestionSet, pairs: list[Example], tmp_path: Path) -> None:
    result = go(questions, pairs, tmp_path / "run", SCHEDULE_FREE, measure=falling([0.2, 0.5, 0.4, 0.3, 0.9]),
                checkpoint_steps=2, patience=2, keep_checkpoints=None)  # fmt: skip
    measured = [(e["step"], e["eval_mrr_at_10"]) for e in result.history if "eval_mrr_at_10" in e]
    assert measured == [(2, 0.2), (4, 0.5), (6, 0.4), (8, 0.3)]
    assert torch.equal(stored(result.path), stored(tmp_path / "run" / "checkpoint-4"))
    assert not torch.equal(stored(result.path), stored(tmp_path / "run" / "checkpoint-8"))
    with pytest.raises(RecipeError, match="patience needs a measure"):
        go(questions, pairs, tmp_path / "2", PAIRS, patience=2)
    with pytest.raises(RecipeError, match="make the first a multiple of the second"):
        go(
            questions,
            pairs,
            tmp_path / "3",
            PAIRS,
            measure=falling([1]),
            patience=2,
            checkpoint_steps=3,
            evaluation_steps=2,
        )


@pytest.mark.parametrize(("precision", "way_of_steps"), [("bfloat16", "eager"), ("float32", "sdpa")])
def test_attention_is_not_fused_where_that_is_slow(
    precision: str,
    way_of_steps: str,
    questions: QuestionSet,
    pairs: list[Example],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ways: dict[str, set[str]] = {"steps": set(), "measures": set()}
    step = ColBERTTrainer.training_step

    def way(model: Any) -> str:
        implementation: str = model[0].auto_model.config._attn_implementation
        return implementation

    def stepped(trainer: ColBERTTrainer, model: Any, *rest: Any) -> Tensor:
        ways["steps"].add(way(trainer.model))
        return step(trainer, model, *rest)

    def measure(model: JaColBERT) -> Mapping[str, float]:
        ways["measures"].add(way(model.model))
        return {"mrr_at_10": 0.5}

    monkeypatch.setattr(ColBERTTrainer, "training_step", stepped)
    result = go(questions, pairs, tmp_path / "run", PAIRS, measure=measure, checkpoint_steps=6, precision=precision)
    assert ways == {"steps": {way_of_steps}, "measures": {"sdpa"}}
    assert way(result.model.model) == "sdpa"


def test_tensorboard(questions: QuestionSet, pairs: list[Example], tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    go(questions, pairs, tmp_path / "run", PAIRS, tensorboard=True, logging_steps=4)
    (events,) = (tmp_path / "run" / "tensorboard").rglob("events.*")
    log = EventAccumulator(str(events))
    log.Reload()
    assert [event.step for event in log.Scalars("train/loss")] == [4, 8, 12]


def test_the_bar_shows_loss_and_metric(
    questions: QuestionSet,
    pairs: list[Example],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # a terminal of 80 would not show all of it
    monkeypatch.setenv("LINES", "50")
    go(questions, pairs, tmp_path / "run", PAIRS, measure=falling([0.25]), show_progress_bar=True, logging_steps=12)
    shown = capsys.readouterr().err
    assert "12/12" in shown
    assert "loss=" in shown
    assert "mrr_at_10=0.250 (best 0.250)" in shown
    go(questions, pairs, tmp_path / "quiet", PAIRS)
    assert capsys.readouterr().err == ""


def test_bfloat16_is_near_float32(questions: QuestionSet, tuples: list[Example], tmp_path: Path) -> None:
    exact = go(questions, tuples, tmp_path / "1", DISTILL, precision="float32")
    rough = go(questions, tuples, tmp_path / "2", DISTILL, precision="bfloat16")
    assert exact.model.fingerprint != rough.model.fingerprint
    assert torch.allclose(stored(exact.path), stored(rough.path), atol=0.05)


def test_a_model_that_a_gpu_has_rounded_is_trained_as_it_is_stored(
    questions: QuestionSet, pairs: list[Example], tmp_path: Path
) -> None:
    fresh(questions).save_pretrained(tmp_path / "start")
    results = [
        train(JaColBERT.from_pretrained(tmp_path / "start", dtype=dtype), pairs, tmp_path / str(dtype), PAIRS)
        for dtype in (torch.float32, torch.bfloat16)
    ]
    assert {weight.dtype for weight in results[1].model.model.parameters()} == {torch.float32}
    assert results[0].model.fingerprint == results[1].model.fingerprint


def poisoned(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, calls = LateInteractionLoss.forward, [0]

    def bad(self: LateInteractionLoss, features: Any, labels: Any = None) -> Any:
        calls[0] += 1
        losses = forward(self, features, labels)
        return {name: loss * float("nan") if calls[0] == at else loss for name, loss in losses.items()}

    monkeypatch.setattr(LateInteractionLoss, "forward", bad)


def test_a_loss_that_is_no_number_stops_the_run(
    questions: QuestionSet, pairs: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(7, monkeypatch)
    with pytest.raises(
        DivergedError, match=r"the loss of the batch for step 7 \(epoch 1\.000\) is nan.*step 6 are kept"
    ):
        go(questions, pairs, tmp_path / "run", SCHEDULE_FREE, checkpoint_steps=4)
    assert not (tmp_path / "run" / "model").exists()
    kept = JaColBERT.from_pretrained(tmp_path / "run" / "diverged-6")
    assert torch.isfinite(kept.model[1].get_parameter("linear.weight")).all()
    last = last_checkpoint(tmp_path / "run")
    assert last is not None
    assert last.name == "checkpoint-4"


def test_a_full_disk_keeps_the_checkpoint_before_it(
    questions: QuestionSet, pairs: list[Example], tmp_path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = 0

    def fill(_: JaColBERT) -> Mapping[str, float]:
        """After the first checkpoint no file may be longer than half of its weights."""
        nonlocal size
        first = tmp_path / "run" / "checkpoint-4" / "model.safetensors"
        if first.exists():
            resource.setrlimit(resource.RLIMIT_FSIZE, (first.stat().st_size // 2, hard))
        return {"mrr_at_10": 0.5}

    try:
        with pytest.raises(SaveError, match=r"checkpoint-8 could not be written: .* checkpoint-4 is whole"):
            go(questions, pairs, tmp_path / "run", PAIRS, checkpoint_steps=4, measure=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert not (tmp_path / "run" / "checkpoint-8").exists()
    options: dict[str, Any] = {"checkpoint_steps": 4, "measure": lambda _: {"mrr_at_10": 0.5}}
    whole = go(questions, pairs, tmp_path / "whole", PAIRS, **options)
    resumed = go(questions, pairs, tmp_path / "run", PAIRS, **options, resume=True)
    assert resumed.model.fingerprint == whole.model.fingerprint


def test_runs_that_cannot_begin(
    questions: QuestionSet, pairs: list[Example], tuples: list[Example], tmp_path: Path
) -> None:
    done = go(questions, pairs, tmp_path / "done", PAIRS.change(steps=1, warmup_steps=0))
    assert done.recipe.steps == 1
    with pytest.raises(TrainingError, match="holds a run already"):
        go(questions, pairs, tmp_path / "done", PAIRS)
    with pytest.raises(TrainingError, match=r"no whole checkpoint in .* to resume from"):
        go(questions, pairs, tmp_path / "new", PAIRS, resume=True)
    with pytest.raises(TrainingDataError, match=r"48 of 48 examples have fewer passages than the recipe's 2 ways"):
        go(questions, pairs, tmp_path / "new", PAIRS.change(ways=2))
    unscored = [replace(example, scores=None) for example in tuples]
    with pytest.raises(TrainingDataError, match="48 of 48 examples have no scores"):
        go(questions, unscored, tmp_path / "new", DISTILL)
    with pytest.raises(TrainingDataError, match="there are no examples"):
        go(questions, [], tmp_path / "new", PAIRS)
    with pytest.raises(RecipeError, match=r"document_maxlen of the recipe is 4000, but .* has positions for 512"):
        go(questions, pairs, tmp_path / "new", PAIRS.change(document_maxlen=4000))
    with pytest.raises(RecipeError, match="grouped batches are made of examples"):
        go(questions, tuples, tmp_path / "new", PAIRS.change(ways=2, batches="grouped"))
    with pytest.raises(InputError, match="keep_checkpoints is 0"):
        RunOptions(keep_checkpoints=0)
    assert not (tmp_path / "new").exists()


def test_little_data_scales_the_recipe_down_and_says_so(
    questions: QuestionSet, pairs: list[Example], tmp_path: Path
) -> None:
    result = go(questions, pairs[:9], tmp_path / "run", PAIRS.change(steps=1000, warmup_steps=100))
    assert result.recipe.steps == 11
    assert result.notes == ("steps 1,000 -> 11, warmup_steps 100 -> 1: 10 times over 9 examples in batches of 8",)


def test_datasets_are_taken_as_they_are(questions: QuestionSet, tuples: list[Example], tmp_path: Path) -> None:
    from datasets import Dataset

    columns: dict[str, list[Any]] = {"query": [e.query for e in tuples]}
    columns |= {f"document_{i + 1}": [e.passages[i] for e in tuples] for i in range(4)}
    scored = Dataset.from_dict(columns | {"scores": [list(e.scores or ()) for e in tuples]})
    same = go(questions, tuples, tmp_path / "1", DISTILL)
    assert go(questions, scored, tmp_path / "2", DISTILL).model.fingerprint == same.model.fingerprint
    with pytest.raises(
        TrainingDataError, match="the dataset has 4 document columns and no scores, but recipe 'distill'"
    ):
        go(questions, Dataset.from_dict(columns), tmp_path / "3", DISTILL)
    with pytest.raises(TrainingDataError, match="has 4 document columns, but recipe 'distill' takes 2"):
        go(questions, scored, tmp_path / "3", DISTILL.change(ways=2))


def test_a_pretrained_encoder_gets_a_new_projection(tmp_path: Path) -> None:
    model = from_backbone(STANFORD, dimension=16)
    same = from_backbone(STANFORD, dimension=16)
    assert model.dimension == 16
    assert model.fingerprint == same.fingerprint
    reference = JaColBERT.from_pretrained(STANFORD)
    name = "auto_model.embeddings.word_embeddings.weight"
    assert torch.equal(model.model[0].get_parameter(name), reference.model[0].get_parameter(name))


def test_a_flipped_bit_in_a_tensor_of_the_state_is_noticed(tmp_path: Path) -> None:
    """torch writes checksums, but its own loading reads none of them."""
    for state in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"exp_avg": torch.ones(1000)}, tmp_path / state)
    TrainerState(global_step=4).save_to_json(str(tmp_path / "trainer_state.json"))
    content = bytearray((tmp_path / "optimizer.pt").read_bytes())
    content[content.index(torch.ones(8).numpy().tobytes()) + 2] ^= 1
    (tmp_path / "optimizer.pt").write_bytes(content)
    loaded = torch.load(tmp_path / "optimizer.pt", weights_only=True)["exp_avg"]
    assert not torch.equal(loaded, torch.ones(1000))
    with pytest.raises(TrainingError, match=r"optimizer\.pt, the state of the optimizer, .* is damaged"):
        check_state(tmp_path)
