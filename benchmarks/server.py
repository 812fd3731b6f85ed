"""A Qdrant server over REST and over gRPC, beside Qdrant Edge in this process: one table, measured in one run.

All of JSQuAD's passages are written (their vectors are computed before), searched exactly and by words, read back with
their vectors, and updated while nothing has changed. Scores of the three agree to the last place that float16 keeps.

Run it beside a server: ``python benchmarks/server.py --url http://127.0.0.1:6333``. What a reranker and MMR gain where
a server scores is in ``server_scoring.py``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from qdrant_client import QdrantClient

from jacolbert_integrations import JaColBERT, Point, QdrantStore, Query
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.qdrant import EdgeClient, Lexical, SearchOptions
from jacolbert_integrations.qdrant.clients import Client
from jacolbert_integrations.qdrant.servers import UNCOMPRESSED

COLLECTION = "benchmark-server"
QUESTIONS = 50
EXACT = SearchOptions(exact=True)


def seconds(call: Callable[[], object]) -> float:
    """Of one call."""
    begun = perf_counter()
    call()
    return perf_counter() - begun


def median_ms(call: Callable[[Query], object], queries: Sequence[Query]) -> float:
    """Median of one call a query, after one that does not count."""
    call(queries[0])
    return 1000 * median(seconds(lambda query=query: call(query)) for query in queries)  # type: ignore[misc]


def measure(client: Client, model: JaColBERT, points: list[Point], queries: list[Query]) -> dict[str, float]:
    """Returns the figures of one client, and the scores of the first query under ``scores``."""
    client.delete_collection(COLLECTION)
    store = QdrantStore(client, COLLECTION, first_stage=Lexical())
    store.bind(model.identity)
    ids = [point.id for point in points]
    try:
        return {
            "write, s": seconds(lambda: store.upsert(points)),
            "exact search, ms": median_ms(lambda query: store.search(query, top_k=10, options=EXACT), queries),
            "search by words, ms": median_ms(lambda query: store.search(query, top_k=10), queries),
            "20 scored by id, ms": median_ms(lambda query: store.score(query, ids[:20]), queries),
            "read with vectors, s": seconds(lambda: list(store.points())),
            "read without, s": seconds(lambda: list(store.points(with_vectors=False))),
            "best score": store.search(queries[0], top_k=1, options=EXACT)[0].score,
        }
    finally:
        client.delete_collection(COLLECTION)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default=os.environ.get("QDRANT_URL", "http://127.0.0.1:6333"))
    parser.add_argument("--grpc-port", type=int, default=6334)
    parser.add_argument("--model", help="a checkpoint's directory or hub id (default: jacolbert-small)")
    arguments = parser.parse_args()
    model, data = JaColBERT.from_pretrained(arguments.model), load_jsquad()
    texts = [passage.text for passage in data.passages]
    vectors = model.encode_document(texts)
    points = [
        Point(passage.id, matrix, {"text": passage.text}, passage.text)
        for passage, matrix in zip(data.passages, vectors, strict=True)
    ]
    queries = [model.query(question.text) for question in data.questions[:: len(data.questions) // QUESTIONS]]
    options: dict[str, Any] = {"check_compatibility": False, "timeout": 60, "api_key": os.environ.get("QDRANT_API_KEY")}
    rest = QdrantClient(arguments.url, **options)
    grpc = QdrantClient(
        arguments.url, grpc_port=arguments.grpc_port, prefer_grpc=True, grpc_options=dict(UNCOMPRESSED), **options
    )
    with tempfile.TemporaryDirectory() as folder, EdgeClient(folder) as edge:
        clients: dict[str, Client] = {"Edge, in this process": edge, "server, REST": rest, "server, gRPC": grpc}
        found = {name: measure(client, model, points, queries) for name, client in clients.items()}
    np.testing.assert_allclose([row["best score"] for row in found.values()], found["server, REST"]["best score"], 1e-3)
    print(f"{len(points):,} passages, {sum(len(m) for m in vectors):,} vectors; server {rest.info().version}\n")
    print(f"| | {' | '.join(found)} |")
    print(f"|---|{'--:|' * len(found)}")
    for name in next(iter(found.values())):
        if name != "best score":
            print(f"| {name} | {' | '.join(f'{row[name]:.2f}' for row in found.values())} |")


if __name__ == "__main__":
    main()
