"""A corpus into one Qdrant collection, by several workers of Ray Data: on this machine, or on many.

    pip install "jacolbert-integrations[ray]"
    python examples/ray_indexing.py --url http://localhost:6333 --collection wiki --workers 2 shards/*.jsonl

Each line of a shard is a document: {"id": "...", "text": "...", "payload": {...}}.

Any shard can be given again, alone or with others, after a crash or a change: documents that are in the
collection already, with the same text and payload, are neither encoded nor sent.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ray
import ray.data
from qdrant_client import QdrantClient

from jacolbert_integrations import JaColBERT, QdrantStore
from jacolbert_integrations.qdrant import QdrantWriter
from jacolbert_integrations.types import Document


class Indexer:
    """A worker: it loads the model once, then writes one shard after the other."""

    def __init__(self, url: str, collection: str, model: str | None) -> None:
        # For large corpora with prefer_grpc=True: vectors are then sent as bytes.
        client = QdrantClient(url, timeout=60)
        store = QdrantStore(client, collection)
        self.writer = QdrantWriter(store, JaColBERT.from_pretrained(model), show_progress_bar=False)

    def __call__(self, row: dict[str, str]) -> dict[str, Any]:
        """Writes a shard, and returns what was done."""
        # Ray runs a shard again whose worker or machine was lost. It does no harm: the id of a point is made
        # from its document's, so that the second run finds what the first has written.
        result = self.writer.write(documents(row["shard"]))
        return {
            "shard": row["shard"],
            "written": result.written,
            "unchanged": result.unchanged,
            "failed": [f"{failed.id}: {failed.reason}" for failed in result.failed],
        }


def documents(shard: str) -> Iterator[Document]:
    """The documents of a shard, read as they are needed: it may be larger than the memory."""
    with Path(shard).open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            yield Document(record["id"], record["text"], record.get("payload", {}))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Writes shards of documents to a Qdrant collection.")
    parser.add_argument("shards", nargs="+", help="JSONL files; on a cluster, where every machine can read them")
    parser.add_argument("--url", required=True, help="of the Qdrant server, as the workers reach it")
    parser.add_argument("--collection", required=True)
    parser.add_argument("--workers", type=int, default=2, help="give several shards to each, or some will be idle")
    parser.add_argument("--gpus", type=float, help="of each worker: 1, or 0.5 for two workers on a GPU")
    parser.add_argument("--model", help="a directory or hub id; jacolbert-small if not given")
    given = parser.parse_args(arguments)

    # Starts Ray on this machine. On a cluster write ray.init(address="auto"), or set RAY_ADDRESS, and raise --workers
    # to the number of its GPUs, with --gpus 1: Ray then places the workers, and gives each a GPU of its own.
    ray.init(ignore_reinit_error=True)
    shards = [{"shard": str(Path(shard).resolve())} for shard in given.shards]
    results = (
        ray.data.from_items(shards, override_num_blocks=len(shards))
        .map(
            Indexer,  # type: ignore[arg-type]  # it takes classes, too, which its annotation leaves out
            fn_constructor_args=(given.url, given.collection, given.model),
            compute=ray.data.ActorPoolStrategy(size=given.workers),
            num_cpus=1,  # of each worker, and the threads of torch in it: without GPUs, fewer workers with more
            num_gpus=given.gpus,
        )
        .take_all()
    )
    for result in sorted(results, key=lambda result: result["shard"]):
        name, failed = Path(result["shard"]).name, result["failed"]
        print(f"{name}: {result['written']:,} written, {result['unchanged']:,} unchanged, {len(failed):,} failed")
        for reason in failed:
            print(f"  {reason}")
    print(f"{sum(result['written'] for result in results):,} documents written in all")


if __name__ == "__main__":
    main()
