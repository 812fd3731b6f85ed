"""How small an index can be, and what that costs: token pooling, data types, quantization, a smaller dimension.

Every row is a collection of its own in Qdrant Edge, without a first stage, asked the questions of JSQuAD: exact MaxSim
of what the index keeps. Each is compared with exact float32 of the first model.

    python benchmarks/small_indexes.py --output benchmarks/small_indexes.md

writes the table, and the picture beside it. With ``--results FILE`` rows are kept as they come: stopped and started
again with the same arguments, it goes on, and makes table and picture anew from what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from math import ceil
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from qdrant_client import models
from ranks import rank_in
from small_indexes_report import Measured, picture, report

from jacolbert_integrations import JaColBERT, Point, Query
from jacolbert_integrations.encoding.pooling import Pooling
from jacolbert_integrations.errors import TruncationWarning
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.qdrant import EdgeStore, SearchOptions
from jacolbert_integrations.text.squad import Question, QuestionSet
from jacolbert_integrations.training.heads import add_heads, of_dimension, remove_heads
from jacolbert_integrations.types import TokenVectors

TOP_K = 10
BATCH = 50
WARM_UP = 5
FLOAT16 = models.Datatype.FLOAT16
ANYTHING = models.OptimizersConfigDiff(indexing_threshold=1)
"""Edge builds quantized copies from 10,000 kB of vectors on, unless told otherwise."""

SEARCHES = {
    "not rescored": models.QuantizationSearchParams(rescore=False),
    "4 x oversampling": models.QuantizationSearchParams(rescore=True, oversampling=4.0),
}


@dataclass(frozen=True, slots=True)
class Index:
    """A collection to be measured.

    Attributes:
        kind: The series of the picture that it belongs to.
        datatype: Of the vectors.
        pooling: The pooling's name; None keeps a vector a token.
        quantization: What of :data:`QUANTIZATIONS` to keep beside the vectors.
        dimension: To which the first model's projection is cut, without training; None leaves it.
        model: Which of the models; 0 is the first.
    """

    kind: str
    datatype: models.Datatype
    pooling: str | None = None
    quantization: str | None = None
    dimension: int | None = None
    model: int = 0


def turbo_quant(bits: models.TurboQuantBitSize) -> models.TurboQuantization:
    return models.TurboQuantization(turbo=models.TurboQuantQuantizationConfig(bits=bits, memory=models.Memory.PINNED))


QUANTIZATIONS: Mapping[str, models.QuantizationConfig] = {
    "scalar int8": models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, memory=models.Memory.PINNED)
    ),
    "TurboQuant 4 bits": turbo_quant(models.TurboQuantBitSize.BITS4),
    "TurboQuant 2 bits": turbo_quant(models.TurboQuantBitSize.BITS2),
    "TurboQuant 1 bit": turbo_quant(models.TurboQuantBitSize.BITS1),
}


def indexes(names: Sequence[str], dimensions: Sequence[int]) -> Iterator[Index]:
    """All collections, the one that the others are compared with first."""
    types = models.Datatype
    for datatype in (types.FLOAT32, FLOAT16, types.TURBO16, types.TURBO8, types.TURBO4):
        yield Index("data type", datatype)
    for name in QUANTIZATIONS:
        yield Index("quantized", FLOAT16, quantization=name)
    for method in ("hierarchical", "kmeans", "sequential"):
        for factor in (2, 3, 4):
            yield Index(f"{method}, float16", FLOAT16, f"{method}-{factor}")
    for factor in (2, 4):
        yield Index("[CLS] pooled too", FLOAT16, f"hierarchical-{factor}-protected-0")
    for datatype in (types.TURBO8, types.TURBO4):
        for factor in (2, 3, 4):
            yield Index(f"hierarchical, {datatype.value}", datatype, f"hierarchical-{factor}")
    for dimension in dimensions:
        for datatype in (FLOAT16, types.TURBO8):
            yield Index(f"cut to {dimension} dimensions, float16 and turbo8", datatype, dimension=dimension)
    for place in range(1, len(names)):
        for datatype in (types.FLOAT32, FLOAT16, types.TURBO8):
            yield Index(names[place], datatype, model=place)


@dataclass(frozen=True, slots=True)
class Encoded:
    """The vectors of all passages and of the questions, by one model."""

    model: JaColBERT
    documents: list[TokenVectors]
    queries: list[Query]
    seconds: float


class Benchmark:
    """Measures collections of the same passages with the same questions."""

    def __init__(
        self, encoders: Sequence[JaColBERT], corpus: QuestionSet, asked: Sequence[Question], timed: int
    ) -> None:
        self.encoders = encoders
        self.corpus = corpus
        self.asked = asked
        self.timed = timed
        self._encoded: dict[tuple[int, int | None], Encoded] = {}

    def encoded(self, index: Index) -> Encoded:
        """The unpooled vectors that an index is made of."""
        key = (index.model, index.dimension)
        if key not in self._encoded:
            model = self.encoders[index.model]
            if index.dimension is not None:
                model = cut(model, index.dimension)
            begun = perf_counter()
            documents = model.encode_document([p.text for p in self.corpus.passages], show_progress_bar=False)
            seconds = perf_counter() - begun
            queries = model.encode_query([q.text for q in self.asked], show_progress_bar=False)
            pairs = zip(queries, self.asked, strict=True)
            self._encoded[key] = Encoded(model, documents, [Query(v, q.text) for v, q in pairs], seconds)
        return self._encoded[key]

    def name(self, index: Index) -> str:
        """What tells an index from all others."""
        own = [] if index.model == 0 else [self.model_name(index.model)]
        size = [] if index.dimension is None else [f"cut to {index.dimension} dimensions"]
        kept = " + ".join(filter(None, [index.datatype.value, index.quantization]))
        parts = [*own, *size, *filter(None, [index.pooling]), kept]
        return ", ".join(parts)

    def model_name(self, place: int) -> str:
        """What tells a model from the others, which may be folders of one name."""
        return f"model {place + 1}, {self.encoders[place].name}"

    def measure(self, index: Index) -> Iterator[Measured]:
        """Fills a collection, and asks it in each of the ways that it can be asked."""
        source = self.encoded(index)
        documents, identity, begun = source.documents, source.model.identity, perf_counter()
        if index.pooling is not None:
            documents = Pooling.parse(index.pooling).pool(documents)
            identity = replace(identity, pooling=index.pooling)
        pooled = perf_counter() - begun
        points = [Point(p.id, vectors, {}) for p, vectors in zip(self.corpus.passages, documents, strict=True)]
        with tempfile.TemporaryDirectory() as folder:
            begun = perf_counter()
            with EdgeStore(folder, vector_options=vector_options(index), optimizers_config=ANYTHING) as store:
                store.bind(identity)
                store.upsert(points)
            written = perf_counter() - begun
            tokens, count = sum(map(len, documents)), len(points)
            size, copied, whole = sizes(Path(folder), tokens)
            assert (copied > 0) == (index.quantization is not None), "Edge keeps something else than it was asked to"
            row = Measured(
                name=self.name(index),
                kind=index.kind,
                vectors=tokens / count,
                scanned=tokens * (copied or size) / count,
                kept=tokens * (size + copied) / count,
                segments=whole / count,
                encoded=source.seconds,
                pooled=pooled,
                written=written,
            )
            with EdgeStore(folder) as store:
                store.bind(identity)
                for how in [None] if index.quantization is None else SEARCHES:
                    query, ranks = self.ask(store, source.queries, options(how))
                    if how is not None:
                        row = replace(row, name=f"{self.name(index)}, {how}", kind=f"{index.kind}, {how}")
                    yield replace(row, query=query, ranks=ranks)

    def ask(self, store: EdgeStore, queries: Sequence[Query], options: SearchOptions) -> tuple[float, list[int]]:
        """Median seconds of the first questions, each asked by itself, and where the right passage is for each."""
        for query in queries[:WARM_UP]:
            store.search(query, top_k=TOP_K, options=options)
        seconds, found = [], []
        for query in queries[: self.timed]:
            begun = perf_counter()
            found.append(store.search(query, top_k=TOP_K, options=options))
            seconds.append(perf_counter() - begun)
        for start in range(self.timed, len(queries), BATCH):
            found.extend(store.search_batch(queries[start : start + BATCH], top_k=TOP_K, options=options))
        ranked = zip(found, self.asked, strict=True)
        return median(seconds), [rank_in([hit.id for hit in hits], question.passage_id) for hits, question in ranked]


def cut(model: JaColBERT, dimension: int) -> JaColBERT:
    """A model with the best approximation to its projection that has fewer dimensions. Nothing is trained."""
    add_heads(model.model, [dimension])
    smaller = of_dimension(model.model, dimension)
    remove_heads(model.model)
    return JaColBERT(smaller, name=f"{model.name}, cut to {dimension} dimensions")


def vector_options(index: Index) -> dict[str, Any]:
    """As of :class:`EdgeStore`; with a quantized copy in memory, the vectors themselves stay on the disk."""
    if index.quantization is None:
        return {"datatype": index.datatype}
    return {
        "datatype": index.datatype,
        "memory": models.Memory.COLD,
        "quantization_config": QUANTIZATIONS[index.quantization],
    }


def options(how: str | None) -> SearchOptions:
    return SearchOptions(params=None if how is None else models.SearchParams(quantization=SEARCHES[how]))


def sizes(folder: Path, count: int) -> tuple[int, int, int]:
    """Bytes of a token vector, of its quantized copy, and of all segments as they fill the disk.

    Files of vectors are longer than what is in them: what counts is what comes before the zeros at the end. The
    write-ahead log and the configuration are no part of a segment.

    Args:
        folder: Of the store.
        count: Of token vectors.
    """
    vectors = quantized = whole = 0
    for file in folder.glob("*/shard/segments/**/*"):
        if file.is_file():
            whole += file.stat().st_blocks * 512
            if file.name == "quantized.data":
                quantized += len(file.read_bytes().rstrip(b"\0"))
            elif file.parent.name in ("vectors", "tq_vectors") and file.suffix == ".mmap":
                vectors += len(file.read_bytes().rstrip(b"\0"))
    return ceil(vectors / count), ceil(quantized / count), whole


def part(corpus: QuestionSet, passages: int) -> QuestionSet:
    """The first passages, and their questions."""
    ids = {passage.id for passage in corpus.passages[:passages]}
    return QuestionSet(corpus.passages[:passages], [q for q in corpus.questions if q.passage_id in ids])


def measured(benchmark: Benchmark, wanted: Sequence[Index], made_with: str, file: Path | None) -> list[Measured]:
    """The rows, those that a file has from before and the others."""
    known: dict[str, Any] = json.loads(file.read_text()) if file is not None and file.exists() else {}
    if known.setdefault("made with", made_with) != made_with:
        raise SystemExit(f"{file} was made with other arguments: {known['made with']}, not {made_with}.")
    kept: dict[str, Any] = known.setdefault("rows", {})
    for index in wanted:
        name = benchmark.name(index)
        if name not in kept:
            kept[name] = [asdict(row) for row in benchmark.measure(index)]
            if file is not None:
                file.write_text(json.dumps(known, ensure_ascii=False))
            for row in kept[name]:
                print(f"{row['name']:60}{row['kept']:9,.0f} bytes{1000 * row['query']:8.1f} ms", file=sys.stderr)
    return [Measured(**row) for index in wanted for row in kept[benchmark.name(index)]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", nargs="+", default=[None], help="the first gives most rows; others one a data type")
    parser.add_argument("--dimensions", nargs="*", type=int, default=[64], help="to which the first model is cut")
    parser.add_argument("--questions", type=int, default=1_000, help="drawn at random; 0 asks all")
    parser.add_argument("--timed", type=int, default=200, help="of these, each asked by itself")
    parser.add_argument("--quick", action="store_true", help="100 passages and 40 questions, to try it")
    parser.add_argument("--results", type=Path, help="where rows are kept as they come")
    parser.add_argument("--output", type=Path, help="the Markdown file; the picture lies beside it")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", TruncationWarning)
    corpus = part(load_jsquad(), 100) if arguments.quick else load_jsquad()
    count = 40 if arguments.quick else arguments.questions or len(corpus.questions)
    asked = random.Random(0).sample(corpus.questions, min(count, len(corpus.questions)))
    encoders = [JaColBERT.from_pretrained(name) for name in arguments.model]
    benchmark = Benchmark(encoders, corpus, asked, min(arguments.timed, len(asked)))
    names = ", ".join(f"{model.name} ({model.dimension} dimensions)" for model in encoders)
    made_with = (
        f"{names}; {len(corpus.passages):,} passages and {len(asked):,} of {len(corpus.questions):,} questions of "
        f"JSQuAD valid, drawn at random; qdrant-edge-py {version('qdrant-edge-py')}, {os.cpu_count()} processors"
    )
    wanted = list(indexes([benchmark.model_name(place) for place in range(len(encoders))], arguments.dimensions))
    rows = measured(benchmark, wanted, made_with, arguments.results)
    if arguments.output is None:
        print(report(rows, made_with, benchmark.timed, None))
        return
    drawn = arguments.output.with_suffix(".svg")
    arguments.output.write_text(report(rows, made_with, benchmark.timed, drawn.name), encoding="utf-8")
    picture(rows, drawn)


if __name__ == "__main__":
    main()
