"""Which score tells right passages from wrong ones, whatever the length of the question: MaxSim, or a mean of it.

    python benchmarks/thresholds.py [--model MODEL] [--squad FILE ...]

For each question there are two scores: of the passage that answers it, and of the best other one. What a fixed
threshold can do is how well these two kinds are told apart over all questions: the area under the ROC curve (AUC), the
chance that the right passage of one question scores higher than the best wrong one of another. It is given for
questions of all lengths together, and for the mean over four groups of them, of equal size, from the shortest to the
longest: what is lost between the two is what the length spoils. The last columns are those of the threshold that is
right most often: how many of the two kinds it tells rightly, and the threshold.

Scores: MaxSim; its mean over all vectors of the query; its mean over those of words alone, without [MASK]s and control
tokens; and how far it is above the mean of all passages, in standard deviations, which needs the scores of all.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.evaluation.retrieval import right_columns
from jacolbert_integrations.explaining.locating import locate_vectors
from jacolbert_integrations.text.squad import QuestionSet, read_squad
from jacolbert_integrations.types import Scores

GROUPS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a checkpoint's directory or hub id (default: jacolbert-small)")
    parser.add_argument("--squad", nargs="+", type=Path, metavar="FILE", help="another set than JSQuAD valid")
    parser.add_argument("--questions", type=int, default=1_000, help="the first so many")
    arguments = parser.parse_args()
    questions = load_jsquad() if arguments.squad is None else read_squad(arguments.squad)
    asked = questions.questions[:: max(len(questions.questions) // arguments.questions, 1)]
    report(JaColBERT.from_pretrained(arguments.model), QuestionSet(questions.passages, asked))


def report(model: JaColBERT, questions: QuestionSet) -> None:
    """Prints the table."""
    texts = [question.text for question in questions.questions]
    located = [locate_vectors(model, text, "query") for text in texts]
    documents = model.encode_document([passage.text for passage in questions.passages], show_progress_bar=True)
    whole = model.score([vectors for vectors, _ in located], documents)
    words = [
        vectors[[place for place, token in enumerate(tokens) if token.kind == "text"]] for vectors, tokens in located
    ]
    lengths = np.array([len(vectors) for vectors, _ in located])
    of_words = model.score(words, documents) / np.array([[len(each)] for each in words])
    right = np.array(right_columns(questions, questions.questions))
    print(f"{model.name}: {len(texts):,} questions over {len(questions.passages):,} passages\n")
    print("| score | AUC, all lengths | AUC, mean of four groups | told rightly | threshold |\n|---|--:|--:|--:|--:|")
    ways: dict[str, Callable[[], Scores]] = {
        "MaxSim": lambda: whole,
        "mean over the query's vectors": lambda: whole / lengths[:, None],
        "mean over its words": lambda: of_words,
        "deviations above the mean of all passages": lambda: (
            (whole - whole.mean(axis=1, keepdims=True)) / whole.std(axis=1, keepdims=True)
        ),
    }
    groups = np.argsort(np.argsort(lengths, kind="stable"), kind="stable") * GROUPS // len(lengths)
    for name, scores in ways.items():
        good, bad = pairs(scores(), right)
        grouped = np.mean([auc(good[groups == group], bad[groups == group]) for group in range(GROUPS)])
        share, threshold = best_threshold(good, bad)
        print(f"| {name} | {auc(good, bad):.3f} | {grouped:.3f} | {share:.3f} | {threshold:.3f} |")


def pairs(scores: Scores, right: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The score of each question's right passage, and of its best wrong one."""
    rows = np.arange(len(right))
    others = scores.astype(np.float64)
    good = others[rows, right].copy()
    others[rows, right] = -np.inf
    return good, others.max(axis=1)


def auc(good: NDArray[np.float64], bad: NDArray[np.float64]) -> float:
    """The chance that one of the good is higher than one of the bad; a tie counts half."""
    ranks = rankdata(np.concatenate([good, bad]))[: len(good)]
    return float((ranks.sum() - len(good) * (len(good) + 1) / 2) / (len(good) * len(bad)))


def best_threshold(good: NDArray[np.float64], bad: NDArray[np.float64]) -> tuple[float, float]:
    """The share of both that the best threshold tells rightly, and the threshold."""
    candidates = np.unique(np.concatenate([good, bad]))
    shares = [float(((good >= each).mean() + (bad < each).mean()) / 2) for each in candidates]
    best = int(np.argmax(shares))
    return shares[best], float(candidates[best])


if __name__ == "__main__":
    main()
