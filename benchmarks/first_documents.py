"""First stages by words: what depends on the first documents of a collection, and what no shared word costs.

1. R@1 of BM25 on JSQuAD valid for averages of words that a collection may have recorded: too low costs much, too high
   nothing. So the first documents are measured together with a prior.
2. What is recorded, and found, after first writes of different kinds: with the prior, and without it.
3. The time of a query in Qdrant Edge by words, of one that shares no word with any passage, so that all passages are
   scored, and of an exact search.

``python benchmarks/first_documents.py``
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Sequence
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from jacolbert_integrations import EdgeStore, JaColBERT, Point, Query
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.qdrant import Lexical, QdrantWriter, SearchOptions
from jacolbert_integrations.text.lexical import LexicalEncoder
from jacolbert_integrations.types import Document

AVERAGES = (1, 5, 10, 30, 50, 70, 90, 105, 150, 200, 300, 400)


class WordIndex:
    """BM25 over words as a collection scores it, for any average that it may have recorded."""

    def __init__(self, texts: Sequence[str], questions: Sequence[str]) -> None:
        encoder = LexicalEncoder(1.0, b=0.0)
        weights = [encoder.encode_document(text) for text in texts]
        self.lengths = np.array([len(encoder.words(text)) for text in texts], np.float32)
        numbers = {word: i for i, word in enumerate({word for document in weights for word in document})}
        counts = np.zeros((len(texts), len(numbers)), np.float32)
        for row, document in enumerate(weights):
            values = np.array(list(document.values()))
            counts[row, [numbers[word] for word in document]] = values * 1.2 / (2.2 - values)  # back to counts
        having = (counts > 0).sum(axis=0)
        self.counts = counts
        self.idf = np.log1p((len(texts) - having + 0.5) / (having + 0.5)).astype(np.float32)
        self.queries: list[dict[int, float]] = [
            {numbers[word]: count for word, count in encoder.encode_query(question).items() if word in numbers}
            for question in questions
        ]

    def recall(self, right: NDArray[np.int64], average: float) -> float:
        """R@1."""
        norm = 1.2 * (0.25 + 0.75 * self.lengths / average)
        found = []
        for query in self.queries:
            columns = list(query)
            counts = self.counts[:, columns]
            weights = counts * 2.2 / (counts + norm[:, None])
            found.append(int((weights @ (self.idf[columns] * np.array(list(query.values())))).argmax()))
        return float(np.mean(np.array(found) == right))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", help="a checkpoint's directory or hub id (default: jacolbert-small)")
    arguments = parser.parse_args()
    whole, chance = load_jsquad(), random.Random(0)
    questions = chance.sample(whole.questions, 1000)
    texts = [passage.text for passage in whole.passages]
    rows = {passage.id: row for row, passage in enumerate(whole.passages)}
    right = np.array([rows[question.passage_id] for question in questions])
    index = WordIndex(texts, [question.text for question in questions])

    print("| recorded average | R@1 |\n|--:|--:|")
    for average in AVERAGES:
        print(f"| {average} | {index.recall(right, average):.3f} |")

    print("\n| first write | recorded | R@1 | measured alone | R@1 |\n|---|--:|--:|--:|--:|")
    order = chance.sample(texts, len(texts))
    firsts = {
        "a note of one word": ["test"],
        "the shortest passage": [min(texts, key=len)],
        "the longest passage": [max(texts, key=len)],
        "one passage": order[:1],
        "another": order[1:2],
        "ten passages": order[:10],
        "64 passages": order[:64],
        "256 passages": order[:256],
        "all passages": order,
        "a note, then all": ["test", *order],
    }
    counter = LexicalEncoder(1.0)
    for name, first in firsts.items():
        recorded = Lexical().measured([Point("p", np.ones((1, 1), np.float32), {}, t) for t in first]).average_words
        alone = max(sum(len(counter.words(text)) for text in first) / len(first), 1.0)
        assert recorded is not None
        print(
            f"| {name} | {recorded:.0f} | {index.recall(right, recorded):.3f} | {alone:.0f} | "
            f"{index.recall(right, alone):.3f} |"
        )

    model = JaColBERT.from_pretrained(arguments.model)
    with tempfile.TemporaryDirectory() as folder, EdgeStore(folder, first_stage=Lexical()) as store:
        writer = QdrantWriter(store, model, too_long="cut")
        writer.write(Document(passage.id, passage.text) for passage in whole.passages)
        queries = [model.query(question.text) for question in questions[:100]]
        apart = [Query(query.vectors, "ぱぴぷぺぽ") for query in queries]

        def milliseconds(asked: Sequence[Query], options: SearchOptions) -> float:
            seconds = []
            for query in asked:
                begun = perf_counter()
                store.search(query, top_k=10, options=options)
                seconds.append(perf_counter() - begun)
            return 1000 * median(seconds)

        print(f"\n| a query over {len(texts):,} passages, median | ms |\n|---|--:|")
        milliseconds(queries, SearchOptions())
        print(f"| by words | {milliseconds(queries, SearchOptions()):.1f} |")
        print(f"| that shares no word, all scored | {milliseconds(apart, SearchOptions()):.1f} |")
        print(f"| that shares no word, `exact_limit=0`: nothing found | "
              f"{milliseconds(apart, SearchOptions(exact_limit=0)):.1f} |")  # fmt: skip
        print(f"| exact | {milliseconds(queries, SearchOptions(exact=True)):.1f} |")


if __name__ == "__main__":
    main()
