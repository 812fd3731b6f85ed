"""Measures what ``scale_model.py`` reckons with: small collections in Qdrant Edge, and rates on one processor core."""

from __future__ import annotations

import os
import platform
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from math import ceil
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from encoding import checkpoint_of_base_shape
from qdrant_client import models
from qdrant_client.conversions.conversion import RestToGrpc
from scale_model import Measured

from jacolbert_integrations import JaColBERT, Point
from jacolbert_integrations.encoding.pooling import Pooling
from jacolbert_integrations.errors import TruncationWarning
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.qdrant import (
    EdgeStore,
    FirstStage,
    FixedDimensional,
    Lexical,
    NearestCentroids,
    QdrantWriter,
)
from jacolbert_integrations.qdrant.points import to_structs
from jacolbert_integrations.text.lexical import LexicalEncoder
from jacolbert_integrations.text.squad import Passage
from jacolbert_integrations.types import Document, TokenVectors

FACTORS = (2, 3, 4)
SAMPLE = 200
"""Passages of the collections that show one data type each: bytes of a vector do not depend on their number."""

BASE_SAMPLE = 24
"""Passages that the model of BERT-base's shape encodes, which takes seconds."""

SENT = 20
POSTING_BYTES = 8
"""In the inverted index of a small collection; what it takes more is its vocabulary."""

COPIES: Mapping[str, models.QuantizationConfig] = {
    "int8": models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, memory=models.Memory.PINNED)
    ),
    "binary": models.BinaryQuantization(binary=models.BinaryQuantizationConfig(memory=models.Memory.PINNED)),
}
PIECES = {
    "payload": "payload_storage/*.dat",
    "ids": "id_tracker.*",
    "token vectors": "vector_storage-colbert/*vectors/*.mmap",
    "offsets": "vector_storage-colbert/offsets/*.mmap",
    "sparse vectors": "vector_storage-lexical/store/*.dat",
    "inverted index": "vector_index-lexical/*",
    "sparse vectors of centroids": "vector_storage-centroids/store/*.dat",
    "inverted index of centroids": "vector_index-centroids/*",
    "encodings": "vector_storage-muvera/matrix.dat",
    "copies": "vector_storage-muvera/quantized.data",
    "links": "vector_index-muvera/links*",
}
"""Where the segments of a collection have what."""


def measure() -> Measured:
    """All that the plans need, in well under a minute."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", TruncationWarning)
    model, passages = JaColBERT.from_pretrained("jacolbert-small"), load_jsquad().passages
    texts = [passage.text for passage in passages]
    model.encode_document(texts[:64], show_progress_bar=False)
    rates: dict[str, float] = {}
    encode = partial(model.encode_document, show_progress_bar=False)
    matrices = timed(rates, "encoding, the bundled jacolbert-small", encode, texts)
    with tempfile.TemporaryDirectory() as folder:
        base = JaColBERT.from_pretrained(checkpoint_of_base_shape(Path(folder) / "base"), device="cpu")
    sample = texts[:: len(texts) // BASE_SAMPLE][:BASE_SAMPLE]
    timed(rates, "encoding, BERT-base's shape", partial(base.encode_document, show_progress_bar=False), sample)
    pooled = {f"hierarchical-{factor}": Pooling("hierarchical", factor) for factor in FACTORS}
    vectors = {"none": per_passage(matrices)}
    for name, pooling in pooled.items():
        vectors[name] = per_passage(timed(rates, f"pooling, {name}", pooling.pool, matrices))
    points = [Point(p.id, m, {}, p.text) for p, m in zip(passages, matrices, strict=True)]
    timed(rates, "MUVERA encodings", FixedDimensional().encode_points, points)
    words = timed(rates, "words, by MeCab", lexical_vectors, texts)
    stage = NearestCentroids(model.centroids)
    nearest = timed(rates, "centroids", stage.encode_points, points)
    postings, terms = sum(map(len, words)), len({word for found in words for word in found})
    whole, sizes, links = whole_collection(model, passages)
    count = len(passages)
    return Measured(
        made_with=f"{model.name} ({model.dimension} dimensions); the {count:,} passages of JSQuAD valid, "
        f"{sum(map(len, texts)) / count:.0f} characters on average; qdrant-edge-py {version('qdrant-edge-py')}; "
        f"one core of {os.cpu_count()}, {platform.machine()}, torch {version('torch')}",
        passages=count,
        tokens={
            "jacolbert-small's": sum(model.document_lengths(texts)) / count,
            "JaColBERT's": sum(base.document_lengths(texts)) / count,  # of BERT-base's shape, with its vocabulary
        },
        dimension=model.dimension,
        vectors=vectors,
        longest=max(map(len, matrices)),
        vector_bytes={"float16": ceil(sizes["token vectors"] / sum(map(len, matrices)))} | data_types(model, points),
        offset_bytes=sizes["offsets"] / count,
        id_bytes=sizes["ids"] / count,
        payload_bytes=sizes["payload"] / count,
        sparse_bytes=sizes["sparse vectors"] / count,
        postings=postings / count,
        terms=terms,
        term_bytes=(sizes["inverted index"] - POSTING_BYTES * postings) / terms,
        centroids=sum(len(value.indices) for value in nearest) / count,
        centroid_bytes=sizes["sparse vectors of centroids"] / count,
        encoding_floats=FixedDimensional().vector_params(model.dimension).size,
        encoding_bytes=sizes["encodings"] / count,
        copy_bytes={"int8": sizes["copies"] / count, "binary": copy_bytes(model, points, "binary")},
        link_bytes=links / count,
        overhead=whole / sum(sizes.values()),
        sent_bytes=sent_bytes(points),
        rates=rates,
    )


def timed(rates: dict[str, float], what: str, do: Callable[[Any], Any], items: Sequence[Any]) -> Any:
    """Does something with all items, and notes how many a second."""
    begun = perf_counter()
    done = do(items)
    rates[what] = len(items) / (perf_counter() - begun)
    return done


def per_passage(matrices: Sequence[TokenVectors]) -> float:
    return sum(map(len, matrices)) / len(matrices)


def lexical_vectors(texts: Sequence[str]) -> list[Mapping[int, float]]:
    encoder = LexicalEncoder(average_words=100.0)
    return [encoder.encode_document(text) for text in texts]


def muvera(copy: str) -> FixedDimensional:
    """MUVERA as float16 on the disk, with a quantized copy in memory."""
    return FixedDimensional(
        options={
            "datatype": models.Datatype.FLOAT16,
            "memory": models.Memory.COLD,
            "quantization_config": COPIES[copy],
        }
    )


def edge(folder: Path | str, datatype: models.Datatype, stages: Sequence[FirstStage] = ()) -> EdgeStore:
    """A collection whose token vectors stay on the disk."""
    return EdgeStore(
        folder,
        first_stage=stages,
        vector_options={"datatype": datatype, "memory": models.Memory.COLD},
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1),  # or Edge indexes no small collection
    )


def whole_collection(model: JaColBERT, passages: Sequence[Passage]) -> tuple[int, dict[str, int], int]:
    """All passages with all three first stages, as the writer leaves them.

    Returns:
        Bytes that the segments take on the disk; bytes of each piece; and of the links of the HNSW graph.
    """
    with tempfile.TemporaryDirectory() as folder:
        with edge(folder, models.Datatype.FLOAT16, [Lexical(), NearestCentroids(), muvera("int8")]) as store:
            writer = QdrantWriter(store, model, too_long="cut", show_progress_bar=False)
            result = writer.write(Document(p.id, p.text, {"title": p.article}) for p in passages)
            assert result.written == len(passages), result
        sizes = {name: size(Path(folder), pattern) for name, pattern in PIECES.items()}
        files = Path(folder).glob("*/shard/segments/**/*")
        whole = sum(file.stat().st_blocks * 512 for file in files if file.is_file())
    return whole, sizes, sizes["links"]


def size(folder: Path, pattern: str) -> int:
    """Bytes of files of all segments, without the zeros that Qdrant lengthens them by."""
    files = Path(folder).glob(f"*/shard/segments/*/{pattern}")
    return sum(len(file.read_bytes().rstrip(b"\0")) for file in files)


def data_types(model: JaColBERT, points: Sequence[Point]) -> dict[str, float]:
    """Bytes of a token vector, by data type."""
    found, count = {}, sum(len(point.vectors) for point in points[:SAMPLE])
    for datatype in (models.Datatype.FLOAT32, models.Datatype.TURBO8):
        with tempfile.TemporaryDirectory() as folder:
            with edge(folder, datatype) as store:
                store.bind(model.identity)
                store.upsert(points[:SAMPLE])
            found[datatype.value] = float(ceil(size(Path(folder), PIECES["token vectors"]) / count))
    return found


def copy_bytes(model: JaColBERT, points: Sequence[Point], copy: str) -> float:
    """Bytes of a MUVERA encoding's quantized copy."""
    with tempfile.TemporaryDirectory() as folder:
        with edge(folder, models.Datatype.TURBO8, [muvera(copy)]) as store:
            store.bind(model.identity)
            store.upsert(points[:SAMPLE])
        return ceil(size(Path(folder), PIECES["copies"]) / SAMPLE)


def sent_bytes(points: Sequence[Point]) -> dict[str, float]:
    """Bytes of a number in a request."""
    structs = list(to_structs(points[:SENT], in_process=False))
    numbers = sum(point.vectors.size for point in points[:SENT])
    grpc = sum(RestToGrpc.convert_point_struct(struct).ByteSize() for struct in structs)
    return {"gRPC": grpc / numbers, "REST": sum(len(struct.model_dump_json()) for struct in structs) / numbers}
