"""Queries of other kinds than a model was trained on, beside BM25: how far does it carry?

    python benchmarks/other_domains.py --dev path/to/jaquad/jaquad_dev_*.json [MODEL ...]

- Sentences: one of each passage of JaQuAD dev asks for the rest of its passage, which no longer has it.
- Titles: the title of an article of JaQuAD dev asks for its passages; the best of them counts.
- Readings: questions of JSQuAD valid whose nouns are written as they are read, in katakana, so that no kanji of them
  match. (MeCab says how.)
- English: questions of JSQuAD valid in English, translated by hand (``data/jsquad-in-english.tsv``, CC BY-SA 4.0).

The models are those that come with the package, unless others are named. Nothing was trained or chosen by any of this.
"""

from __future__ import annotations

import argparse
import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import fugashi
import numpy as np

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.errors import TruncationWarning
from jacolbert_integrations.evaluation.bm25 import BM25
from jacolbert_integrations.evaluation.fusion import with_bm25
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.evaluation.metrics import RetrievalMetrics, metrics_of_scores
from jacolbert_integrations.text.squad import QuestionSet, read_squad
from jacolbert_integrations.training.pairs import inverse_cloze_pairs
from jacolbert_integrations.types import Scores

ENGLISH = Path(__file__).parent / "data" / "jsquad-in-english.tsv"


@dataclass(frozen=True)
class Task:
    """Queries, the passages that they are asked of, and for each query the passages that answer it."""

    name: str
    queries: list[str]
    passages: list[str]
    right: list[list[int]]

    def measure(self, scores: Scores) -> RetrievalMetrics:
        """Takes the best-ranked of a query's right passages."""
        best = [columns[int(np.argmax(row[columns]))] for row, columns in zip(scores, self.right, strict=True)]
        return metrics_of_scores(scores, best)


def sentences(dev: QuestionSet) -> Task:
    pairs = inverse_cloze_pairs(dev, len(dev.passages), cut=1.0, rng=random.Random(0))
    one_each = {pair.passage_ids: pair for pair in pairs}  # no passage without two of its sentences
    chosen = list(one_each.values())
    texts = [pair.passages[0] for pair in chosen]
    return Task("sentences", [pair.query for pair in chosen], texts, [[row] for row in range(len(chosen))])


def titles(dev: QuestionSet) -> Task:
    names = list(dict.fromkeys(passage.article for passage in dev.passages))
    right = [[i for i, passage in enumerate(dev.passages) if passage.article == name] for name in names]
    return Task("titles", [name.replace("_", " ") for name in names], [p.text for p in dev.passages], right)


def readings(jsquad: QuestionSet) -> Task:
    tagger = fugashi.Tagger()

    def read(text: str) -> str:
        words = tagger(text)
        return "".join(
            (word.feature.kana or word.surface) if word.feature.pos1 == "名詞" else word.surface for word in words
        )

    return asked("readings", jsquad, {question.id: read(question.text) for question in jsquad.questions})


def english(jsquad: QuestionSet) -> Task:
    lines = ENGLISH.read_text(encoding="utf-8").splitlines()
    return asked("English", jsquad, dict(line.split("\t") for line in lines))


def asked(name: str, jsquad: QuestionSet, queries: dict[str, str]) -> Task:
    column = {passage.id: index for index, passage in enumerate(jsquad.passages)}
    chosen = [question for question in jsquad.questions if question.id in queries]
    right = [[column[question.passage_id]] for question in chosen]
    return Task(name, [queries[question.id] for question in chosen], [p.text for p in jsquad.passages], right)


def show(task: Task, name: str, scores: Scores) -> None:
    found = task.measure(scores)
    figures = " | ".join(f"{value:.3f}" for value in (found.recall[1], found.recall[10], found.mrr_at_10))
    print(f"| {task.name} | {found.questions:,} | {name} | {figures} |", flush=True)


def run(tasks: Sequence[Task], models: Sequence[str]) -> None:
    print("| queries | how many | ranked by | R@1 | R@10 | MRR@10 |\n|---|--:|---|--:|--:|--:|")
    loaded = [JaColBERT.from_pretrained(name) for name in models]
    documents: dict[tuple[str, ...], list[list[np.ndarray]]] = {}
    for task in tasks:
        words = BM25(task.passages).score(task.queries)
        show(task, "BM25", words)
        corpus = tuple(task.passages)
        if corpus not in documents:
            documents = {corpus: [m.encode_document(task.passages) for m in loaded]}
        for model, vectors in zip(loaded, documents[corpus], strict=True):
            scores = model.score(model.encode_query(task.queries), vectors)
            show(task, model.name, scores)
            show(task, f"{model.name}, BM25 fused", with_bm25(scores, words))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["jacolbert-small", "jacolbert-mini"])
    parser.add_argument("--dev", nargs="+", type=Path, required=True, help="JaQuAD's dev files")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", TruncationWarning)
    dev, jsquad = read_squad(arguments.dev), load_jsquad()
    run([sentences(dev), titles(dev), readings(jsquad), english(jsquad)], arguments.models)


if __name__ == "__main__":
    main()
