"""Filling a Qdrant collection with 5,000 Japanese passages: ``QdrantWriter`` beside the plain loop that people write.

The plain loop is sentence-transformers' ``encode_document`` and qdrant-client's ``upload_points``, both as they come.
Qdrant runs in this process (``:memory:``). The passages are sentences of JSQuAD's, put together anew.
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import uuid
from statistics import median
from time import perf_counter

import torch
from qdrant_client import QdrantClient, models

from jacolbert_integrations import JaColBERT, QdrantStore
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.qdrant import QdrantWriter
from jacolbert_integrations.types import Document


def passages(count: int) -> list[str]:
    """Texts of four sentences each, of JSQuAD's passages, drawn at random."""
    rng = random.Random(0)
    sentences = [s + "。" for p in load_jsquad().passages for s in p.text.split("。") if 10 < len(s) < 120]
    return ["".join(rng.sample(sentences, 4)) for _ in range(count)]


def with_the_writer(model: JaColBERT, texts: list[str]) -> None:
    client = QdrantClient(":memory:")
    documents = (Document(str(i), text) for i, text in enumerate(texts))
    result = QdrantWriter(QdrantStore(client, "c"), model, show_progress_bar=False).write(documents)
    assert result.written == len(texts), result
    client.close()


def with_a_plain_loop(model: JaColBERT, texts: list[str]) -> None:
    client = QdrantClient(":memory:")
    vectors = models.VectorParams(
        size=model.dimension,
        distance=models.Distance.COSINE,
        multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
    )
    client.create_collection("c", vectors)
    for start in range(0, len(texts), 256):
        batch = texts[start : start + 256]
        encoded = model.model.encode_document(batch, convert_to_numpy=True)
        client.upload_points(
            "c",
            [
                models.PointStruct(id=str(uuid.uuid4()), vector=array.tolist(), payload={"text": text})
                for array, text in zip(encoded, batch, strict=True)
            ],
        )
    assert client.count("c").count == len(texts)
    client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--passages", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", help="a checkpoint's directory or hub id (default: jacolbert-small)")
    arguments = parser.parse_args()
    model, texts = JaColBERT.from_pretrained(arguments.model), passages(arguments.passages)
    model.encode_document(texts[:64])
    characters = sum(map(len, texts)) / len(texts)
    print(f"{len(texts):,} passages of {characters:.0f} characters, {torch.get_num_threads()} threads\n")
    seconds: dict[str, list[float]] = {"QdrantWriter": [], "a plain loop": []}
    for _ in range(arguments.rounds):
        for name, write in zip(seconds, (with_the_writer, with_a_plain_loop), strict=True):
            gc.collect()
            begun = perf_counter()
            write(model, texts)
            seconds[name].append(perf_counter() - begun)
    medians = {name: median(values) for name, values in seconds.items()}
    for name, value in medians.items():
        print(f"{name:14}  {value:6.1f} s  {len(texts) / value:6.0f} passages a second")
    print(f"\n{medians['a plain loop'] / medians['QdrantWriter']:.2f} times as fast")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of all this, with one collection at a time: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
