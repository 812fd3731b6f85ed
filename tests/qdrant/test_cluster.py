"""What a Qdrant cluster is asked for: shard keys, tenants, consistency; and its nodes going down and coming back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from jacolbert_integrations import Condition, Filter, QdrantStore
from jacolbert_integrations.errors import ModelMismatchError, ServerError
from jacolbert_integrations.qdrant import EdgeClient, QdrantWriter, Retries, retrying
from jacolbert_integrations.qdrant.cluster import create_shard_keys
from jacolbert_integrations.qdrant.points import VERSION_KEY
from jacolbert_integrations.text.windows import DOCUMENT_KEY
from jacolbert_integrations.types import Document

from ..conftest import PATIENCE
from ..stores.samples import IDENTITY, QUERY, points
from .rest_server import Backend, Sent, open_client, reserved_port, serving
from .writing import Encoder, check, documents, writer

CUSTOM = models.ShardingMethod.CUSTOM
TENANT = {"tenant": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)}
PATIENT = Retries(times=100_000, first_pause=0.001, longest_pause=0.01)


def bound(client: QdrantClient | EdgeClient, **options: Any) -> QdrantStore:
    store = QdrantStore(client, "documents", **options)
    store.bind(IDENTITY)
    return store


def write_to(store: QdrantStore, **options: Any) -> QdrantWriter:
    held = writer(store.client, **options)
    held.store = store
    return held


def use_everything(store: QdrantStore) -> None:
    store.upsert(points(10))
    write_to(store).write(documents(3))
    store.search(QUERY, top_k=2)
    store.search_batch([QUERY, QUERY], top_k=2)
    store.search_groups(QUERY, group_by="parity", top_k=2)
    store.count()
    store.get(["文書 1"])
    store.contains(["文書 1"])
    list(store.points())
    store.delete(["文書 1"])


def kind(sent: Sent) -> str:
    return " ".join([sent.method, *sent.path.split("/")[3:]])


READS = {
    "POST points", "POST points scroll", "POST points count", "POST points query", "POST points query batch",
    "POST points query groups",
}  # fmt: skip
WRITES = {"PUT points", "POST points delete"}


@pytest.mark.parametrize("shard_key", ["東京", 7, ["東京", 7]])
def test_everything_is_read_and_written_within_the_shard_keys(
    server: QdrantClient, backend: Backend, shard_key: Any
) -> None:
    backend.sent = []
    use_everything(bound(server, shard_key=shard_key, consistency="majority", sharding_method=CUSTOM))
    assert {kind(sent) for sent in backend.sent} >= READS | WRITES
    for sent in backend.sent:
        if kind(sent) in READS | WRITES:
            for part in sent.body.get("searches", [sent.body]):
                assert part["shard_key"] == shard_key, sent
        # a count is the one read of which the client does not let this be asked
        if kind(sent) in READS - {"POST points count"}:
            assert sent.parameters["consistency"] == "majority", sent
    assert backend.shard_keys["documents"] == (shard_key if isinstance(shard_key, list) else [shard_key])


def test_nothing_is_asked_of_those_who_ask_for_nothing(server: QdrantClient, backend: Backend) -> None:
    backend.sent = []
    use_everything(bound(server))
    for sent in backend.sent:
        for part in sent.body.get("searches", [sent.body]):
            assert part.get("shard_key") is None
        assert not sent.parameters.keys() & {"consistency", "ordering"}
    assert not any(kind(sent).endswith("shards") for sent in backend.sent)
    assert [index["field_name"] for index in backend.indexes] == [DOCUMENT_KEY, VERSION_KEY]


def test_what_the_collection_is_made_with(server: QdrantClient, backend: Backend) -> None:
    backend.sent = []
    store = bound(
        server, sharding_method=CUSTOM, shard_key="東京", shard_number=3, replication_factor=2,
        write_consistency_factor=2, indexes=TENANT,
    )  # fmt: skip
    write_to(store, ordering=models.WriteOrdering.STRONG, wait=False).write(documents(20))
    made = next(sent.body for sent in backend.sent if kind(sent) == "PUT")
    options = ("sharding_method", "shard_number", "replication_factor", "write_consistency_factor")
    assert [made[option] for option in options] == ["custom", 3, 2, 2]
    kinds = [kind(sent) for sent in backend.sent]
    assert kinds.index("PUT") < kinds.index("PUT shards") < kinds.index("PUT index") < kinds.index("PUT points")
    assert (kinds.count("PUT"), kinds.count("PUT shards"), kinds.count("PUT index")) == (1, 1, 3)
    assert backend.indexes == [
        {"field_name": DOCUMENT_KEY, "field_schema": "keyword"},
        {"field_name": VERSION_KEY, "field_schema": "integer"},
        {"field_name": "tenant", "field_schema": {"type": "keyword", "is_tenant": True}},
    ]
    writes = [sent.parameters for sent in backend.sent if kind(sent) == "PUT points"]
    assert writes == [{"wait": "false", "ordering": "strong"}] * 3


def test_a_new_tenant_in_a_collection_that_is_there(server: QdrantClient, backend: Backend) -> None:
    """Its shard key is made before anything is asked of it; that which is there is left alone."""
    for key in ("東京", "大阪", "東京"):
        held = write_to(bound(server, sharding_method=CUSTOM, shard_key=key))
        assert held.write([Document(key, f"{key}の文書", {"tenant": key})]).failed == ()
    assert backend.shard_keys["documents"] == ["東京", "大阪"]
    with pytest.raises(ServerError, match="not found"):  # without the sharding method nothing is made
        bound(server, shard_key="京都").count()


def test_a_fallback_is_made_too(server: QdrantClient, backend: Backend) -> None:
    bound(server, sharding_method=CUSTOM).create()
    selector = models.ShardKeyWithFallback(target="東京", fallback="その他")
    create_shard_keys(server, "documents", selector)
    create_shard_keys(server, "documents", selector)
    assert backend.shard_keys["documents"] == ["東京", "その他"]


def test_two_that_make_a_shard_key_at_once(
    server: QdrantClient, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound(server, sharding_method=CUSTOM).create()
    real = server.create_shard_key

    def late(*given: Any, **options: Any) -> bool:
        real(*given, **options)  # the other
        return real(*given, **options)

    monkeypatch.setattr(server, "create_shard_key", late)
    create_shard_keys(server, "documents", "東京")
    assert backend.shard_keys["documents"] == ["東京"]
    backend.faulty, backend.faults = lambda method, path: method == "PUT" and path.endswith("/shards"), ["400"]
    monkeypatch.setattr(server, "create_shard_key", real)
    with pytest.raises(UnexpectedResponse, match="400"):
        create_shard_keys(server, "documents", "大阪")


def test_tenants_in_one_collection(server: QdrantClient) -> None:
    store = bound(server, indexes=TENANT)
    held = write_to(store)
    held.write(Document(f"{who} {i}", f"{who}の{i}番", {"tenant": who}) for who in ("甲", "乙") for i in range(10))
    mine = Filter([Condition("tenant", "==", "甲")])
    assert {hit.payload["tenant"] for hit in store.search(QUERY, top_k=20, filter=mine)} == {"甲"}
    assert store.count(filter=mine) == 10


@pytest.mark.parametrize("engine", ["local mode", "edge"])
def test_an_engine_in_this_process_has_no_use_for_any_of_it(engine: str, tmp_path: Path) -> None:
    """The same options run there, without shards."""
    client = QdrantClient(":memory:") if engine == "local mode" else EdgeClient(tmp_path / "edge")
    custom = {"sharding_method": CUSTOM} if engine == "local mode" else {}  # Edge says that it has none
    use_everything(bound(client, shard_key="東京", consistency=2, indexes=TENANT, **custom))
    client.close()


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set by each request that fails and may be sent again."""
    event, real = threading.Event(), retrying.may_pass

    def may_pass(error: Exception) -> bool:
        event.set()
        return real(error)

    monkeypatch.setattr(retrying, "may_pass", may_pass)
    return event


class Node:
    """A server that goes down, and comes back when somebody has met with refused connections."""

    def __init__(self, backend: Backend, port: int, refused: threading.Event) -> None:
        self.backend, self.port, self.refused = backend, port, refused
        self.running = ExitStack()
        self.returning: threading.Thread | None = None

    def start(self) -> None:
        self.running.enter_context(serving(self.backend, self.port))

    def stop(self) -> None:
        if self.returning is not None:
            self.returning.join()
        self.running.close()
        self.refused.clear()

    def come_back(self) -> None:
        self.returning = threading.Thread(target=self._come_back)
        self.returning.start()

    def _come_back(self) -> None:
        assert self.refused.wait(PATIENCE)
        self.backend.faults = ["503"] * 4
        self.start()


@pytest.fixture
def node(backend: Backend, refused: threading.Event) -> Iterator[Node]:
    with reserved_port() as port:
        made = Node(backend, port, refused)
        made.start()
        yield made
        refused.set()
        made.stop()


def test_nodes_that_restart_while_a_writer_writes(node: Node) -> None:
    """One after the other: refused connections, then 503 while the shards are loaded; twice."""

    def reading() -> Iterator[Document]:
        for place, document in enumerate(documents(80)):
            if place in (24, 56):
                node.stop()
                node.come_back()
            yield document

    client = open_client(node.port)
    result = writer(client, retries=PATIENT).write(reading())
    assert (result.written, result.failed) == (80, ())
    store = writer(client).store
    check(store, documents(80))
    expected = store.search(QUERY, top_k=5)
    node.stop()
    with pytest.raises(Exception, match="refused"):
        store.search(QUERY, top_k=5)
    node.come_back()
    assert PATIENT.call(lambda: store.search(QUERY, top_k=5)) == expected
    client.close()


def test_a_writer_begins_while_a_node_restarts(node: Node) -> None:
    client = open_client(node.port)
    writer(client).write(documents(3))
    node.stop()
    node.come_back()
    other = Encoder()
    other.identity = type(IDENTITY)(**{**IDENTITY.to_dict(), "fingerprint": "0" * 64})
    with pytest.raises(ModelMismatchError):  # and not an empty collection's silence
        writer(client, other, retries=PATIENT)
    client.close()
