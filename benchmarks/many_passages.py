"""Two stages over hundreds of thousands of passages, in Qdrant Edge: recall, time, bytes and time to build.

To encode so many would take hours. So each sentence is encoded alone, once, and a passage has the token vectors of its
two to four sentences (the same sentences as in ``two_stage.py``): all else is as ever. Exact MaxSim of a passage then
follows from the best token of each sentence, and is computed here, from float32; recall is measured against it, so that
what the collection's data type loses counts as well.

``python benchmarks/many_passages.py jaquad_dev_*.json --passages 5000 50000 500000``
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models
from tqdm.auto import tqdm
from two_stage import passage_sentences, question_sets

from jacolbert_integrations import JaColBERT, Point, Query
from jacolbert_integrations.qdrant import EdgeStore, FirstStage, Lexical, NearestCentroids, SearchOptions
from jacolbert_integrations.qdrant.stages.values import Value
from jacolbert_integrations.text.squad import read_squad
from jacolbert_integrations.types import TokenVectors

STAGES = {"words": ("lexical",), "centroids": ("centroids",), "words and centroids": ("lexical", "centroids")}
WRITTEN_TOGETHER = 256
SCANNED = 5
TOP_K = (10, 100)


@dataclass(frozen=True, slots=True)
class Sentences:
    """The sentences of all passages.

    Attributes:
        texts: Each once.
        vectors: (tokens, dimension) of each.
        centroids: The centroids that these are nearest to.
        passages: (passages, 4) numbers of the sentences of each passage; the last one again where there are fewer.
    """

    texts: list[str]
    vectors: list[TokenVectors]
    centroids: list[NDArray[np.intp]]
    passages: NDArray[np.intp]

    @classmethod
    def encoded(cls, found: Sequence[Sequence[str]], model: JaColBERT) -> Sentences:
        """Encodes each sentence."""
        numbers = {text: number for number, text in enumerate(dict.fromkeys(s for own in found for s in own))}
        padded = [[*(numbers[s] for s in own), *[numbers[own[-1]]] * (4 - len(own))] for own in found]
        vectors = model.encode_document(list(numbers), show_progress_bar=True)
        assert model.centroids is not None
        return cls(list(numbers), vectors, model.centroids.of_documents(vectors), np.array(padded))

    def of(self, passage: int) -> list[int]:
        """Numbers of a passage's sentences."""
        return list(dict.fromkeys(self.passages[passage].tolist()))

    def points(self, passages: range) -> Iterator[Point]:
        """Passages as they are written."""
        for number in passages:
            own = self.of(number)
            vectors = np.concatenate([self.vectors[each] for each in own])
            yield Point(str(number), vectors, {}, "".join(self.texts[each] for each in own))

    def exact(self, queries: Sequence[TokenVectors], passages: int) -> list[NDArray[np.intp]]:
        """Numbers of the best passages of each query by exact MaxSim."""
        lengths = np.array([len(vectors) for vectors in self.vectors])
        starts, together = np.r_[0, np.cumsum(lengths)[:-1]], np.concatenate(self.vectors)
        found = []
        for query in tqdm(queries, desc="Exact MaxSim"):
            best = np.maximum.reduceat(together @ query.T, starts, axis=0)  # (sentences, query tokens)
            scores = np.concatenate([
                best[part].max(axis=1).sum(axis=1)
                for part in np.array_split(self.passages[:passages], max(1, passages // 10_000))
            ])  # fmt: skip
            found.append(np.argsort(-scores, kind="stable")[: max(TOP_K)])
        return found


class KnownCentroids(NearestCentroids):
    """Centroids that are known of each sentence, so that they need not be found again for each passage of it."""

    sentences: Sentences

    def encode_points(self, points: Sequence[Point]) -> list[Value]:
        """Unites the centroids of each passage's sentences."""
        united = [
            np.unique(np.concatenate([self.sentences.centroids[each] for each in self.sentences.of(int(point.id))]))
            for point in points
        ]
        return [models.SparseVector(indices=own.tolist(), values=[1.0] * len(own)) for own in united]


def written(folder: Path, model: JaColBERT, sentences: Sentences, count: int, datatype: str) -> EdgeStore:
    """A collection of so many passages."""
    stage = KnownCentroids(model.centroids)
    object.__setattr__(stage, "sentences", sentences)
    stages: list[FirstStage] = [Lexical(), stage]
    store = EdgeStore(folder, first_stage=stages, vector_options={"datatype": models.Datatype(datatype)})
    store.bind(model.identity)
    points = sentences.points(range(count))
    with tqdm(total=count, desc="Writing passages") as bar:
        while batch := list(islice(points, WRITTEN_TOGETHER)):
            store.upsert(batch)
            bar.update(len(batch))
    return store


def measured(store: EdgeStore, asked: dict[str, list[Query]], options: SearchOptions, exact: dict[str, list[set[str]]],
             top_k: int) -> tuple[list[float], list[float]]:  # fmt: skip
    """Share of the exact best that are found, of each set; and milliseconds of the first set's queries."""
    shares: list[float] = []
    milliseconds: list[float] = []
    for kind, queries in asked.items():
        own = []
        for query, best in zip(queries, exact[kind], strict=True):
            begun = perf_counter()
            hits = store.search(query, top_k=top_k, options=options)
            if not shares:
                milliseconds.append(1000 * (perf_counter() - begun))
            own.append(len({hit.id for hit in hits} & best) / len(best))
        shares.append(sum(own) / len(own))
    return shares, milliseconds


def table(store: EdgeStore, asked: dict[str, list[Query]], exact: dict[str, list[list[str]]],
          searches: Sequence[SearchOptions]) -> None:  # fmt: skip
    """Prints a row for each first stage and search."""
    seconds = []
    for query in asked["as they are"][:SCANNED]:
        begun = perf_counter()
        store.search(query, top_k=10, options=SearchOptions(exact=True))
        seconds.append(perf_counter() - begun)
    scan = 1000 * float(np.median(seconds))
    sets = [f"{kind}, @{top_k}" for top_k in TOP_K for kind in asked]
    print(f"An exact scan takes {scan:,.0f} ms (median of {SCANNED}).\n")
    print(f"| first stage | candidates | rescored | {' | '.join(sets)} | p50, ms | p95, ms | scan / this |")
    print("|---|--:|--:|" + "--:|" * (len(sets) + 3))
    for name, stages in STAGES.items():
        for each in searches:
            options = replace(each, stages=stages)
            shares: list[float] = []
            milliseconds: list[float] = []
            for top_k in TOP_K:
                best = {kind: [set(own[:top_k]) for own in found] for kind, found in exact.items()}
                own, times = measured(store, asked, options, best, top_k)
                shares += own
                milliseconds = milliseconds or times
            p50, p95 = map(float, np.percentile(milliseconds, [50, 95]))
            found = " | ".join(f"{share:.3f}" for share in shares)
            print(
                f"| {name} | {options.candidates:,} | {options.rescored or 'all'} | {found} | {p50:.1f} | {p95:.1f} "
                f"| {scan / p50:.0f} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--passages", type=int, nargs="+", default=[5_000, 50_000, 500_000])
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--candidates", type=int, nargs="+", default=[100, 500, 1_000, 2_000, 4_000])
    parser.add_argument(
        "--rescored", type=int, nargs="+", default=[SearchOptions().rescored], help="0 for all candidates"
    )
    parser.add_argument("--pooling", default="hierarchical-2", help="of each sentence's token vectors")
    parser.add_argument("--datatype", choices=[each.value for each in models.Datatype], default="turbo8")
    parser.add_argument("--model", help="a checkpoint's directory or hub id (default: jacolbert-small)")
    arguments = parser.parse_args()
    model = JaColBERT.from_pretrained(arguments.model, pooling=arguments.pooling)
    sets = read_squad(arguments.files)
    sentences = Sentences.encoded(list(passage_sentences(sets, max(arguments.passages))), model)
    asked = {
        kind: [Query(vectors, text) for text, vectors in zip(texts, model.encode_query(texts), strict=True)]
        for kind, texts in question_sets(sets, arguments.questions).items()
    }
    searches = [
        SearchOptions(candidates=count, rescored=rescored or None, exact_limit=0)
        for count in arguments.candidates
        for rescored in arguments.rescored
    ]
    for count in arguments.passages:
        exact = {
            kind: [[str(n) for n in best] for best in sentences.exact([q.vectors for q in queries], count)]
            for kind, queries in asked.items()
        }
        with tempfile.TemporaryDirectory() as folder:
            begun = perf_counter()
            with written(Path(folder), model, sentences, count, arguments.datatype) as store:
                taken = perf_counter() - begun
                size = sum(file.stat().st_blocks * 512 for file in Path(folder).rglob("*") if file.is_file())
                print(
                    f"\n{count:,} passages of {len(sentences.texts):,} sentences, {model.name}, {arguments.pooling}, "
                    f"{arguments.datatype}: written in {taken:,.0f} s, {size / count:,.0f} bytes each, "
                    f"{os.cpu_count()} processors. ",
                    end="",
                )
                for query in asked["as they are"][:5]:  # what is read first is not in memory yet
                    store.search(query, top_k=10)
                table(store, asked, exact, searches)


if __name__ == "__main__":
    main()
