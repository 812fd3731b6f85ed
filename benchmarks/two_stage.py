"""Two stages against an exact scan, in Qdrant Edge, over 50,000 passages and a tenth of them.

The passages are made of the sentences of SQuAD-style sets such as JaQuAD (Skelter Labs, CC BY-SA 3.0), drawn anew with
a seed; the questions are the sets' own. Recall is measured against the exact scan of the same collection.

Run it with the files: ``python benchmarks/two_stage.py jaquad_train_*.json jaquad_dev_*.json``.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

from jacolbert_integrations import JaColBERT, Query
from jacolbert_integrations.qdrant import (
    EdgeStore,
    FirstStage,
    FixedDimensional,
    Lexical,
    MeanPooled,
    QdrantWriter,
    SearchOptions,
)
from jacolbert_integrations.text.squad import QuestionSet, read_squad
from jacolbert_integrations.types import Document, Hits

CANDIDATES = (100, 200, 500, 1000, 2000)
STAGES: dict[str, tuple[FirstStage, ...]] = {
    "words": (Lexical(),),
    "MUVERA": (FixedDimensional(),),
    "mean": (MeanPooled(),),
    "words and MUVERA": (Lexical(), FixedDimensional()),
}


def passages(sets: QuestionSet, count: int) -> Iterator[Document]:
    """Texts of two to four sentences of the sets' passages, of one article each, so that they are about something."""
    rng = random.Random(0)
    articles: dict[str, list[str]] = {}
    for passage in sets.passages:
        found = [s + "。" for s in passage.text.split("。") if 10 < len(s) < 150]
        articles.setdefault(passage.article, []).extend(found)
    usable = [sentences for sentences in articles.values() if len(sentences) >= 4]
    weights = [len(sentences) for sentences in usable]
    for number in range(count):
        sentences = rng.choices(usable, weights)[0]
        yield Document(str(number), "".join(rng.sample(sentences, rng.randint(2, 4))))


def timed(store: EdgeStore, queries: Sequence[Query], options: SearchOptions) -> tuple[float, list[Hits]]:
    """Median seconds of a query, and what was found."""
    seconds, found = [], []
    for query in queries:
        begun = perf_counter()
        found.append(store.search(query, top_k=10, options=options))
        seconds.append(perf_counter() - begun)
    return median(seconds), found


def recall(found: Sequence[Hits], exact: Sequence[Hits]) -> float:
    """Share of the exact ten best that were found."""
    shares = [len({h.id for h in a} & {h.id for h in b}) / len(b) for a, b in zip(found, exact, strict=True)]
    return sum(shares) / len(shares)


def measure(
    store: EdgeStore, queries: list[Query], exact: list[Hits], exact_time: float, only: Sequence[str]
) -> dict[tuple[str, int], float]:
    """Prints a row for each first stage and number of candidates; seconds of a query by both."""
    whole, times = store.first_stage, {}
    by_name = {stage.name: stage for stage in whole}
    for name in only:
        store.search_options = SearchOptions()
        wanted = tuple(by_name[stage.name] for stage in STAGES[name])
        for candidates in CANDIDATES:
            options = SearchOptions(candidates=candidates, stages=tuple(stage.name for stage in wanted))
            seconds, found = timed(store, queries, options)
            times[name, candidates] = seconds
            print(
                f"{name:18}{candidates:5} candidates{1000 * seconds:9.1f} ms{exact_time / seconds:8.1f} times as fast"
                f"   recall@10 {recall(found, exact):.3f}"
            )
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--passages", type=int, default=50_000)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    parser.add_argument("--model", help="a checkpoint's directory or hub id (default: jacolbert-small)")
    arguments = parser.parse_args()
    sets, model = read_squad(arguments.files), JaColBERT.from_pretrained(arguments.model)
    asked = random.Random(1).sample(sets.questions, arguments.questions)
    texts = [q.text for q in asked]
    queries = [Query(v, text) for text, v in zip(texts, model.encode_query(texts), strict=True)]
    stages = {stage.name: stage for name in arguments.stages for stage in STAGES[name]}
    per_size = {}
    for count in (arguments.passages // 10, arguments.passages):
        with tempfile.TemporaryDirectory() as folder, EdgeStore(folder, first_stage=tuple(stages.values())) as store:
            written = QdrantWriter(store, model).write(passages(sets, count))
            assert written.written == count, written
            size = sum(file.stat().st_blocks * 512 for file in Path(folder).rglob("*") if file.is_file())
            print(f"\n{count:,} passages: {written}; {size / 2**20:,.0f} MiB on disk, {os.cpu_count()} processors")
            timed(store, queries[:5], SearchOptions())  # what is read first is not in memory yet
            exact_time, exact = timed(store, queries, SearchOptions(exact=True))
            print(f"{'exact':34}{1000 * exact_time:9.1f} ms")
            per_size[count] = measure(store, queries, exact, exact_time, arguments.stages)
    small, large = per_size.values()
    print("\nA query over ten times as many passages takes so many times as long:")
    for (name, candidates), seconds in large.items():
        print(f"{name:18}{candidates:5} candidates{seconds / small[name, candidates]:8.2f}")


if __name__ == "__main__":
    main()
