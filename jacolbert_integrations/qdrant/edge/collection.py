"""An open collection of Qdrant Edge: its shard, what its folder says of it, and what comes out of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_client import models

from ...errors import EngineError, JaColBERTError
from .models import edge, from_edge_vector, to_edge

CONFIG = "collection.json"
"""The file of a collection's folder that says what it is made of."""

SHARD = "shard"
"""The folder of its points."""

BYTES_A_FLOAT = 16
"""Of a number that is written: in the log, in a segment, and in the one that replaces it."""

_SPARE_BYTES = 128 << 20  # for files that grow by 32 MiB at a time
_FLUSHED_FLOATS = 64 << 20  # 256 MiB as float32


def bytes_on_disk(folder: Path) -> int:
    """Bytes of all files in a folder; holes in them are left out where the operating system tells of them."""
    stats = [file.stat() for file in folder.rglob("*") if file.is_file()]
    return sum(stat.st_blocks * 512 if hasattr(stat, "st_blocks") else stat.st_size for stat in stats)


class Collection:
    """An open collection."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unflushed = 0
        try:
            self.record: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise EngineError(f"{folder / CONFIG} cannot be read: {error}.") from None
        with engine(f"open {folder}"):
            self.shard = edge.EdgeShard.load(str(folder / SHARD))

    def update(self, operation: Any) -> None:
        """Writes to the shard.

        Raises:
            EngineError: If Edge refuses, or fails.
        """
        with engine(f"write to {self.folder.name!r}"):
            self.shard.update(operation)

    def check_space(self, floats: int) -> None:
        """Refuses a write for which the disk may be too full.

        Edge maps its files, and where one cannot grow, the operating system ends the whole process.

        Raises:
            EngineError: If there is too little space.
        """
        free = shutil.disk_usage(self.folder).free
        if free < _SPARE_BYTES + BYTES_A_FLOAT * floats:
            raise EngineError(
                f"{self.folder} has {free / 2**20:.0f} MiB left on its disk, and Qdrant Edge wants "
                f"{_SPARE_BYTES / 2**20:.0f} MiB to spare. Make room, and write again."
            )

    def flush_after(self, floats: int) -> None:
        """Empties the write-ahead log now and then, which else has everything that was ever written."""
        self.unflushed += floats
        if self.unflushed >= _FLUSHED_FLOATS:
            with engine(f"write to {self.folder.name!r}"):
                self.shard.flush()
            self.unflushed = 0

    def info(self) -> models.CollectionInfo:
        """Describes the collection as a server would."""
        with engine(f"read {self.folder.name!r}"):
            info = self.shard.info()
        return models.CollectionInfo(
            status=models.CollectionStatus.GREEN,
            optimizer_status=models.OptimizersStatusOneOf.OK,
            points_count=info.points_count,
            indexed_vectors_count=info.indexed_vectors_count,
            segments_count=info.segments_count,
            config=models.CollectionConfig(
                params=models.CollectionParams(**self.record["params"]),
                hnsw_config=models.HnswConfig(m=16, ef_construct=100, full_scan_threshold=10_000),
                optimizer_config=models.OptimizersConfig(default_segment_number=0, flush_interval_sec=5),
                metadata=self.record["metadata"],
            ),
            payload_schema={},
        )

    def close(self) -> None:
        """Writes everything to the disk, and releases the folder."""
        with engine(f"close {self.folder.name!r}"):
            self.shard.close()


@contextmanager
def engine(deed: str) -> Iterator[None]:
    """Errors of the engine and of the file system as ours.

    Edge raises bare exceptions, and where it panics, something that is no ``Exception`` at all.
    """
    try:
        yield
    except JaColBERTError:
        raise
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            if "WouldBlock" in str(error):
                reason = "another client, in this process or another, has it open. Close that one first"
            else:
                reason = " ".join(str(error).split())
            raise EngineError(f"Qdrant Edge could not {deed}: {reason}.") from error
        raise


def edge_config(record: Mapping[str, Any]) -> Any:
    """Builds Edge's configuration of a collection from the record in its folder."""
    params = models.CollectionParams(**record["params"])
    hnsw = record.get("hnsw_config")
    optimizers = record.get("optimizers_config")
    return edge.EdgeConfig(
        vectors=None if params.vectors is None else to_edge(params.vectors),
        sparse_vectors=to_edge(params.sparse_vectors),
        on_disk_payload=params.on_disk_payload,
        hnsw_config=None if hnsw is None else to_edge(models.HnswConfigDiff(**hnsw)),
        optimizers=None if optimizers is None else to_edge(models.OptimizersConfigDiff(**optimizers)),
    )


def floats_of(vector: Any) -> int:
    """Counts the numbers of a point's dense vectors; sparse vectors and texts do not count."""
    each = vector.values() if isinstance(vector, Mapping) else [vector]
    return sum(int(np.size(v)) for v in each if isinstance(v, np.ndarray | list))


def plain_id(point_id: Any) -> int | str:
    """Converts an id to qdrant-client's form: Edge has UUIDs as objects."""
    return point_id if isinstance(point_id, int) else str(point_id)


def to_record(record: Any) -> models.Record:
    """Converts a point that Edge read."""
    return models.Record.model_construct(
        id=plain_id(record.id), payload=record.payload, vector=from_edge_vector(record.vector)
    )


def to_scored(point: Any) -> models.ScoredPoint:
    """Converts a point that Edge found."""
    return models.ScoredPoint.model_construct(
        id=plain_id(point.id),
        version=point.version,
        score=point.score,
        payload=point.payload,
        vector=from_edge_vector(point.vector),
    )
