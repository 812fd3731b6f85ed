"""How much a model's scores should weigh beside BM25's, on JaQuAD dev, which every choice is made by.

python benchmarks/fusion_weights.py jaquad_dev_*.json [--models MODEL ...]
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.errors import TruncationWarning
from jacolbert_integrations.evaluation.bm25 import BM25
from jacolbert_integrations.evaluation.fusion import fuse_scores
from jacolbert_integrations.evaluation.metrics import metrics_of_scores
from jacolbert_integrations.evaluation.retrieval import right_columns, score_questions
from jacolbert_integrations.text.squad import read_squad

WEIGHTS = (0.0, 0.25, 0.5, 0.65, 0.75, 0.85, 0.95, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="JaQuAD's dev files")
    parser.add_argument("--models", nargs="+", default=["jacolbert-small", "jacolbert-mini"])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", TruncationWarning)
    dev = read_squad(arguments.files)
    right = right_columns(dev, dev.questions)
    words = BM25([passage.text for passage in dev.passages]).score([question.text for question in dev.questions])
    print("| MRR@10, the model's weight | " + " | ".join(f"{weight:.2f}" for weight in WEIGHTS) + " |")
    print("|---|" + "--:|" * len(WEIGHTS))
    for name in arguments.models:
        scores = score_questions(JaColBERT.from_pretrained(name), dev, dev.questions)
        fused = [fuse_scores(scores, words, weights=(weight, 1 - weight)) for weight in WEIGHTS]
        print(f"| {name} | " + " | ".join(f"{metrics_of_scores(each, right).mrr_at_10:.3f}" for each in fused) + " |")


if __name__ == "__main__":
    main()
