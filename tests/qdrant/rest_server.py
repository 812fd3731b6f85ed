"""An imitation of a Qdrant server's REST interface over qdrant-client's local mode, which makes faults on demand."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from qdrant_client import QdrantClient, models

from ..conftest import PATIENCE

TAKEN_FAULT = "x-fault"
"""The header by which an impatient client says what becomes of its request."""


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
        self.headers: list[dict[str, str]] = []
        """Of each request, also those for the version."""
        self.prefix = ""
        """The path under which everything is, as behind a proxy."""
        self.version = version("qdrant-client")
        """What the server says that it is."""
        self.keeps_metadata = True
        self.created = 0
        """Collections that were made."""
        self.shard_keys: dict[str, list[int | str]] = {}
        """Of each collection with custom sharding."""
        self.indexes: list[dict[str, Any]] = []
        self.strict: dict[str, Any] = {}
        """What strict mode caps: of Qdrant's configuration, and ``indexed`` for filters by indexed keys alone."""
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
        if parts == ["collections"]:
            return self.local.get_collections().model_dump(mode="json")
        name, rest = parts[1], parts[2:]
        if rest[:1] == ["points"]:
            self._check_shard_keys(name, body)
            self._check_strict_mode(body)
        match method, rest:
            case "GET", ["exists"]:
                return {"exists": self.local.collection_exists(name)}
            case "GET", []:
                return self._described(name)
            case "PUT", []:
                return self._create(name, models.CreateCollection.model_validate(body))
            case "GET", ["shards"]:
                return {"shard_keys": [{"key": key} for key in self.shard_keys[name]]}
            case "DELETE", []:
                return self.local.delete_collection(name)
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
                return self.local.upsert(name, sent.points, update_filter=sent.update_filter).model_dump(mode="json")
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
            name,
            wanted.vectors,
            metadata=wanted.metadata if self.keeps_metadata else None,
            sparse_vectors_config=wanted.sparse_vectors,
        )
        self.created += 1
        if wanted.sharding_method == models.ShardingMethod.CUSTOM:
            self.shard_keys[name] = []
        return made

    def _query(self, name: str, wanted: models.QueryRequest) -> Any:
        return self.local.query_points(
            name, self._alone(name, wanted), wanted.using, wanted.prefetch, wanted.filter, limit=wanted.limit or 10,
            score_threshold=wanted.score_threshold,
        ).model_dump(mode="json")  # fmt: skip

    def _alone(self, name: str, wanted: models.QueryRequest) -> Any:
        """As Qdrant compares a point with itself where one condition has its id alone."""
        asked = getattr(wanted.query, "nearest", None)
        if not isinstance(asked, str | int):
            return wanted.query
        found = self.local.retrieve(name, [asked], with_vectors=True)
        if not found:
            raise ValueError(f"No point with id {asked} found: not found")
        alone = models.HasIdCondition(has_id=[asked])
        if wanted.filter is None or alone not in (wanted.filter.should or []):
            return wanted.query
        assert isinstance(found[0].vector, dict)
        return found[0].vector[wanted.using or ""]

    def _check_shard_keys(self, name: str, body: dict[str, Any]) -> None:
        """As Qdrant refuses a shard key that nobody has made."""
        for part in (body, *body.get("searches", ())):
            selector = part.get("shard_key")
            for key in selector if isinstance(selector, list) else [] if selector is None else [selector]:
                if key not in self.shard_keys.get(name, []):
                    raise ValueError(f"Shard key {key} not found")

    def _described(self, name: str) -> Any:
        found = self.local.get_collection(name).model_dump(mode="json")
        found["payload_schema"] = {
            index["field_name"]: {"data_type": kind if isinstance(kind, str) else kind["type"], "points": 0}
            for index in self.indexes
            for kind in [index["field_schema"]]
        }
        if self.strict:
            caps = {key: value for key, value in self.strict.items() if key != "indexed"}
            only = {"unindexed_filtering_retrieve": False, "unindexed_filtering_update": False}
            indexed = only if self.strict.get("indexed") else {}
            found["config"]["strict_mode_config"] = {"enabled": True, **indexed, **caps}
        return found

    def _check_strict_mode(self, body: dict[str, Any]) -> None:
        """As Qdrant refuses what strict mode does not allow."""
        indexed = {index["field_name"] for index in self.indexes}
        for key in _filter_keys(body) if self.strict.get("indexed") else ():
            if key not in indexed:
                raise ValueError(f'Index required but no index for "{key}"')
        for part in (body, *body.get("searches", ())):
            caps = [("limit", "max_query_limit", part.get("limit") or 0)]
            caps += [("prefetch", "max_query_limit", p.get("limit") or 0) for p in part.get("prefetch") or ()]
            caps += [("upsert", "upsert_max_batchsize", len(part.get("points") or ()) if "filter" not in part else 0)]
            caps += [("batch", "search_max_batchsize", len(part.get("searches") or ()))]
            for what, cap, asked in caps:
                if asked > self.strict.get(cap, asked):
                    raise ValueError(f"{what} limit exceeded {asked} > {self.strict[cap]}")
            sizes = [len(found) for found in _condition_values(part.get("filter") or {})]
            if max(sizes, default=0) > self.strict.get("condition_max_size", 1 << 60):
                raise ValueError("condition size limit reached")


def _filter_keys(body: object) -> Iterator[str]:
    """Every payload key that a request's filters compare."""
    if isinstance(body, list):
        for item in body:
            yield from _filter_keys(item)
    elif isinstance(body, dict):
        if isinstance(body.get("key"), str) and (body.get("match") or body.get("range") or len(body) == 1):
            yield body["key"]
        for name, item in body.items():
            if name not in ("payload", "query", "vector"):
                yield from _filter_keys(item)


def _condition_values(body: object) -> Iterator[list[Any]]:
    """The ids and values of each condition."""
    if isinstance(body, list):
        for item in body:
            yield from _condition_values(item)
    elif isinstance(body, dict):
        for name, item in body.items():
            if name in ("has_id", "any", "except"):
                yield item
            else:
                yield from _condition_values(item)


class Handler(BaseHTTPRequestHandler):
    backend: Backend

    def handle_any(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        address = urlsplit(self.path)
        backend = self.backend
        backend.headers.append({name.lower(): value for name, value in self.headers.items()})
        path = address.path.removeprefix(backend.prefix)
        body = json.loads(raw) if raw else {}
        if not address.path.startswith(backend.prefix):
            self.reply(404, "<html>there is nothing here</html>")
            return
        if path == "/":
            self.reply(200, {"title": "qdrant", "version": backend.version})
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
        answer = body.encode() if isinstance(body, str) else json.dumps(body, separators=(",", ":")).encode()
        self.send_response(status)
        if fault.startswith("busy"):
            self.send_header("Retry-After", "1" if fault == "busy" else "Sat, 21 Nov 2026 12:00:00 GMT")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer[: len(answer) // 2] if fault == "half" else answer)

    do_GET = do_PUT = do_POST = do_DELETE = handle_any

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
