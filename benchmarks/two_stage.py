"""Two stages against an exact scan, in Qdrant Edge, over 50,000 passages and a tenth of them.

The passages are made of the sentences of SQuAD-style sets such as JaQuAD (Skelter Labs, CC BY-SA 3.0), drawn anew with
a seed. The questions are the sets' own; the same with their nouns, verbs and adjectives written as they are read, in
katakana, so that few words are shared; and single nouns of them. Recall is measured against the exact scan of the same
collection.

Run it with files that the model's centroids were not learned from: ``python benchmarks/two_stage.py
jaquad_dev_*.json``.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import fugashi
import numpy as np

from jacolbert_integrations import JaColBERT, Query
from jacolbert_integrations.qdrant import (
    EdgeStore,
    FirstStage,
    FixedDimensional,
    Lexical,
    MeanPooled,
    NearestCentroids,
    QdrantWriter,
    SearchOptions,
)
from jacolbert_integrations.text.squad import QuestionSet, read_squad
from jacolbert_integrations.types import Document, Hits

CANDIDATES = (100, 200, 500, 1000, 2000)
STAGES: dict[str, tuple[FirstStage, ...]] = {
    "centroids": (NearestCentroids(),),
    "words": (Lexical(),),
    "MUVERA": (FixedDimensional(),),
    "mean": (MeanPooled(),),
    "words and centroids": (Lexical(), NearestCentroids()),
    "words and MUVERA": (Lexical(), FixedDimensional()),
}


def passage_sentences(sets: QuestionSet, count: int) -> Iterator[list[str]]:
    """Two to four sentences of the sets' passages, of one article each, so that they are about something."""
    rng = random.Random(0)
    articles: dict[str, list[str]] = {}
    for passage in sets.passages:
        found = [s + "。" for s in passage.text.split("。") if 10 < len(s) < 150]
        articles.setdefault(passage.article, []).extend(found)
    usable = [sentences for sentences in articles.values() if len(sentences) >= 4]
    weights = [len(sentences) for sentences in usable]
    for _ in range(count):
        sentences = rng.choices(usable, weights)[0]
        yield rng.sample(sentences, rng.randint(2, 4))


def passages(sets: QuestionSet, count: int) -> Iterator[Document]:
    """Texts of such sentences."""
    for number, sentences in enumerate(passage_sentences(sets, count)):
        yield Document(str(number), "".join(sentences))


def question_sets(sets: QuestionSet, count: int) -> dict[str, list[str]]:
    """The sets' own questions, the same in kana, and as many of their nouns."""
    texts = [question.text for question in random.Random(1).sample(sets.questions, count)]
    tagger = fugashi.Tagger()

    def read(word: fugashi.UnidicNode) -> str:
        content = word.feature.pos1 in ("名詞", "動詞", "形容詞")
        return str((content and word.feature.kana) or word.surface)

    split = [tagger(text) for text in texts]
    nouns = dict.fromkeys(
        w.surface for words in split for w in words if w.feature.pos1 == "名詞" and len(w.surface) > 1
    )
    return {
        "as they are": texts,
        "in kana": ["".join(map(read, words)) for words in split],
        "one word": list(nouns)[:count],
    }


def timed(store: EdgeStore, queries: Sequence[Query], options: SearchOptions) -> tuple[list[float], list[Hits]]:
    """Milliseconds of a query, median and 95th percentile, and what was found."""
    seconds, found = [], []
    for query in queries:
        begun = perf_counter()
        found.append(store.search(query, top_k=10, options=options))
        seconds.append(perf_counter() - begun)
    return [1000 * float(value) for value in np.percentile(seconds, [50, 95])], found


def recall(found: Sequence[Hits], exact: Sequence[Hits]) -> float:
    """Share of the exact ten best that were found."""
    shares = [len({h.id for h in a} & {h.id for h in b}) / len(b) for a, b in zip(found, exact, strict=True)]
    return sum(shares) / len(shares)


def measure(
    store: EdgeStore, asked: dict[str, list[Query]], only: Sequence[str], searches: Sequence[SearchOptions]
) -> dict[tuple[str, int], float]:
    """Prints a row for each first stage and number of candidates; the median milliseconds of a query by both."""
    found = {name: timed(store, queries, SearchOptions(exact=True)) for name, queries in asked.items()}
    exact_time = found["as they are"][0][0]
    print(f"| first stage | candidates | {' | '.join(asked)} | p50, ms | p95, ms | exact / this |")
    print("|---|--:|" + "--:|" * (len(asked) + 3))
    print(
        f"| none | | {' | '.join('1.000' for _ in asked)} | {exact_time:.1f} | {found['as they are'][0][1]:.1f} | 1 |"
    )
    times = {}
    for name in only:
        for each in searches:
            options, candidates = replace(each, stages=tuple(s.name for s in STAGES[name])), each.candidates
            recalls = []
            for kind, queries in asked.items():
                own, hits = timed(store, queries, options)
                recalls.append(recall(hits, found[kind][1]))
                if kind == "as they are":
                    times[name, candidates] = own[0]
                    last = own[1]
            shown = " | ".join(f"{each:.3f}" for each in recalls)
            mine = times[name, candidates]
            print(
                f"| {name} | {candidates:,} | {shown} | {mine:.1f} | {last:.1f} | {exact_time / mine:.1f} |", flush=True
            )
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--passages", type=int, default=50_000)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    parser.add_argument("--nprobe", type=int, help="centroids that a query's token vector looks at")
    parser.add_argument(
        "--rescored",
        type=int,
        nargs="+",
        default=[SearchOptions().rescored],
        help="candidates that are scored by all vectors of the query; 0 for all, and all there are in turn",
    )
    parser.add_argument("--candidates", type=int, nargs="+", default=list(CANDIDATES))
    parser.add_argument("--model", help="a checkpoint's directory or hub id (default: jacolbert-small)")
    arguments = parser.parse_args()
    sets, model = read_squad(arguments.files), JaColBERT.from_pretrained(arguments.model)
    asked = {
        kind: [Query(v, text) for text, v in zip(texts, model.encode_query(texts), strict=True)]
        for kind, texts in question_sets(sets, arguments.questions).items()
    }
    stages = {stage.name: stage for name in arguments.stages for stage in STAGES[name]}
    if arguments.nprobe is not None:
        stages["centroids"] = NearestCentroids(nprobe=arguments.nprobe)
    per_size = {}
    for count in (arguments.passages // 10, arguments.passages):
        with tempfile.TemporaryDirectory() as folder, EdgeStore(folder, first_stage=tuple(stages.values())) as store:
            written = QdrantWriter(store, model).write(passages(sets, count))
            assert written.written == count, written
            size = sum(file.stat().st_blocks * 512 for file in Path(folder).rglob("*") if file.is_file())
            print(
                f"\n{count:,} passages, {model.name}: {written}; {size / 2**20:,.0f} MiB, {os.cpu_count()} processors\n"
            )
            timed(store, asked["as they are"][:5], SearchOptions())  # what is read first is not in memory yet
            for rescored in arguments.rescored:
                print(
                    f"scored by all vectors of a query: {f'{rescored} candidates' if rescored else 'all candidates'}\n"
                )
                options = [
                    SearchOptions(candidates=count, rescored=rescored or None, exact_limit=0)
                    for count in arguments.candidates
                ]
                per_size[count] = measure(store, asked, arguments.stages, options)
                print()
    small, large = per_size.values()
    print("\nA query over ten times as many passages takes so many times as long:")
    for (name, candidates), milliseconds in large.items():
        print(f"{name:20}{candidates:5} candidates{milliseconds / small[name, candidates]:8.2f}")


if __name__ == "__main__":
    main()
