"""The store and the writer over Qdrant's gRPC interface.

A gRPC server with Qdrant's own services hands each message to qdrant-client's local mode, converted as
the client converts answers: what its messages cannot say is lost here as it would be there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

import grpc
import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

from jacolbert_integrations import Condition, Filter, MemoryStore, Point, QdrantStore
from jacolbert_integrations.errors import (
    GaveUpError,
    InputError,
    ModelMismatchError,
    ServerError,
    UnreachableError,
    WriteError,
)
from jacolbert_integrations.qdrant import FixedDimensional, Lexical, MeanPooled, Retries, SearchOptions
from jacolbert_integrations.qdrant import points as points_module
from jacolbert_integrations.qdrant.answers import describe
from jacolbert_integrations.qdrant.points import qdrant_id
from jacolbert_integrations.qdrant.retrying import may_pass
from jacolbert_integrations.text.windows import DOCUMENT_KEY
from jacolbert_integrations.types import Document, Hits, Query

from ..conftest import PATIENCE
from ..stores.samples import IDENTITY, QUERY, points, vectors
from .rest_server import reserved_port
from .writing import QUICK, Encoder, check, documents, documents_and_a_deletion, noted_pauses, writer

MESSAGE_LIMIT = 64 * 2**20
PATIENT = Retries(times=100_000, first_pause=0.001, longest_pause=0.01)


class Backend:
    """A local Qdrant behind the messages that the store sends."""

    def __init__(self) -> None:
        self.local = QdrantClient(":memory:")
        self.lock = threading.Lock()
        self.sent: list[tuple[str, Any]] = []
        self.metadata: list[dict[str, str]] = []
        """Of each request."""
        self.sizes: list[int] = []
        """Bytes of each write."""
        self.shard_keys: list[int | str] = []
        self.faults: list[str] = []
        """What becomes of the next writes: "ok", the name of a status, "busy" (RESOURCE_EXHAUSTED, and when to come
        back), "large", "lost" (written, and answered as UNAVAILABLE), "late" (written, and answered too late)."""
        self.refused: set[str] = set()
        self.version = "1.20.0"
        self.creations: list[str] = []
        """What becomes of the next collections: "ok", or the name of a status with what is said."""
        self.let_go = threading.Event()

    def take(self, name: str, request: Any, context: grpc.ServicerContext) -> str:
        """Notes a request, and ends it if a fault is due; else its fault is what comes after."""
        self.sent.append((name, request))
        self.metadata.append({str(key): str(value) for key, value in context.invocation_metadata()})
        if name != "Upsert":
            return "ok"
        self.sizes.append(request.ByteSize())
        fault = self.faults.pop(0) if self.faults else "ok"
        if fault == "busy":
            context.set_trailing_metadata((("retry-after", "1"),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests")
        if fault == "large":
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (5 vs. 4)")
        if fault.isupper():
            context.abort(grpc.StatusCode[fault], f"fault {fault}")
        return fault


class Service:
    """Calls local mode under a lock, and turns what it raises into a status."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.local = backend.local

    @contextmanager
    def handling(self, name: str, request: Any, context: grpc.ServicerContext) -> Iterator[None]:
        fault = self.backend.take(name, request, context)
        try:
            with self.backend.lock:
                yield
        except ValueError as error:
            missing = "not found" in str(error)
            context.abort(grpc.StatusCode.NOT_FOUND if missing else grpc.StatusCode.INVALID_ARGUMENT, str(error))
        if fault == "lost":
            context.abort(grpc.StatusCode.UNAVAILABLE, "connection lost")
        if fault == "late":
            self.backend.let_go.wait(PATIENCE)


class Collections(Service, messages.CollectionsServicer):
    def CollectionExists(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self.handling("CollectionExists", request, context):
            exists = self.local.collection_exists(request.collection_name)
        return messages.CollectionExistsResponse(result=messages.CollectionExists(exists=exists))

    def Get(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self.handling("GetCollection", request, context):
            info = self.local.get_collection(request.collection_name)
        return messages.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(info))

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        status, _, said = (self.backend.creations.pop(0) if self.backend.creations else "ok").partition(" ")
        if status != "ok":
            self.backend.sent.append(("Create", request))
            context.abort(grpc.StatusCode[status], said)
        with self.handling("Create", request, context):
            sparse = request.sparse_vectors_config if request.HasField("sparse_vectors_config") else None
            self.local.create_collection(
                request.collection_name,
                GrpcToRest.convert_vectors_config(request.vectors_config),
                metadata=GrpcToRest.convert_payload(request.metadata),
                sparse_vectors_config=None if sparse is None else GrpcToRest.convert_sparse_vector_config(sparse),
            )
        return messages.CollectionOperationResponse(result=True)

    def ListShardKeys(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self.handling("ListShardKeys", request, context):
            keys = [RestToGrpc.convert_shard_key(key) for key in self.backend.shard_keys]
        return messages.ListShardKeysResponse(shard_keys=[messages.ShardKeyDescription(key=key) for key in keys])

    def CreateShardKey(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self.handling("CreateShardKey", request, context):
            self.backend.shard_keys.append(GrpcToRest.convert_shard_key(request.request.shard_key))
        return messages.CreateShardKeyResponse(result=True)


class Root(Service, messages.QdrantServicer):
    def HealthCheck(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self.handling("HealthCheck", request, context):
            return messages.HealthCheckReply(title="qdrant", version=self.backend.version)


class Points(Service, messages.PointsServicer):
    def Upsert(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self.handling("Upsert", request, context):
            sent = [GrpcToRest.convert_point_struct(point) for point in request.points]
            if self.backend.refused & {str(point.id) for point in sent}:
                raise ValueError("one of them is refused")
            result = self.local.upsert(request.collection_name, sent)
        return messages.PointsOperationResponse(result=RestToGrpc.convert_update_result(result))

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self.handling("Delete", request, context):
            result = self.local.delete(request.collection_name, GrpcToRest.convert_points_selector(request.points))
        return messages.PointsOperationResponse(result=RestToGrpc.convert_update_result(result))

    def Get(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self.handling("GetPoints", request, context):
            records = self.local.retrieve(
                request.collection_name,
                [GrpcToRest.convert_point_id(point_id) for point_id in request.ids],
                GrpcToRest.convert_with_payload_interface(request.with_payload),
                GrpcToRest.convert_with_vectors_selector(request.with_vectors),
            )
        records = [record.model_copy(update={"payload": record.payload or {}}) for record in records]
        return messages.GetResponse(result=[RestToGrpc.convert_retrieved_point(record) for record in records])

    def Scroll(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self.handling("Scroll", request, context):
            records, following = self.local.scroll(
                request.collection_name,
                GrpcToRest.convert_filter(request.filter) if request.HasField("filter") else None,
                request.limit,
                None,
                GrpcToRest.convert_point_id(request.offset) if request.HasField("offset") else None,
                GrpcToRest.convert_with_payload_interface(request.with_payload),
                GrpcToRest.convert_with_vectors_selector(request.with_vectors),
            )
        return messages.ScrollResponse(
            result=[RestToGrpc.convert_retrieved_point(record) for record in records],
            next_page_offset=None if following is None else RestToGrpc.convert_extended_point_id(following),
        )

    def Count(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self.handling("Count", request, context):
            condition = GrpcToRest.convert_filter(request.filter) if request.HasField("filter") else None
            counted = self.local.count(request.collection_name, condition)
        return messages.CountResponse(result=RestToGrpc.convert_count_result(counted))

    def CreateFieldIndex(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self.handling("CreateFieldIndex", request, context):
            result = messages.UpdateResult(operation_id=0, status=messages.UpdateStatus.Completed)
        return messages.PointsOperationResponse(result=result)

    def Query(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self.handling("Query", request, context):
            found = self._query(request)
        return messages.QueryResponse(result=found)

    def QueryBatch(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self.handling("QueryBatch", request, context):
            found = [self._query(one) for one in request.query_points]
        return messages.QueryBatchResponse(result=[messages.BatchResult(result=one) for one in found])

    def QueryGroups(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self.handling("QueryGroups", request, context):
            wanted = GrpcToRest.convert_query_points(_as_query_points(request))
            groups = self.local.query_points_groups(
                request.collection_name, request.group_by, wanted.query, wanted.using, wanted.prefetch,
                wanted.filter, limit=request.limit, group_size=request.group_size,
            )  # fmt: skip
        return messages.QueryGroupsResponse(result=RestToGrpc.convert_groups_result(groups))

    def _query(self, request: Any) -> list[Any]:
        wanted = GrpcToRest.convert_query_points(request)
        found = self.local.query_points(
            request.collection_name, wanted.query, wanted.using, wanted.prefetch, wanted.filter,
            limit=wanted.limit or 10, score_threshold=wanted.score_threshold,
        )  # fmt: skip
        return [RestToGrpc.convert_scored_point(point) for point in found.points]


def _as_query_points(groups: Any) -> Any:
    """What a search of groups shares with a search."""
    shared = {name: getattr(groups, name) for name in ("query", "using", "filter") if groups.HasField(name)}
    return messages.QueryPoints(prefetch=groups.prefetch, **shared)


@contextmanager
def serving(backend: Backend, port: int = 0) -> Iterator[int]:
    """A server; its port."""
    limits = [("grpc.max_receive_message_length", MESSAGE_LIMIT)]
    server = grpc.server(ThreadPoolExecutor(8), options=limits)
    messages.add_CollectionsServicer_to_server(Collections(backend), server)  # type: ignore[no-untyped-call]
    messages.add_PointsServicer_to_server(Points(backend), server)  # type: ignore[no-untyped-call]
    messages.add_QdrantServicer_to_server(Root(backend), server)  # type: ignore[no-untyped-call]
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield bound
    finally:
        server.stop(0.2).wait()


def open_client(port: int, **options: Any) -> QdrantClient:
    """Nothing listens at its REST port."""
    return QdrantClient(
        host="127.0.0.1", port=9, grpc_port=port, prefer_grpc=True, check_compatibility=False, pool_size=1,
        timeout=PATIENCE, **options,
    )  # fmt: skip


def impatient(client: QdrantClient, backend: Backend) -> QdrantClient:
    """The client, which waits for a moment only for an answer that will be late: no other is, however slow it is."""
    stub = client._client.grpc_points  # type: ignore[attr-defined]
    upsert = stub.Upsert

    def hurried(request: Any, timeout: float, **options: Any) -> Any:
        return upsert(request, timeout=0.05 if backend.faults[:1] == ["late"] else timeout, **options)

    stub.Upsert = hurried
    return client


@pytest.fixture
def backend() -> Iterator[Backend]:
    made = Backend()
    yield made
    made.let_go.set()
    made.local.close()


@pytest.fixture
def client(backend: Backend) -> Iterator[QdrantClient]:
    with serving(backend) as port:
        opened = open_client(port)
        yield opened
        backend.let_go.set()
        opened.close()


def bound(client: QdrantClient, **options: Any) -> QdrantStore:
    store = QdrantStore(client, "documents", **options)
    store.bind(IDENTITY)
    return store


def test_ranks_as_in_memory(client: QdrantClient) -> None:
    remote, memory = bound(client), MemoryStore()
    memory.bind(IDENTITY)
    for store in (remote, memory):
        assert store.upsert(points(30)) == 30
    for condition in (None, Filter([Condition("n", ">", 10), Condition("parity", "==", "odd")])):
        assert remote.count(filter=condition) == memory.count(filter=condition)
        one = remote.search(QUERY, top_k=8, filter=condition)
        other = memory.search(QUERY, top_k=8, filter=condition)
        assert [hit.id for hit in one] == [hit.id for hit in other]
        assert [hit.payload for hit in one] == [hit.payload for hit in other]
        np.testing.assert_allclose([hit.score for hit in one], [hit.score for hit in other], atol=1e-5)
        assert remote.search_batch([QUERY, QUERY], top_k=8, filter=condition) == [one, one]
    best = remote.search_groups(QUERY, group_by="parity", top_k=2)
    assert [hit.id for hit in best[:1]] == [remote.search(QUERY, top_k=1)[0].id]
    assert {hit.payload["parity"] for hit in best} == {"odd", "even"}
    stored = remote.get(["文書 3"])["文書 3"]
    np.testing.assert_array_equal(stored.vectors, points(4)[3].vectors)  # binary numbers lose nothing
    remote.delete(["文書 3"])
    assert remote.count() == 29


def test_first_stages_travel(client: QdrantClient) -> None:
    local = QdrantClient(":memory:")
    stages = [Lexical(), FixedDimensional(repetitions=2), MeanPooled()]
    given = [Point(p.id, p.vectors, p.payload, f"{i}番目の山") for i, p in enumerate(points(30))]
    remote, there = bound(client, first_stage=stages), bound(local, first_stage=stages)
    for store in (remote, there):
        store.upsert(given)
    query = Query(QUERY.vectors, "7番目の山")
    options = SearchOptions(candidates=5)
    found = remote.search(query, top_k=5, options=options)
    assert [hit.id for hit in found] == [hit.id for hit in there.search(query, top_k=5, options=options)]
    assert found.approximate
    assert bound(client).first_stage == remote.first_stage == there.first_stage  # as the metadata has it
    local.close()


def test_the_record_of_the_model_travels(client: QdrantClient, backend: Backend) -> None:
    bound(client).upsert(points(2))
    assert backend.local.get_collection("documents").config.metadata == {"jacolbert": IDENTITY.to_dict()}
    assert bound(client).count() == 2
    other = Encoder()
    other.identity = type(IDENTITY)(**{**IDENTITY.to_dict(), "fingerprint": "0" * 64})
    with pytest.raises(ModelMismatchError, match="fingerprint ffffffffffff there, 000000000000 here"):
        writer(client, other)


def test_requests_hold_five_times_as_many_floats(
    client: QdrantClient, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points_module, "_MAX_BATCH_BYTES", 600_000)
    bound(client).upsert([Point(str(i), vectors(i, 800)) for i in range(24)])
    assert len(backend.sizes) == 2  # 153,600 floats; as JSON text they are 3.2 MB
    assert max(backend.sizes) < 700_000


def test_writes_and_leaves_alone(client: QdrantClient) -> None:
    assert writer(client).write(documents(30)).written == 30
    again = writer(client).write([*documents(20), *documents(35, "、改")[20:]])
    assert (again.written, again.unchanged) == (15, 20)
    check(writer(client).store, [*documents(20), *documents(35, "、改")[20:]])


def test_faults_that_pass_are_survived(client: QdrantClient, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = noted_pauses(monkeypatch)
    backend.faults = [
        "UNAVAILABLE", "ok", "lost", "INTERNAL", "ok", "DEADLINE_EXCEEDED", "ABORTED", "UNKNOWN", "ok", "busy",
        "CANCELLED", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED",
    ]  # fmt: skip
    result = writer(client).write(documents(60))
    assert (result.written, result.failed) == (60, ())
    assert backend.faults == []
    assert (len(pauses), max(pauses)) == (10, 1)  # what the server asked for when it was busy
    check(writer(client).store, documents(60))


def test_an_answer_that_is_late(backend: Backend) -> None:
    with serving(backend) as port:
        client = impatient(open_client(port), backend)
        backend.faults = ["ok", "late"]
        assert writer(client, retries=PATIENT).write(documents(24)).written == 24
        assert backend.faults == []
        check(writer(client).store, documents(24))
        backend.faults = ["late"] * 5
        with pytest.raises(GaveUpError, match=r"DEADLINE_EXCEEDED: .*; a client with a longer timeout may help"):
            QUICK.call(lambda: writer(client).store.send(points(1)))
        backend.let_go.set()
        client.close()


def test_what_is_refused_is_reported_by_document(client: QdrantClient, backend: Backend) -> None:
    backend.refused = {qdrant_id("文書 5")}
    backend.faults = ["large"]
    given = [*documents(20), Document("half", "文", {"x": "\ud800"})]
    result = writer(client, batch=32).write(given)
    assert result.written == 19
    reasons = {failed.id: failed.reason for failed in result.failed}
    assert reasons.keys() == {"文書 5", "half"}
    assert "INVALID_ARGUMENT: one of them is refused" in reasons["文書 5"]
    check(writer(client).store, [d for d in documents(20) if d.id != "文書 5"])


@pytest.mark.parametrize("status", ["UNAUTHENTICATED", "PERMISSION_DENIED"])
def test_a_client_that_is_refused_stops_at_once(client: QdrantClient, backend: Backend, status: str) -> None:
    backend.faults = ["ok", *[status] * 50]
    with pytest.raises(WriteError, match=rf"refuses this client \({status}\)\. Check its API key.* 8 documents"):
        writer(client).write(documents(40))
    assert len(backend.faults) == 49


def test_a_server_that_is_gone_stops_the_writer(client: QdrantClient, backend: Backend) -> None:
    backend.faults = ["ok", *["UNAVAILABLE"] * 100]
    with pytest.raises(WriteError, match="the last with InactiveRpcError: UNAVAILABLE: fault UNAVAILABLE") as caught:
        writer(client).write(documents(500))
    assert "8 documents written" in str(caught.value)
    backend.faults = []
    writer(client).write(documents(500))
    check(writer(client).store, documents(500))


def test_a_collection_deleted_under_the_writer(client: QdrantClient, backend: Backend) -> None:
    held = writer(client)
    with pytest.raises(WriteError, match=r"'documents' was deleted while it was written to\. Write again"):
        held.write(documents_and_a_deletion(held, lambda: backend.local.delete_collection("documents")))
    assert writer(client).write(documents(80)).written == 80


def test_two_that_create_at_once(client: QdrantClient, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = bound(client), bound(client)
    one.create()
    answers = iter([False])
    real = other.exists
    monkeypatch.setattr(other, "exists", lambda: next(answers, None) is not False and real())
    other.upsert(points(2))
    assert other.count() == 2


def test_what_may_pass(client: QdrantClient, backend: Backend) -> None:
    """By the errors that the client raises, not by imitations of them."""
    store = bound(client)
    store.create()
    passing = {"UNAVAILABLE": True, "INVALID_ARGUMENT": False, "NOT_FOUND": False, "DATA_LOSS": False, "large": False}
    for fault, passes in passing.items():
        backend.faults = [fault]
        with pytest.raises((ServerError, UnreachableError)) as caught:
            store.send(points(1))
        assert may_pass(caught.value) is passes, fault
        assert "\n" not in describe(caught.value)


def test_all_points_come_back(client: QdrantClient) -> None:
    store = bound(client)
    store.upsert(points(40))
    assert {point.id for point in store.points(batch=7)} == {point.id for point in points(40)}
    assert store.contains(["文書 1", "none"]) == {"文書 1"}


def test_a_search_is_sent_again_by_who_wants_that(backend: Backend) -> None:
    with reserved_port() as port, ExitStack() as again:
        client = open_client(port)
        with serving(backend, port):
            store = bound(client)
            store.upsert(points(5))
            expected = store.search(QUERY, top_k=3)
        with pytest.raises(UnreachableError, match=f"'documents' at .*port {port}.*Is the server running"):
            store.search(QUERY, top_k=3)
        tries = count()

        def search() -> Hits:
            if next(tries) == 2:
                again.enter_context(serving(backend, port))
            return store.search(QUERY, top_k=3)

        assert PATIENT.call(search) == expected
        client.close()


def test_models_of_qdrant_are_what_is_sent(client: QdrantClient, backend: Backend) -> None:
    """The cluster's options, as messages."""
    store = bound(
        client,
        shard_key=["東京", 7],
        consistency=models.ReadConsistencyType.QUORUM,
        indexes={"tenant": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)},
        sharding_method=models.ShardingMethod.CUSTOM,
        write_consistency_factor=2,
    )
    store.upsert(points(10))
    store.search(QUERY, top_k=2)
    store.search_batch([QUERY], top_k=2)
    store.search_groups(QUERY, group_by="parity", top_k=2)
    store.count()
    store.get(["文書 1"])
    store.contains(["文書 1"])
    list(store.points())
    store.delete(["文書 1"])
    ordering = models.WriteOrdering.STRONG
    held = writer(client, ordering=ordering)
    held.store = store
    held.write(documents(3))
    assert backend.shard_keys == ["東京", 7]
    created = next(request for name, request in backend.sent if name == "Create")
    assert created.sharding_method == messages.ShardingMethod.Custom
    assert created.write_consistency_factor == 2
    ours, _, index = (request for name, request in backend.sent if name == "CreateFieldIndex")
    assert (ours.field_name, ours.field_type) == (DOCUMENT_KEY, messages.FieldType.FieldTypeKeyword)
    assert index.field_index_params.keyword_index_params.is_tenant
    seen = set()
    for name, request in backend.sent:
        if name in {"Upsert", "Delete", "GetPoints", "Scroll", "Count", "Query", "QueryGroups", "QueryBatch"}:
            seen.add(name)
            for part in request.query_points if name == "QueryBatch" else [request]:
                keys = [GrpcToRest.convert_shard_key(key) for key in part.shard_key_selector.shard_keys]
                assert keys == ["東京", 7], name
            if name not in {"Upsert", "Delete", "Count"}:  # the client lets nobody ask this of a count
                assert request.read_consistency.type == messages.ReadConsistencyType.Quorum, name
    assert len(seen) == 8
    assert backend.sent[-1][0] == "Upsert"
    assert backend.sent[-1][1].ordering.type == messages.WriteOrderingType.Strong
    assert backend.sent[-1][1].wait


@pytest.mark.parametrize(("kind", "most"), [(dict, 32), (list, 48)])
def test_payloads_are_nested_less_deeply_than_in_json(client: QdrantClient, kind: type, most: int) -> None:
    def nested(depth: int) -> Any:
        value: Any = 1
        for _ in range(depth):
            value = [value] if kind is list else {"a": value}
        return value

    store = bound(client)
    store.upsert([Point("a", vectors(1, 2), {"k": nested(most)})])
    assert store.get(["a"])["a"].payload == {"k": nested(most)}
    with pytest.raises(InputError, match=r"point 'b' has a payload that is nested too deep for gRPC under 'k'"):
        store.upsert([Point("b", vectors(1, 2), {"k": nested(most + 1)})])
    with pytest.raises(InputError, match="update_payload has a payload that is nested too deep for gRPC"):
        store.update_payload({"k": nested(most + 1)}, ids=["a"])
    result = writer(client).write([Document("b", "文", {"k": nested(most + 1)}), Document("c", "よい文")])
    assert (result.written, [failed.id for failed in result.failed]) == (1, ["b"])
    assert store.count() == 2
