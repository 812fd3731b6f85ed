"""The store over Qdrant's REST interface: what it sends, and what it makes of the answers.

No Qdrant server can be installed from a package registry. A small HTTP server takes its place that
hands each request, as JSON, to qdrant-client's own local mode: what is not valid JSON of Qdrant's
models fails here as it would there.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from pydantic import TypeAdapter
from qdrant_client import QdrantClient, models

from jacolbert_integrations import Condition, Filter, MemoryStore, Point, QdrantStore
from jacolbert_integrations.errors import ModelMismatchError

from .test_stores import IDENTITY, QUERY, points, vectors


class Backend:
    """A local Qdrant behind the few REST calls that the store makes."""

    def __init__(self) -> None:
        self.local = QdrantClient(":memory:")
        self.lock = threading.Lock()
        self.requests: list[tuple[str, str, int]] = []
        self.faults: list[str] = []
        """What becomes of the next writes: "ok", a status, "busy" (429), "reset", or "lost" (written, then reset)."""

    def fault(self, method: str, path: str) -> str:
        return self.faults.pop(0) if self.faults and method == "PUT" and path.endswith("/points") else "ok"

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Any:
        parts = path.strip("/").split("/")
        name, rest = parts[1], parts[2:]
        match method, rest:
            case "GET", ["exists"]:
                return {"exists": self.local.collection_exists(name)}
            case "GET", []:
                return self.local.get_collection(name).model_dump(mode="json")
            case "PUT", []:
                wanted = models.CreateCollection.model_validate(body)
                assert isinstance(wanted.vectors, dict)
                return self.local.create_collection(
                    name, wanted.vectors, metadata=wanted.metadata, sparse_vectors_config=wanted.sparse_vectors
                )
            case "PUT", ["points"]:
                sent = models.PointsList.model_validate(body)
                return self.local.upsert(name, sent.points).model_dump(mode="json")
            case "POST", ["points"]:
                with_vectors, with_payload = body.get("with_vector", False), body.get("with_payload", True)
                found = self.local.retrieve(name, body["ids"], with_payload, with_vectors)
                return [record.model_dump(mode="json") for record in found]
            case "POST", ["points", "query"]:
                query = TypeAdapter(models.Query | list[list[float]]).validate_python(body["query"])
                condition = None if body.get("filter") is None else models.Filter.model_validate(body["filter"])
                found_points = self.local.query_points(
                    name, query=query, using=body["using"], query_filter=condition, limit=body["limit"]
                )
                return found_points.model_dump(mode="json")
            case "POST", ["points", "count"]:
                condition = None if body.get("filter") is None else models.Filter.model_validate(body["filter"])
                return self.local.count(name, condition).model_dump(mode="json")
            case "POST", ["points", "delete"]:
                return self.local.delete(name, models.PointIdsList.model_validate(body)).model_dump(mode="json")
        raise AssertionError(f"unexpected request: {method} {path}")


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def server(backend: Backend) -> Iterator[QdrantClient]:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = urlsplit(self.path).path
            with backend.lock:
                backend.requests.append((self.command, path, len(raw)))
                fault = backend.fault(self.command, path)
                if fault == "reset":
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if fault == "busy" or fault.isdigit():
                    self.reply(429 if fault == "busy" else int(fault), {"status": {"error": f"fault {fault}"}})
                    return
                try:
                    result = backend.answer(self.command, path, json.loads(raw) if raw else {})
                except ValueError as error:  # as local mode says "not found"
                    missing = "not found" in str(error)
                    self.reply(404 if missing else 400, {"status": {"error": str(error)}})
                    return
            if fault == "lost":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.reply(200, {"result": result, "status": "ok", "time": 0.0})

        def reply(self, status: int, body: object) -> None:
            answer = json.dumps(body).encode()
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "1")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_PUT = do_POST = handle_any

        def log_message(self, *_: object) -> None:
            return

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    client = QdrantClient(f"http://127.0.0.1:{listener.server_port}", check_compatibility=False)
    yield client
    client.close()
    listener.shutdown()
    listener.server_close()
    thread.join()
    backend.local.close()


def test_ranks_over_rest_as_in_memory(server: QdrantClient) -> None:
    remote, memory = QdrantStore(server, "documents"), MemoryStore()
    for store in (remote, memory):
        store.bind(IDENTITY)
        assert store.upsert(points(30)) == 30
    assert remote.count() == 30
    for filter in (None, Filter([Condition("n", ">", 10), Condition("parity", "==", "odd")])):
        one = remote.search(QUERY, top_k=8, filter=filter)
        other = memory.search(QUERY, top_k=8, filter=filter)
        assert [hit.id for hit in one] == [hit.id for hit in other]
        assert [hit.payload for hit in one] == [hit.payload for hit in other]
        np.testing.assert_allclose([hit.score for hit in one], [hit.score for hit in other], atol=1e-5)
    stored = remote.get(["文書 3"])["文書 3"]
    np.testing.assert_allclose(stored.vectors, points(4)[3].vectors, atol=1e-6)
    remote.delete(["文書 3"])
    assert remote.count() == 29


def test_the_record_of_the_model_travels(server: QdrantClient) -> None:
    store = QdrantStore(server, "documents")
    store.bind(IDENTITY)
    store.upsert(points(2))
    again = QdrantStore(server, "documents")
    again.bind(IDENTITY)
    assert again.count() == 2
    from dataclasses import replace

    with pytest.raises(ModelMismatchError, match="fingerprint ffffffffffff there, 000000000000 here"):
        QdrantStore(server, "documents").bind(replace(IDENTITY, fingerprint="0" * 64))


def test_large_writes_are_cut_into_requests_that_a_server_takes(server: QdrantClient, backend: Backend) -> None:
    store = QdrantStore(server, "documents")
    store.bind(IDENTITY)
    store.upsert([Point(str(i), vectors(i, 9000)) for i in range(12)])
    sizes = [size for method, path, size in backend.requests if method == "PUT" and path.endswith("/points")]
    assert len(sizes) > 1
    assert max(sizes) < 8_000_000
    assert store.count() == 12
