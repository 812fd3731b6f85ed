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
        self.record = _record(folder / CONFIG)
        with engine(f"open {folder}"):
            self.shard = edge.EdgeShard.load(str(folder / SHARD))

    def update(self, operation: Any, floats: int = 0) -> None:
        """Writes to the shard, if the disk has room.

        Args:
            operation: Edge's.
            floats: How many numbers it brings.

        Raises:
            EngineError: If there is too little space, or Edge refuses, or fails.
        """
        check_space(self.folder, floats)
        with engine(f"write to {self.folder.name!r}"):
            self.shard.update(operation)

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
            payload_schema={path: _index_info(index) for path, index in info.payload_schema.items()},
        )

    def close(self) -> None:
        """Writes everything to the disk, and releases the folder."""
        with engine(f"close {self.folder.name!r}"):
            self.shard.close()


def _index_info(index: Any) -> models.PayloadIndexInfo:
    """Converts what Edge says of a payload index; its options it does not say."""
    kind = str(index.data_type).rpartition(".")[2].lower()
    return models.PayloadIndexInfo(data_type=models.PayloadSchemaType(kind), points=index.points)


def check_space(folder: Path, floats: int = 0) -> None:
    """Refuses a write for which the disk may be too full.

    Edge maps its files, and where one cannot grow, the operating system ends the whole process. Even a change of a
    payload, or a deletion, needs a new page of the log.

    Raises:
        EngineError: If there is too little space.
    """
    free = shutil.disk_usage(folder).free
    if free < _SPARE_BYTES + BYTES_A_FLOAT * floats:
        raise EngineError(
            f"{folder} has {free / 2**20:.0f} MiB left on its disk, and Qdrant Edge wants "
            f"{_SPARE_BYTES / 2**20:.0f} MiB to spare. Make room, and write again."
        )


def _record(file: Path) -> dict[str, Any]:
    """Reads what a collection is made of, and checks it before the engine sees its files."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        params = models.CollectionParams(**record["params"])
        if not isinstance(record["metadata"], dict) or (params.vectors is None and params.sparse_vectors is None):
            raise ValueError("it names no vectors")
        edge_config(record)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, JaColBERTError) as error:
        reason = " ".join(str(error).split())
        raise EngineError(f"{file} cannot be read, or is damaged: {type(error).__name__}: {reason:.200}.") from None
    return dict(record)


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
