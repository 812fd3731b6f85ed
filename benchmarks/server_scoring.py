"""Twenty stored nodes reranked, and MMR: where a server scores, and where vectors travel, over REST and gRPC.

The nodes are passages of JSQuAD, other ones each time, because the reranker remembers those that it has read. They are
reranked by encoding them anew, by fetching their vectors, and by the server's scores. Beside that stands what encoding
the query alone takes, which is a part of all of them, and a vector store's query in its default mode and by MMR, asked
in turn: how many times as long MMR takes, as the median over the questions, and in how many requests it compares nodes.

Run it beside a Qdrant server: ``python benchmarks/server_scoring.py --url http://127.0.0.1:6333``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from statistics import mean, median
from time import perf_counter
from typing import Any

from llama_index.core.schema import BaseNode, NodeWithScore, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode
from qdrant_client import QdrantClient

from jacolbert_integrations import JaColBERT, JaColBERTRerank, JaColBERTVectorStore, QdrantStore
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.llama_index.writing import node_points
from jacolbert_integrations.qdrant.servers import UNCOMPRESSED

COLLECTION = "benchmark-server-scoring"
RERANKED = 20
TOP_K = 5
ASKED = 60


class CountingStore(QdrantStore):
    """Counts the requests in which it compares documents."""

    comparisons = 0

    def similarities(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[dict[str, float]] | None:
        """Does what the store does, and counts it where it is done."""
        answers = super().similarities(asked)
        self.comparisons += answers is not None
        return answers


def milliseconds(call: Callable[[int], object], times: int) -> float:
    """Median of some calls, each told its number, after one that does not count."""
    call(times)
    taken = []
    for number in range(times):
        begun = perf_counter()
        call(number)
        taken.append(perf_counter() - begun)
    return 1000 * median(taken)


def fetched(store: QdrantStore, model: JaColBERT, nodes: Sequence[BaseNode], question: str) -> list[str]:
    """Reranks as the reranker did before stores scored: by vectors that are read from the store."""
    points = store.get([node.node_id for node in nodes])
    query = model.query(question)
    scores = model.score([query.vectors], [points[node.node_id].vectors for node in nodes])[0]
    return [nodes[place].node_id for place in (-scores).argsort()]


def modes(store: CountingStore, model: JaColBERT, questions: Sequence[str]) -> dict[str, float]:
    """Returns the figures of a vector store's query in its default mode and by MMR, each question by both."""
    index = JaColBERTVectorStore(model, store=store)
    taken: list[list[float]] = []
    compared = []
    for question in (questions[-1], *questions[:ASKED]):  # the first does not count
        taken.append([])
        before = store.comparisons
        for mode in (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR):
            begun = perf_counter()
            index.query(VectorStoreQuery(query_str=question, similarity_top_k=TOP_K, mode=mode))
            taken[-1].append(1000 * (perf_counter() - begun))
        compared.append(store.comparisons - before)
    return {
        "mode default, ms": median(default for default, _ in taken[1:]),
        "mode mmr, ms": median(mmr for _, mmr in taken[1:]),
        "mmr / default": median(mmr / default for default, mmr in taken[1:]),
        "mmr, requests to compare": mean(compared[1:]),
    }


def measure(store: CountingStore, model: JaColBERT, nodes: list[TextNode], questions: list[str], way: str) -> None:
    """Prints the figures of one client."""
    groups = [nodes[first : first + RERANKED] for first in range(0, len(nodes) - RERANKED + 1, RERANKED)]
    times = len(groups) - 1

    def reranked(rerank: JaColBERTRerank) -> Callable[[int], object]:
        def call(number: int) -> object:
            found = [NodeWithScore(node=node, score=1.0) for node in groups[number]]
            return rerank.postprocess_nodes(found, query_str=questions[number])

        return call

    rows = {
        "encoding the query, ms": milliseconds(lambda number: model.query(questions[number]), times),
        "reranked: encoded anew, ms": milliseconds(reranked(JaColBERTRerank(model, top_n=TOP_K)), times),
        "reranked: vectors fetched, ms": milliseconds(
            lambda number: fetched(store, model, groups[number], questions[number]), times
        ),
        "reranked: scored there, ms": milliseconds(reranked(JaColBERTRerank(model, top_n=TOP_K, store=store)), times),
        **modes(store, model, questions),
    }
    for name, figure in rows.items():
        print(f"{way:20}{name:30}{figure:9.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", default=os.environ.get("QDRANT_URL", "http://127.0.0.1:6333"))
    parser.add_argument("--grpc-port", type=int, default=6334)
    parser.add_argument("--passages", type=int, default=300)
    parser.add_argument("--model", help="a checkpoint's directory or hub id (default: jacolbert-small)")
    arguments = parser.parse_args()
    model, sets = JaColBERT.from_pretrained(arguments.model), load_jsquad()
    nodes = [TextNode(id_=passage.id, text=passage.text) for passage in sets.passages[: arguments.passages]]
    questions = [question.text for question in sets.questions[:: len(sets.questions) // len(nodes)]]
    ways: dict[str, dict[str, Any]] = {
        "REST": {},
        "gRPC": {"prefer_grpc": True},
        "gRPC, uncompressed": {"prefer_grpc": True, "grpc_options": dict(UNCOMPRESSED)},
    }
    for way, options in ways.items():
        client = QdrantClient(arguments.url, grpc_port=arguments.grpc_port, timeout=60, **options)
        store = CountingStore(client, COLLECTION)
        if not options:
            client.delete_collection(COLLECTION)
            store.bind(model.identity)
            store.upsert(node_points(nodes, model, "split"))
            print(f"{len(nodes)} passages, {os.cpu_count()} processors")
        store.bind(model.identity)
        measure(store, model, nodes, questions, way)
    client.delete_collection(COLLECTION)
    client.close()


if __name__ == "__main__":
    main()
