"""What each choice of the recipes is worth: one table, three seeds a row, on real Japanese questions.

A very small student is trained on JaQuAD train, first contrastively, then on from there by each choice
with the same number of steps. It is measured on JaQuAD dev: MRR@10 over passages drawn at random, cut into
windows, for questions to them. The teachers are BM25, the bundled mini model (larger than the
student), and their ensemble: the mean of their normalised scores.

    python benchmarks/ablations.py --train jaquad_train_*.json --dev jaquad_dev_*.json --work DIR

Results are kept in DIR as they come: stopped and started again, it goes on. Seeds can run side by side
(--seeds 1, --seeds 2, ...); --report makes the table of all that is there.
"""

from __future__ import annotations

import argparse
import random
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ablation_rows import Rows, some, table
from sentence_transformers.multi_vector_encoder.modules.token_pooling import HierarchicalTokenPooling
from torch import from_numpy

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.errors import TruncationWarning
from jacolbert_integrations.evaluation.metrics import metrics_of_scores
from jacolbert_integrations.evaluation.retrieval import right_columns
from jacolbert_integrations.query_length import QueryLength
from jacolbert_integrations.text.squad import Question, QuestionSet, read_squad
from jacolbert_integrations.training.architecture import Architecture, build_untrained
from jacolbert_integrations.training.ensembles import ensemble, scores_of
from jacolbert_integrations.training.merging.averages import average
from jacolbert_integrations.training.negatives import Source, mine_negatives
from jacolbert_integrations.training.options import RunOptions
from jacolbert_integrations.training.pairs import question_pairs, windows
from jacolbert_integrations.training.rankers import BM25Ranker
from jacolbert_integrations.training.recipes import Recipe
from jacolbert_integrations.training.records import Example
from jacolbert_integrations.training.run import train
from jacolbert_integrations.training.teachers import BM25Teacher, LateInteractionTeacher, Teacher
from jacolbert_integrations.training.teaching import teach

STUDENT = Architecture(
    vocabulary_size=8192, hidden_size=64, layers=1, heads=2, dimension=64, document_maxlen=300, query_length="fixed"
)
STARTS = {
    "words weighed by rarity, local attention": STUDENT,
    "words weighed by rarity": replace(STUDENT, local_attention=False),
    "random": replace(STUDENT, local_attention=False, rarity_weighted=False),
}
BEST = next(iter(STARTS))
WINDOW = 120
WAYS = 8
QUERIES = 4_000
"""Queries with mined negatives and teachers' scores; the first stage has all."""

FIRST = Recipe(name="first", ways=1, losses={"in_batch": 1.0}, scale=4.0, batch_size=32, batches="grouped", steps=300,
               learning_rate=1e-4, embedding_learning_rate=1e-3, warmup_steps=30, document_maxlen=200,
               query_length="fixed")  # fmt: skip
# for models that begin farther from where they should be
FASTER = FIRST.change(learning_rate=4e-4, embedding_learning_rate=3e-3)
SECOND = FIRST.change(name="second", steps=160, warmup_steps=16)
MINED = SECOND.change(ways=WAYS, batch_size=16, batches="shuffled")
DISTILLED = MINED.change(losses={"kl": 1.0}, normalization="both", max_grad_norm=None)
MARGINS = DISTILLED.change(losses={"margin_mse": 1.0})
SCHEDULE_FREE = DISTILLED.change(optimizer="schedule_free_adamw", schedule="constant")
BM25_SCALE = 0.25
"""BM25's scores are about four times as far apart as MaxSim's."""

TRAINED_RELEASED = "ensemble, query length released for fixed in training and use"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", nargs="+", type=Path, default=[])
    parser.add_argument("--dev", nargs="+", type=Path, default=[])
    parser.add_argument("--work", required=True, type=Path, help="where results and checkpoints are kept")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--passages", type=int, default=500, help="of the development set, drawn at random")
    parser.add_argument("--questions", type=int, default=1_000, help="that are asked of them")
    parser.add_argument("--report", action="store_true", help="make the table of what is there")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", TruncationWarning)
    if not arguments.report:
        for seed in arguments.seeds:
            Ablation(arguments, seed).run()
    print(table(arguments.work))


class Ablation(Rows):
    """All rows of one seed."""

    def __init__(self, arguments: argparse.Namespace, seed: int) -> None:
        super().__init__(arguments.work, seed)
        whole = read_squad(arguments.train)
        self.texts = [p.text for p in whole.passages] + [q.text for q in whole.questions]
        self.questions = windows(whole, WINDOW)
        self.pairs = question_pairs(self.questions)
        self.dev = windows(some(read_squad(arguments.dev), arguments.passages), WINDOW)
        self.asked = random.Random(0).sample(self.dev.questions, min(arguments.questions, len(self.dev.questions)))

    def run(self) -> None:
        """Computes the rows that are not there yet."""
        first = self.trained("first", FIRST, self.pairs, None)
        for start in STARTS:
            self.row(f"untrained, {start}", partial(self._measure_untrained, start))
        self.row("first stage: contrastive", lambda: self._measure(first))
        for start in STARTS:
            self.row(f"first stage, faster, from {start}", partial(self._measure_first, FASTER, start))
        mined = self._mined()
        bm25 = self._taught(mined, BM25Teacher([p.text for p in self.questions.passages]))
        larger = self._taught(mined, LateInteractionTeacher(JaColBERT.from_pretrained("jacolbert-mini")))
        both = ensemble(bm25, larger)
        scaled = [replace(e, scores=tuple(BM25_SCALE * score for score in scores_of(e))) for e in bm25]
        variants: list[tuple[str, Recipe, Sequence[Example]]] = [
            ("contrastive only", SECOND, self.pairs),
            ("contrastive only, scale 1 for 4", SECOND.change(scale=1.0), self.pairs),
            ("+ mined negatives", MINED, mined),
            ("+ mined negatives, scale 1 for 4", MINED.change(scale=1.0), mined),
            ("+ distillation, BM25", DISTILLED, bm25),
            ("+ distillation, larger late-interaction model", DISTILLED, larger),
            ("+ distillation, ensemble of both", DISTILLED, both),
            ("ensemble, MarginMSE for KL", MARGINS, both),
            ("BM25, MarginMSE for KL", MARGINS, bm25),
            ("BM25, MarginMSE of raw scores", MARGINS.change(normalization="none"), scaled),
            ("larger model, KL of raw scores", DISTILLED.change(normalization="none"), larger),
            ("larger model, KL, only the teacher normalised", DISTILLED.change(normalization="teacher"), larger),
            ("ensemble, with in-batch negatives", DISTILLED.change(losses={"kl": 1.0, "in_batch": 1.0}), both),
            ("ensemble, schedule-free for linear", SCHEDULE_FREE, both),
            ("ensemble, pooled by 2 in training", DISTILLED.change(pool_factor=2.0), both),
            (TRAINED_RELEASED, DISTILLED.change(query_length="released"), both),
        ]
        for name, recipe, examples in variants:
            if name not in self.results:
                model = self.trained(name, recipe, examples, first)
                self.row(name, partial(self._measure, model, rule=recipe.query_length))
        self.after()

    def after(self) -> None:
        """What needs no training of its own."""
        best = JaColBERT.from_pretrained(self.path("+ distillation, ensemble of both") / "model")
        run = self.path("+ distillation, ensemble of both")
        last = [run / f"checkpoint-{DISTILLED.steps * quarter // 4}" for quarter in (2, 3, 4)]
        self.row("ensemble, mean of the last 3 checkpoints", lambda: self._merged("last", last))
        first = self.path("first") / "model"
        self.row("ensemble, mean with the first stage", lambda: self._merged("first", [run / "model", first]))
        pooled = JaColBERT.from_pretrained(self.path("ensemble, pooled by 2 in training") / "model")
        for factor in (2, 3, 4):
            self.row(f"ensemble, pooled by {factor}", partial(self._measure, best, pool_factor=factor))
            self.row(
                f"pooled by 2 in training, pooled by {factor}",
                partial(self._measure, pooled, pool_factor=factor),
            )
        rules: tuple[QueryLength, ...] = ("released", "paper")
        for rule in rules:
            self.row(f"ensemble, query length {rule} for fixed in use alone", partial(self._measure, best, rule=rule))

    def trained(
        self,
        name: str,
        recipe: Recipe,
        examples: Sequence[Example],
        first: JaColBERT | None,
        *,
        start: str = BEST,
    ) -> JaColBERT:
        """Trains on from the first stage, or from nothing; or loads what was trained before."""
        folder = self.path(name)
        if not (folder / "model").exists():
            shutil.rmtree(folder, ignore_errors=True)
            model = self._untrained(start) if first is None else JaColBERT.from_pretrained(self.path("first") / "model")
            options = RunOptions(checkpoint_steps=recipe.steps // 4, show_progress_bar=False)
            train(model, examples, folder, recipe.change(seed=self.seed), options=options)
        return JaColBERT.from_pretrained(folder / "model")

    def _untrained(self, start: str) -> JaColBERT:
        return build_untrained(self.texts, replace(STARTS[start], seed=self.seed))

    def _measure_untrained(self, start: str) -> float:
        return self._measure(self._untrained(start))

    def _measure_first(self, recipe: Recipe, start: str) -> float:
        name = f"first {recipe.learning_rate} {start}"
        return self._measure(self.trained(name, recipe, self.pairs, None, start=start))

    def _mined(self) -> list[Example]:
        chosen = random.Random(self.seed).sample(self.pairs, min(QUERIES, len(self.pairs)))
        passages = self.questions.passages
        source = Source(ranker=BM25Ranker([p.text for p in passages]), count=WAYS - 1, window=(1, 30))
        found = mine_negatives(
            chosen, passages, [source], file=self.folder / "negatives.jsonl", same_document=True, seed=self.seed
        )
        return [example for example in found.examples if example.ways == WAYS]

    def _taught(self, examples: Sequence[Example], teacher: Teacher) -> list[Example]:
        return teach(examples, teacher, file=self.folder / f"scores-{teacher.name}.jsonl")

    def _merged(self, name: str, members: Sequence[Path]) -> float:
        output = self.folder / f"merged-{name}"
        shutil.rmtree(output, ignore_errors=True)
        average(members, output)
        return self._measure(JaColBERT.from_pretrained(output))

    def _measure(self, model: JaColBERT, *, pool_factor: float = 1, rule: QueryLength = "fixed") -> float:
        return mrr(model, self.dev, self.asked, pool_factor, rule)


def mrr(model: JaColBERT, dev: QuestionSet, asked: Sequence[Question], pool_factor: float, rule: QueryLength) -> float:
    """MRR@10 of a model whose documents are pooled, and whose queries are padded by a rule."""
    transformer: Any = model.model[0]
    transformer.query_length_rule = rule
    documents = model.encode_document([p.text for p in dev.passages], show_progress_bar=False)
    if pool_factor > 1:
        pooling = HierarchicalTokenPooling(pool_factor)
        documents = [pooling.pool_one(from_numpy(document)).numpy() for document in documents]
    queries = model.encode_query([q.text for q in asked], show_progress_bar=False)
    transformer.query_length_rule = "fixed"
    return metrics_of_scores(model.score(queries, documents), right_columns(dev, asked)).mrr_at_10


if __name__ == "__main__":
    main()
