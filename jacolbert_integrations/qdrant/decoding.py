"""Points with their token vectors from a server, decoded into arrays without a Python object for each number.

The client itself makes lists of lists of Python's floats of them, in eight times the memory. Requests, errors, headers
and time-outs are the client's own.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.http.api.points_api import SyncPointsApi
from qdrant_client.http.api_client import ApiClient, Send
from qdrant_client.qdrant_remote import QdrantRemote

from .clients import Client, is_in_process, uses_grpc
from .points import VECTOR_NAME

Page = tuple[list[models.Record], Any]
"""Some points, and where the next begin."""

# A string is matched whole, so that nothing in it is taken for an array.
_STRING_OR_MATRIX = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"' rb"|\[\[[-+.0-9eE,]+\](?:,\[[-+.0-9eE,]+\])*\]", re.DOTALL)
_HERE = {"localhost", "127.0.0.1", "::1"}


def retrieve_vectors(
    client: Client,
    collection: str,
    ids: Sequence[models.ExtendedPointId],
    *,
    consistency: models.ReadConsistency | None = None,
    shard_key_selector: models.ShardKeySelector | None = None,
) -> list[models.Record]:
    """Does what the client's ``retrieve`` does, with payload and token vectors; these are arrays."""
    if is_in_process(client) or not isinstance(client, QdrantClient):
        return client.retrieve(collection, ids, with_vectors=[VECTOR_NAME])
    if uses_grpc(client):
        request = messages.GetPoints(
            ids=[RestToGrpc.convert_extended_point_id(i) for i in ids],
            **_message_fields(collection, consistency, shard_key_selector),
        )
        return [_record(point) for point in client.grpc_points.Get(request, timeout=_timeout(client)).result]
    reading = _ReadingMatrices(client.http.client)
    answer = SyncPointsApi(reading).get_points(
        collection,
        consistency=consistency,  # type: ignore[arg-type]  # None is its default
        point_request=models.PointRequest(
            ids=list(ids), with_payload=True, with_vector=[VECTOR_NAME], shard_key=shard_key_selector
        ),
    )
    return reading.filled(answer.result or [])


def scroll_vectors(
    client: Client,
    collection: str,
    condition: models.Filter | None,
    *,
    limit: int,
    offset: models.ExtendedPointId | None,
    consistency: models.ReadConsistency | None = None,
    shard_key_selector: models.ShardKeySelector | None = None,
) -> Page:
    """Does what the client's ``scroll`` does, with payload and token vectors; these are arrays."""
    if is_in_process(client) or not isinstance(client, QdrantClient):
        return client.scroll(collection, condition, limit=limit, offset=offset, with_vectors=[VECTOR_NAME])
    if uses_grpc(client):
        request = messages.ScrollPoints(
            filter=None if condition is None else RestToGrpc.convert_filter(condition),
            limit=limit,
            offset=None if offset is None else RestToGrpc.convert_extended_point_id(offset),
            **_message_fields(collection, consistency, shard_key_selector),
        )
        found = client.grpc_points.Scroll(request, timeout=_timeout(client))
        following = GrpcToRest.convert_point_id(found.next_page_offset) if found.HasField("next_page_offset") else None
        return [_record(point) for point in found.result], following
    reading = _ReadingMatrices(client.http.client)
    answer = SyncPointsApi(reading).scroll_points(
        collection,
        consistency=consistency,  # type: ignore[arg-type]  # None is its default
        scroll_request=models.ScrollRequest(
            filter=condition,
            limit=limit,
            offset=offset,
            with_payload=True,
            with_vector=[VECTOR_NAME],
            shard_key=shard_key_selector,
        ),
    )
    page = answer.result
    return ([], None) if page is None else (reading.filled(page.points), page.next_page_offset)


# gRPC


def _message_fields(
    collection: str, consistency: models.ReadConsistency | None, shard_key: models.ShardKeySelector | None
) -> dict[str, Any]:
    return {
        "collection_name": collection,
        "with_payload": RestToGrpc.convert_with_payload_interface(True),
        "with_vectors": RestToGrpc.convert_with_vectors([VECTOR_NAME]),
        "read_consistency": None if consistency is None else RestToGrpc.convert_read_consistency(consistency),
        "shard_key_selector": None if shard_key is None else RestToGrpc.convert_shard_key_selector(shard_key),
    }


def _timeout(client: QdrantClient) -> int:
    """Returns the seconds that the client itself waits for an answer over gRPC."""
    given = client.init_options.get("timeout")
    return QdrantRemote.DEFAULT_GRPC_TIMEOUT if given is None else math.ceil(given)


def _record(point: Any) -> models.Record:
    named = point.vectors.vectors.vectors
    return models.Record.model_construct(
        id=GrpcToRest.convert_point_id(point.id),
        payload=GrpcToRest.convert_payload(point.payload),
        vector={VECTOR_NAME: _matrix(named[VECTOR_NAME])} if VECTOR_NAME in named else {},
    )


def _matrix(vector: Any) -> Any:
    """Reads a multivector from its serialised rows: each is a header, the same for all, and its packed numbers."""
    if vector.WhichOneof("vector") != "multi_dense":  # as older servers send it
        return GrpcToRest.convert_vector_output(vector)
    rows = vector.multi_dense.vectors
    data = vector.multi_dense.SerializeToString()
    size = 4 * len(rows[0].data) if rows else 0
    header = len(data) // len(rows) - size if rows else 0
    if not rows or len(data) != len(rows) * (header + size) or len({len(row.data) for row in rows}) != 1:
        return GrpcToRest.convert_vector_output(vector)
    table = np.frombuffer(data, np.uint8).reshape(len(rows), header + size)[:, header:]
    return np.ascontiguousarray(table).view("<f4").astype(np.float32, copy=False)


# REST


class _ReadingMatrices(ApiClient):
    """The client's own connection, whose answers lose their matrices before they are decoded as ever.

    In the place of each is a list of two numbers: one that nothing stored can know, and which matrix it was.
    """

    def __init__(self, client: ApiClient) -> None:
        self.host = client.host
        self._client = client._client
        self._around = client.middleware
        self.middleware = self._read
        self._mark = float(secrets.randbits(50))
        self._matrices: list[bytes] = []

    def _read(self, request: httpx.Request, send: Send) -> httpx.Response:
        if request.url.host in _HERE:  # to compress so many digits takes longer than to send them within a machine
            request.headers["accept-encoding"] = "identity"
        response = self._around(request, send)
        if response.status_code != httpx.codes.OK:
            return response
        content = _STRING_OR_MATRIX.sub(self._taken_out, response.content)
        return httpx.Response(response.status_code, content=content, request=request)

    def _taken_out(self, found: re.Match[bytes]) -> bytes:
        if found[0][:1] == b'"':
            return found[0]
        self._matrices.append(found[0])
        return b"[%.1f,%d.0]" % (self._mark, len(self._matrices) - 1)

    def filled(self, records: Sequence[models.Record]) -> list[models.Record]:
        """Puts the matrices back: token vectors as arrays, and what else looked like them as it was."""
        back = 0
        for record in records:
            if isinstance(record.vector, dict) and (text := self._taken(record.vector.get(VECTOR_NAME))) is not None:
                record.vector[VECTOR_NAME] = _numbers(text)
                back += 1
        if back < len(self._matrices):
            for record in records:
                record.payload = self._restored(record.payload)
        return list(records)

    def _taken(self, value: object) -> bytes | None:
        if isinstance(value, list) and len(value) == 2 and value[0] == self._mark:
            return self._matrices[int(value[1])]
        return None

    def _restored(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._restored(item) for key, item in value.items()}
        if isinstance(value, list):
            text = self._taken(value)
            return [self._restored(item) for item in value] if text is None else json.loads(text)
        return value


def _numbers(text: bytes) -> Any:
    rows = text.count(b"],[") + 1
    numbers = np.fromstring(text[2:-2].replace(b"],[", b","), np.float32, sep=",")
    return numbers.reshape(rows, -1)
