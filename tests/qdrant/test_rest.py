"""The store over Qdrant's REST interface: what it sends, what it makes of the answers, and of none.

No Qdrant server can be installed from a package registry. A small HTTP server takes its place that
hands each request, as JSON, to qdrant-client's own local mode: what is not valid JSON of Qdrant's
models fails here as it would there.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from jacolbert_integrations import Condition, Filter, MemoryStore, Point, QdrantStore
from jacolbert_integrations.errors import AccessError, GaveUpError, ModelMismatchError
from jacolbert_integrations.qdrant import FixedDimensional, MeanPooled, Retries
from jacolbert_integrations.qdrant.points import batches

from ..conftest import PATIENCE
from ..stores.test_contract import IDENTITY, QUERY, points, vectors


@dataclass(frozen=True)
class Sent:
    """A request as it arrived."""

    method: str
    path: str
    parameters: dict[str, str]
    body: dict[str, Any]


def is_write(method: str, path: str) -> bool:
    return method == "PUT" and path.endswith("/points")


class Backend:
    """A local Qdrant behind the few REST calls that the store makes."""

    def __init__(self) -> None:
        self.local = QdrantClient(":memory:")
        self.lock = threading.Lock()
        self.requests: list[tuple[str, str, int]] = []
        self.sent: list[Sent] | None = None
        """What arrived in full, if a test makes this a list."""
        self.created = 0
        """Collections that were made."""
        self.shard_keys: dict[str, list[int | str]] = {}
        """Of each collection with custom sharding."""
        self.indexes: list[dict[str, Any]] = []
        self.faults: list[str] = []
        """What becomes of the next writes: "ok", a status, "busy" (429), "busy at noon" (the same with a date),
        "reset", "lost" (written, then reset), "late" (written, and answered when nobody waits any more), "silent"
        (never answered), "half" (an answer that stops), "other" (an answer that is none of Qdrant's)."""
        self.faulty: Callable[[str, str], bool] = is_write
        """Which requests these faults befall."""
        self.refused: set[str] = set()
        """Ids of which each write is refused."""
        self.largest = 32 * 2**20
        self.withheld = threading.Semaphore(0)
        """Counts the answers that are "late" or "silent", each when all else is done."""
        self.let_go = threading.Event()
        """Ends the waiting of those that do not answer."""

    def fault(self, method: str, path: str) -> str:
        return self.faults.pop(0) if self.faults and self.faulty(method, path) else "ok"

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Any:
        parts = path.strip("/").split("/")
        name, rest = parts[1], parts[2:]
        if rest[:1] == ["points"]:
            self._check_shard_keys(name, body)
        match method, rest:
            case "GET", ["exists"]:
                return {"exists": self.local.collection_exists(name)}
            case "GET", []:
                return self.local.get_collection(name).model_dump(mode="json")
            case "PUT", []:
                return self._create(name, models.CreateCollection.model_validate(body))
            case "GET", ["shards"]:
                return {"shard_keys": [{"key": key} for key in self.shard_keys[name]]}
            case "PUT", ["shards"]:
                key = models.CreateShardingKey.model_validate(body).shard_key
                if key in self.shard_keys[name]:
                    raise ValueError(f"Shard key {key} already exists")
                self.shard_keys[name].append(key)
                return True
            case "PUT", ["index"]:
                models.CreateFieldIndex.model_validate(body)
                self.indexes.append(body)
                return {"operation_id": 0, "status": "completed"}
            case "PUT", ["points"]:
                sent = models.PointsList.model_validate(body)
                if self.refused & {str(point.id) for point in sent.points}:
                    raise ValueError("one of them is refused")
                return self.local.upsert(name, sent.points).model_dump(mode="json")
            case "POST", ["points"]:
                with_vectors, with_payload = body.get("with_vector", False), body.get("with_payload", True)
                found = self.local.retrieve(name, body["ids"], with_payload, with_vectors)
                return [record.model_dump(mode="json") for record in found]
            case "POST", ["points", "scroll"]:
                asked = models.ScrollRequest.model_validate(body)
                page, following = self.local.scroll(
                    name, asked.filter, asked.limit or 10, None, asked.offset, True, asked.with_vector or False
                )
                return {"points": [record.model_dump(mode="json") for record in page], "next_page_offset": following}
            case "POST", ["points", "query"]:
                return self._query(name, models.QueryRequest.model_validate(body))
            case "POST", ["points", "query", "batch"]:
                searches = models.QueryRequestBatch.model_validate(body).searches
                return [self._query(name, search) for search in searches]
            case "POST", ["points", "query", "groups"]:
                wanted = models.QueryGroupsRequest.model_validate(body)
                groups = self.local.query_points_groups(
                    name, wanted.group_by, wanted.query, wanted.using, wanted.prefetch, wanted.filter,
                    limit=wanted.limit or 10, group_size=wanted.group_size or 1,
                )  # fmt: skip
                return groups.model_dump(mode="json")
            case "POST", ["points", "count"]:
                condition = None if body.get("filter") is None else models.Filter.model_validate(body["filter"])
                return self.local.count(name, condition).model_dump(mode="json")
            case "POST", ["points", "delete"]:
                selector = models.FilterSelector if "filter" in body else models.PointIdsList
                return self.local.delete(name, selector.model_validate(body)).model_dump(mode="json")
        raise AssertionError(f"unexpected request: {method} {path}")

    def _create(self, name: str, wanted: models.CreateCollection) -> bool:
        made = self.local.create_collection(
            name, wanted.vectors, metadata=wanted.metadata, sparse_vectors_config=wanted.sparse_vectors
        )
        self.created += 1
        if wanted.sharding_method == models.ShardingMethod.CUSTOM:
            self.shard_keys[name] = []
        return made

    def _query(self, name: str, wanted: models.QueryRequest) -> Any:
        return self.local.query_points(
            name, wanted.query, wanted.using, wanted.prefetch, wanted.filter, limit=wanted.limit or 10,
            score_threshold=wanted.score_threshold,
        ).model_dump(mode="json")  # fmt: skip

    def _check_shard_keys(self, name: str, body: dict[str, Any]) -> None:
        """As Qdrant refuses a shard key that nobody has made."""
        for part in (body, *body.get("searches", ())):
            selector = part.get("shard_key")
            for key in selector if isinstance(selector, list) else [] if selector is None else [selector]:
                if key not in self.shard_keys.get(name, []):
                    raise ValueError(f"Shard key {key} not found")


TAKEN_FAULT = "x-fault"
"""The header by which an impatient client says what becomes of its request."""


class Handler(BaseHTTPRequestHandler):
    backend: Backend

    def handle_any(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        address = urlsplit(self.path)
        path, backend = address.path, self.backend
        body = json.loads(raw) if raw else {}
        if path == "/":
            self.reply(200, {"title": "qdrant", "version": version("qdrant-client")})
            return
        with backend.lock:
            backend.requests.append((self.command, path, len(raw)))
            if backend.sent is not None:
                parameters = {name: values[0] for name, values in parse_qs(address.query).items()}
                backend.sent.append(Sent(self.command, path, parameters, body))
            taken = self.headers.get(TAKEN_FAULT)
            fault = "413" if len(raw) > backend.largest else taken or backend.fault(self.command, path)
            if fault == "reset":
                self.hang_up()
                return
            if fault.startswith("busy") or fault.isdigit():
                key = self.headers.get("api-key")
                said = f"fault {fault} of the key {key}" if key else f"fault {fault}"
                self.reply(429 if fault.startswith("busy") else int(fault), {"status": {"error": said}}, fault)
                return
            if fault != "silent":
                try:
                    result = backend.answer(self.command, path, body)
                except ValueError as error:  # as local mode says "not found"
                    missing = "not found" in str(error)
                    self.reply(404 if missing else 400, {"status": {"error": str(error)}})
                    return
        if fault in ("late", "silent"):
            backend.withheld.release()
            backend.let_go.wait(PATIENCE)
        if fault in ("late", "silent", "lost"):
            self.hang_up()
        elif fault == "other":
            self.reply(200, "<html>please log in</html>")
        else:
            self.reply(200, {"result": result, "status": "ok", "time": 0.0}, fault)

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def reply(self, status: int, body: object, fault: str = "ok") -> None:
        answer = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        if fault.startswith("busy"):
            self.send_header("Retry-After", "1" if fault == "busy" else "Sat, 21 Nov 2026 12:00:00 GMT")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer[: len(answer) // 2] if fault == "half" else answer)

    do_GET = do_PUT = do_POST = handle_any

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def serving(backend: Backend, port: int = 0) -> Iterator[int]:
    """A server in a thread; its port."""
    listener = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (Handler,), {"backend": backend}))
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield listener.server_port
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port at which connections are refused until a server is started there: nobody else can take it meanwhile."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers themselves do
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def open_client(port: int, **options: Any) -> QdrantClient:
    return QdrantClient(f"http://127.0.0.1:{port}", check_compatibility=False, timeout=PATIENCE, **options)


@pytest.fixture
def backend() -> Iterator[Backend]:
    made = Backend()
    yield made
    made.let_go.set()
    made.local.close()


@pytest.fixture
def server(backend: Backend) -> Iterator[QdrantClient]:
    with serving(backend) as port:
        client = open_client(port)
        yield client
        client.close()


def impatient(client: QdrantClient, backend: Backend) -> QdrantClient:
    """The client, which waits for a moment only where it knows that no answer will come.

    However slow the server is, no other request times out. For this the client takes the faults, and tells the server.
    """

    def prepare(request: httpx.Request) -> None:
        with backend.lock:
            fault = backend.fault(request.method, request.url.path)
        request.headers[TAKEN_FAULT] = fault
        if fault in ("late", "silent"):
            request.extensions["timeout"]["read"] = 0.05

    client.http.client._client.event_hooks = {"request": [prepare]}
    return client


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


def test_what_a_first_stage_sends_counts_too(server: QdrantClient, backend: Backend) -> None:
    store = QdrantStore(server, "documents", first_stage=[FixedDimensional(repetitions=64), MeanPooled()])
    store.bind(IDENTITY)
    store.upsert([Point(str(i), vectors(i, 3), {"text": "文" * 2000}) for i in range(100)])
    sizes = [size for method, path, size in backend.requests if is_write(method, path)]
    assert len(sizes) == 4  # 8,192 floats and 6,000 bytes of payload each
    assert max(sizes) < 8_000_000


def test_batches_know_what_a_number_costs() -> None:
    given = [Point(str(i), np.ones((100, 128), np.float32)) for i in range(100)]
    assert len(next(batches(given))) == 22
    assert len(next(batches(given, grpc=True))) == 100
    assert len(next(batches([replace(point, payload={"x": "文" * 100_000}) for point in given], grpc=True))) == 17
    encoded = FixedDimensional(repetitions=128)  # 16,384 floats
    assert len(next(batches(given, [encoded]))) == 9
    assert [len(batch) for batch in batches([replace(given[0], payload={"x": "x" * 7_000_000}), *given[1:3]])] == [1, 2]


def test_a_search_is_sent_again_by_who_wants_that(server: QdrantClient, backend: Backend) -> None:
    store = QdrantStore(server, "documents")
    store.bind(IDENTITY)
    store.upsert(points(5))
    backend.faulty = lambda method, path: path.endswith("/query")
    backend.faults = ["503", "reset", "half", "other", "busy at noon"]
    retries = Retries(times=5, first_pause=0.001, longest_pause=0.01)
    found = retries.call(lambda: store.search(QUERY, top_k=3))
    assert backend.faults == []
    assert found == store.search(QUERY, top_k=3)
    backend.faults = ["503"] * 6
    with pytest.raises(GaveUpError, match=r"6 tries failed, the last with UnexpectedResponse: .*503"):
        retries.call(lambda: store.search(QUERY, top_k=3))
    backend.faults = ["401"]
    with pytest.raises(AccessError, match=r"refuses this client \(401\)"):
        retries.call(lambda: store.search(QUERY, top_k=3))


def test_an_upsert_is_sent_again_after_a_fault_that_may_pass(server: QdrantClient, backend: Backend) -> None:
    store = QdrantStore(server, "documents")
    store.bind(IDENTITY)
    backend.faults = ["503"]
    backend.faulty = lambda method, path: path.endswith("/points")
    assert store.upsert(points(3)) == 3
    assert backend.faults == []
    assert store.count() == 3
