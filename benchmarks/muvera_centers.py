"""What is taken off of token vectors before MUVERA encodes them: recall of its candidates on JSQuAD, for each model.

The paper takes off nothing. A common mean is that of the passages' vectors, for passages and queries alike; two means
are that and the mean of queries: of passages' first sentences encoded as queries, as a store measures them, or of the
questions themselves, which nobody has when a collection is made.

    python benchmarks/muvera_centers.py [MODEL ...] [--questions 1000]
"""

from __future__ import annotations

import argparse
import random
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.errors import TruncationWarning
from jacolbert_integrations.evaluation.benchmark import Benchmark
from jacolbert_integrations.evaluation.curves import recall_curve
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.qdrant.query_samples import sample_queries
from jacolbert_integrations.qdrant.stages import FixedDimensional
from jacolbert_integrations.scoring.muvera import Muvera
from jacolbert_integrations.types import TokenVectors

DEPTHS = (10, 100, 200)


def mean(vectors: Sequence[TokenVectors]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.concatenate(vectors).mean(axis=0)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["jacolbert-small", "jacolbert-mini"])
    parser.add_argument("--questions", type=int, default=1_000, help="drawn at random")
    parser.add_argument("--passages", type=int, default=1_145, help="the first of JSQuAD valid")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", TruncationWarning)
    whole = load_jsquad()
    passages = whole.passages[: arguments.passages]
    ids = {passage.id for passage in passages}
    questions = [question for question in whole.questions if question.passage_id in ids]
    asked = random.Random(0).sample(questions, min(arguments.questions, len(questions)))
    benchmark = Benchmark(
        name="JSQuAD valid",
        passages={passage.id: passage.text for passage in passages},
        queries={question.id: question.text for question in asked},
        qrels={question.id: {question.passage_id: 1} for question in asked},
    )
    print(f"{len(asked):,} questions, {len(passages):,} passages\n")
    print(
        "| model | taken off | " + " | ".join(f"R@{depth}" for depth in DEPTHS) + " |\n|---|---|" + "--:|" * len(DEPTHS)
    )
    for name in arguments.models:
        measure(JaColBERT.from_pretrained(name), benchmark)


def measure(model: JaColBERT, benchmark: Benchmark) -> None:
    texts = list(benchmark.passages.values())
    documents = model.encode_document(texts, show_progress_bar=False)
    queries = model.encode_query(list(benchmark.queries.values()), show_progress_bar=False)
    common = mean(documents)
    sampled = mean(sample_queries([FixedDimensional()], texts[:256], model))
    nothing = np.zeros_like(common)
    muvera = Muvera(model.dimension)
    for name, of_documents, of_queries in (
        ("nothing", nothing, nothing),
        ("a common mean", common, common),
        ("two means, of first sentences", common, sampled),
        ("two means, of the questions", common, mean(queries)),
    ):
        encoded = muvera.encode_document([each - of_documents for each in documents])
        scores = np.stack([muvera.encode_query(each - of_queries) for each in queries]) @ encoded.T
        found = dict(recall_curve(scores, benchmark))
        print(f"| {model.name} | {name} | " + " | ".join(f"{found.get(d, 1.0):.3f}" for d in DEPTHS) + " |", flush=True)


if __name__ == "__main__":
    main()
