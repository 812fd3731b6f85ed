"""What a newcomer's store costs on the demonstration's passages: memory and a file, qdrant-client's local mode, Edge.

Each store is filled and asked by a new process, with the same vectors, encoded once. Every ranking is exact MaxSim, but
in the two rows "by words first" and "by Qdrant's BM25", where a first stage finds 500 candidates. "Loop": for how long
an event loop stands still, at most, while a thread asks; the median over 100 questions.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import os
import pickle
import random
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from qdrant_client import QdrantClient, models

from jacolbert_integrations import JaColBERT, MemoryStore, MultiVectorStore, Point, QdrantStore, Query
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.qdrant import EdgeStore, FirstStage, Lexical, QdrantBM25
from jacolbert_integrations.types import ModelIdentity

STORES = (
    "MemoryStore and its file",
    "qdrant-client, path=",
    "EdgeStore, float32",
    "EdgeStore, float16",
    "EdgeStore, float16, by words first",
    "EdgeStore, float16, by Qdrant's BM25",
    "EdgeStore, float16, own process",
)


def opened(name: str, folder: Path) -> tuple[MultiVectorStore, Callable[[], object]]:
    """A store in a folder, anew or as it was left, and what closes it."""
    if name == STORES[0]:
        memory = MemoryStore.open(folder) if (folder / "store.json").exists() else MemoryStore()
        return memory, lambda: memory.save(folder)
    if name == STORES[1]:
        client = QdrantClient(path=str(folder))
        return QdrantStore(client, "documents"), client.close
    options = {"datatype": models.Datatype.FLOAT32} if name == STORES[2] else None
    stages: dict[str, FirstStage] = {STORES[4]: Lexical(), STORES[5]: QdrantBM25()}
    edge = EdgeStore(folder, first_stage=stages.get(name), vector_options=options, own_process=name == STORES[6])
    return edge, edge.close


def resident() -> float:
    """MiB that this process and those it has started keep in memory, files that are mapped left out."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    total = 0
    for process in ["self", *children]:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        total += int(next(line for line in lines if line.startswith("RssAnon")).split()[1])
    return total / 1024


async def standstill(store: MultiVectorStore, queries: list[Query]) -> float:
    """For how long the event loop stands still, in seconds, while a thread searches: the median over the queries."""
    longest = []
    for query in queries:
        asked = asyncio.ensure_future(asyncio.to_thread(store.search, query, top_k=10))
        gaps, last = [], perf_counter()
        while not asked.done():
            await asyncio.sleep(0.0005)
            gaps.append(perf_counter() - last)
            last = perf_counter()
        longest.append(max(gaps))
    return median(longest)


def use(name: str, data: Path, folder: Path, answer: Connection) -> None:
    """Fills a store, closes it, opens it again, and asks it."""
    identity, points, queries = pickle.loads(data.read_bytes())
    gc.collect()
    before = resident()
    store, close = opened(name, folder)
    store.bind(identity)
    begun = perf_counter()
    store.upsert(points)
    close()
    written = perf_counter() - begun
    del store, points
    gc.collect()
    begun = perf_counter()
    store, close = opened(name, folder)
    store.bind(identity)
    first = [hit.id for hit in store.search(queries[0], top_k=10)]
    reopened = perf_counter() - begun
    times, found = [], []
    for query in queries:
        begun = perf_counter()
        found.append([hit.id for hit in store.search(query, top_k=10)])
        times.append(perf_counter() - begun)
    assert found[0] == first
    size = sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
    memory = max(resident() - before, 0.0)
    held = asyncio.run(standstill(store, queries[:100]))
    answer.send((written, reopened, median(times), held, size, memory, found))
    close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--model", help="a checkpoint's directory or hub id (default: jacolbert-small)")
    arguments = parser.parse_args()
    corpus, model = load_jsquad(), JaColBERT.from_pretrained(arguments.model)
    questions = random.Random(0).sample(corpus.questions, arguments.questions)
    matrices = model.encode_document([p.text for p in corpus.passages])
    points = [Point(p.id, m, {"title": p.article}, p.text) for p, m in zip(corpus.passages, matrices, strict=True)]
    queries = [
        Query(v, q.text) for q, v in zip(questions, model.encode_query([q.text for q in questions]), strict=True)
    ]
    tokens = sum(map(len, matrices))
    print(
        f"{len(points):,} passages, {tokens:,} vectors ({512 * tokens / 2**20:.0f} MiB as float32), "
        f"{len(queries)} questions"
    )
    print(f"{os.cpu_count()} processors\n")
    columns = {"written": 9, "reopened": 10, "a query": 10, "loop": 10, "on disk": 10, "memory": 10}
    print(" " * 38 + "".join(f"{name:>{width}}" for name, width in columns.items()) + "   top 10 as exact")
    exact: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        identity: ModelIdentity = model.identity
        data = Path(folder) / "data"
        data.write_bytes(pickle.dumps((identity, points, queries)))
        for place, name in enumerate(STORES):
            receiver, sender = multiprocessing.get_context("spawn").Pipe(duplex=False)
            where = Path(folder) / str(place)
            process = multiprocessing.get_context("spawn").Process(target=use, args=(name, data, where, sender))
            process.start()
            sender.close()  # so that nobody waits for a process that has failed
            written, reopened, query, held, size, memory, found = receiver.recv()
            process.join()
            exact = exact or found
            same = sum(len(set(a) & set(b)) for a, b in zip(exact, found, strict=True)) / sum(map(len, exact))
            print(
                f"{name:38}{written:7.1f} s{reopened:8.2f} s{1000 * query:7.1f} ms{1000 * held:7.1f} ms"
                f"{size / 2**20:6.0f} MiB{memory:6.0f} MiB{same:10.3f}"
            )


if __name__ == "__main__":
    main()
