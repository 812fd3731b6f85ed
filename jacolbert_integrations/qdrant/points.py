"""Points of ours as Qdrant's, and back."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models

from ..errors import InputError, VectorError
from ..types import Payload, Point
from .stages import FirstStage

VECTOR_NAME = "colbert"
"""The named multivector of a document's token vectors."""

MAX_FLOATS = 1_048_576
"""Qdrant takes strictly fewer floats than this in one multivector; its local mode does not check."""

ID_KEY = "_jacolbert_id"
"""The payload key that keeps the id as it was given."""

HASH_KEY = "_jacolbert_hash"
"""The payload key of a hash of what a document was written from, where a writer left one."""

_NAMESPACE = uuid.UUID("5f0c2a52-6d1f-5e0b-9d3c-6a1c0be7b1a1")
_MAX_BATCH_BYTES = 6_000_000
_BYTES_PER_FLOAT = 21  # as JSON text


def qdrant_id(point_id: str) -> str:
    """Maps any string to a UUID, the same one each time; a canonical UUID stays itself.

    So LlamaIndex's own readers find nodes, whose ids are UUIDs, under the ids that they know.
    """
    try:
        canonical = str(uuid.UUID(point_id))
    except ValueError:
        canonical = None
    return point_id if point_id == canonical else str(uuid.uuid5(_NAMESPACE, point_id))


def check_size(point: Point) -> None:
    """Refuses a document that no Qdrant server would take.

    Raises:
        VectorError: If it has too many token vectors.
    """
    if point.vectors.size >= MAX_FLOATS:
        most = (MAX_FLOATS - 1) // point.vectors.shape[1]
        raise VectorError(
            f"point {point.id!r} has {len(point.vectors)} token vectors, but Qdrant takes at most {most} of "
            f"{point.vectors.shape[1]} dimensions in one point. Split the document."
        )


def check_payload(point: Point) -> None:
    """Refuses a payload that uses a key that is ours.

    Raises:
        InputError: If it does.
    """
    for key in (ID_KEY, HASH_KEY):
        if key in point.payload:
            raise InputError(f"point {point.id!r} has the payload key {key!r}, which is for the store. Rename it.")


def is_local(client: QdrantClient) -> bool:
    """Whether the client runs Qdrant in this process (``":memory:"`` or a path)."""
    options = client.init_options
    return options.get("location") == ":memory:" or options.get("path") is not None


def to_structs(
    points: Sequence[Point],
    stages: Sequence[FirstStage] = (),
    *,
    local: bool,
    hashes: Mapping[str, str] | None = None,
) -> Iterator[models.PointStruct]:
    """Points as Qdrant's with what the first stages need, the vectors as arrays where the client takes them.

    Local mode stores arrays as they are, which is several times faster to write and to reopen;
    the check that Pydantic would do has been done. For a server they have to become JSON.
    """
    found = {stage.name: stage.encode_points(points) for stage in stages}
    for place, point in enumerate(points):
        fields: dict[str, Any] = {
            "id": qdrant_id(point.id),
            "vector": {
                VECTOR_NAME: np.ascontiguousarray(point.vectors),
                **{name: values[place] for name, values in found.items()},
            },
            "payload": {**point.payload, ID_KEY: point.id, **({HASH_KEY: hashes[point.id]} if hashes else {})},
        }
        yield models.PointStruct.model_construct(**fields) if local else models.PointStruct(**fields)


def batches(points: list[Point]) -> Iterator[list[Point]]:
    """Batches that stay well below the 32 MiB that a server takes in one request."""
    batch: list[Point] = []
    size = 0
    for point in points:
        point_size = point.vectors.size * _BYTES_PER_FLOAT
        if batch and size + point_size > _MAX_BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(point)
        size += point_size
    if batch:
        yield batch


def from_payload(qdrant_point_id: object, payload: Payload | None) -> tuple[str, dict[str, Any]]:
    """The id as it was given, and the payload without it."""
    values = dict(payload or {})
    values.pop(HASH_KEY, None)
    return str(values.pop(ID_KEY, qdrant_point_id)), values
