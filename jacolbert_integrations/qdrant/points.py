"""Converts points to Qdrant's own form, and back."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from qdrant_client import models

from ..errors import InputError, VectorError
from ..text.windows import DOCUMENT_KEY
from ..types import Condition, Filter, Payload, Point, WithIds
from .stages import FirstStage

VECTOR_NAME = "colbert"
"""The named multivector of a document's token vectors."""

MAX_FLOATS = 1_048_576
"""Qdrant takes strictly fewer floats than this in one multivector; its local mode does not check."""

ID_KEY = "_jacolbert_id"
"""The payload key that keeps the id as it was given."""

HASH_KEY = "_jacolbert_hash"
VERSION_KEY = "_jacolbert_version"
"""The payload key of a hash of what a document was written from, where a writer left one."""

_NAMESPACE = uuid.UUID("5f0c2a52-6d1f-5e0b-9d3c-6a1c0be7b1a1")
_MOST_MESSAGES = 96  # of the 100 that its readers allow, some are around a payload
_MAX_REQUEST_BYTES = 32 * 2**20  # what a server takes, unless it is told otherwise
_MAX_BATCH_BYTES = 6_000_000
_JSON_BYTES_PER_NUMBER = 21.0
_GRPC_BYTES_PER_NUMBER = 4.05
_BYTES_BESIDES = 300  # ids, hash and names of one point


def qdrant_id(point_id: str) -> str:
    """Maps any string to a UUID, the same one each time; a canonical UUID stays itself.

    So LlamaIndex's own readers find nodes, whose ids are UUIDs, under the ids that they know. And an id and the UUID
    that it is mapped to are one point: read, counted and deleted by either. A :class:`.QdrantWriter` reports the
    document that would take another's point.
    """
    try:
        canonical = str(uuid.UUID(point_id))
    except ValueError:
        canonical = None
    return point_id if point_id == canonical else str(uuid.uuid5(_NAMESPACE, point_id))


def native_id(point_id: str) -> int | str:
    """Does the same as :func:`qdrant_id`, but keeps whole numbers: Qdrant's own ids in collections made elsewhere."""
    if point_id.isdecimal() and len(point_id) <= 20 and point_id == str(number := int(point_id)) and number < 1 << 64:
        return number
    return qdrant_id(point_id)


def of_documents(ids: Iterable[str]) -> Filter:
    """Selects some documents, with all windows of those that were split: a filter for any method of a store."""
    documents = list(ids)
    return Filter([WithIds(frozenset(documents)), windows_of(documents)], "or")


def windows_of(documents: Iterable[str]) -> Condition:
    """Selects the windows of some documents that were split."""
    return Condition(DOCUMENT_KEY, "in", list(documents))


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


def check_request(points: Iterable[Point], stages: Sequence[FirstStage], *, grpc: bool) -> None:
    """Refuses a point that no request can hold, by itself.

    Raises:
        InputError: If there is one.
    """
    for point in points:
        size = _bytes_of(point, stages, grpc=grpc)
        if size > _MAX_REQUEST_BYTES:
            raise InputError(
                f"point {point.id!r} takes {size / 2**20:,.0f} MiB in a request, but a Qdrant server takes "
                f"{_MAX_REQUEST_BYTES / 2**20:.0f} MiB. Keep less in its payload, or split the document."
            )


def check_payload(payload: Payload, what: str, *, grpc: bool = False) -> None:
    """Refuses a payload that uses a key that is the store's, or that cannot travel.

    Args:
        payload: The payload, of JSON's values.
        what: Whose it is.
        grpc: Whether it is to travel over gRPC, whose messages are nested less deeply than JSON.

    Raises:
        InputError: If it does.
    """
    for key in (ID_KEY, HASH_KEY, VERSION_KEY):
        if key in payload:
            raise InputError(f"{what} has the payload key {key!r}, which is for the store. Rename it.")
    for key, value in payload.items() if grpc else ():
        if _messages_deep(value) > _MOST_MESSAGES:
            raise InputError(
                f"{what} has a payload that is nested too deep for gRPC under {key!r}, which takes 32 objects or 48 "
                "lists within each other. Flatten it, or use REST."
            )


def _messages_deep(value: object) -> int:
    """Counts the messages within each other as which gRPC sends a value: three for an object, two for a list."""
    if isinstance(value, Mapping):
        return 3 + max(map(_messages_deep, value.values()), default=0)
    if isinstance(value, list):
        return 2 + max(map(_messages_deep, value), default=0)
    return 0


def to_structs(
    points: Sequence[Point],
    stages: Sequence[FirstStage] = (),
    *,
    in_process: bool,
    hashes: Mapping[str, str] | None = None,
    version: int | None = None,
    native_ids: bool = False,
) -> Iterator[models.PointStruct]:
    """Converts points to Qdrant's, with the vectors of the first stages; arrays stay where the client takes them.

    Local mode stores arrays as they are, which is several times faster to write and to reopen, and Edge reads them;
    the check that Pydantic would do has been done. For a server they have to become JSON.
    """
    for point, vectors in zip(points, to_vectors(points, stages), strict=True):
        fields: dict[str, Any] = {
            "id": native_id(point.id) if native_ids else qdrant_id(point.id),
            "vector": vectors,
            "payload": {
                **point.payload,
                ID_KEY: point.id,
                **({HASH_KEY: hashes[point.id]} if hashes else {}),
                **({} if version is None else {VERSION_KEY: version}),
            },
        }
        yield models.PointStruct.model_construct(**fields) if in_process else models.PointStruct(**fields)


def to_vectors(points: Sequence[Point], stages: Sequence[FirstStage] = ()) -> list[dict[str, Any]]:
    """Returns each point's vectors by name: the token vectors, and those of the first stages."""
    found = {stage.name: stage.encode_points(points) for stage in stages}
    return [
        {
            VECTOR_NAME: np.ascontiguousarray(point.vectors),
            **{name: values[place] for name, values in found.items()},
        }
        for place, point in enumerate(points)
    ]


def batches(points: Sequence[Point], stages: Sequence[FirstStage] = (), *, grpc: bool = False) -> Iterator[list[Point]]:
    """Yields batches that stay well below the 32 MiB that a server takes in one request.

    All that is sent counts: token vectors, the first stages' vectors, and the payload. A point that is
    larger than a batch is one of its own.

    Args:
        points: Checked points.
        stages: What else is sent of each.
        grpc: Whether numbers travel in binary form, so that five times as many fit.
    """
    batch: list[Point] = []
    size = 0.0
    for point in points:
        point_size = _bytes_of(point, stages, grpc=grpc)
        if batch and size + point_size > _MAX_BATCH_BYTES:
            yield batch
            batch, size = [], 0.0
        batch.append(point)
        size += point_size
    if batch:
        yield batch


def _bytes_of(point: Point, stages: Sequence[FirstStage], *, grpc: bool) -> float:
    number = _GRPC_BYTES_PER_NUMBER if grpc else _JSON_BYTES_PER_NUMBER
    beside = sum(stage.size_of(point) for stage in stages)
    payload = json.dumps(point.payload, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return (point.vectors.size + beside) * number + len(payload) + _BYTES_BESIDES


def from_payload(qdrant_point_id: object, payload: Payload | None) -> tuple[str, dict[str, Any]]:
    """Returns the id as it was given, and the payload without it."""
    values = dict(payload or {})
    values.pop(HASH_KEY, None)
    values.pop(VERSION_KEY, None)
    return str(values.pop(ID_KEY, qdrant_point_id)), values
