"""Everything that goes wrong between a client and its server is an error of this package, and never shows the key."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from qdrant_client import QdrantClient

from jacolbert_integrations import JaColBERT, JaColBERTRetriever, JaColBERTVectorStore, Point, QdrantStore
from jacolbert_integrations.cli.main import main
from jacolbert_integrations.errors import (
    AccessError,
    JaColBERTError,
    MissingCollectionWarning,
    ServerError,
    StoreError,
    UnreachableError,
)
from jacolbert_integrations.qdrant import EdgeStore, Lexical
from jacolbert_integrations.qdrant.answers import address_of
from jacolbert_integrations.qdrant.reindexing import alias_target, move_alias

from ..stores.samples import IDENTITY, QUERY, points
from . import test_grpc
from .rest_server import Backend, open_client, reserved_port, serving

pytestmark = pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")

KEY = "the-secret-key"

OPERATIONS: dict[str, Callable[[QdrantStore], Any]] = {
    "bind": lambda store: store.bind(IDENTITY),
    "identity": lambda store: store.identity(),
    "exists": lambda store: store.exists(),
    "search": lambda store: store.search(QUERY, top_k=1),
    "batch": lambda store: store.search_batch([QUERY], top_k=1),
    "groups": lambda store: store.search_groups(QUERY, group_by="n", top_k=1),
    "dense": lambda store: store.search_dense(QUERY, top_k=1),
    "count": lambda store: store.count(),
    "get": lambda store: store.get(["a"]),
    "contains": lambda store: store.contains(["a"]),
    "delete": lambda store: store.delete(["a"]),
    "update": lambda store: store.update_payload({"n": 1}, ids=["a"]),
    "create": lambda store: store.create(),
    "send": lambda store: store.send(points(1)),
    "alias": lambda store: alias_target(store.client, "a"),
    "move": lambda store: move_alias(store.client, "a", "documents"),
}
WITH_RETRIES = {"points": lambda store: list(store.points()), "upsert": lambda store: store.upsert(points(1))}


def bound(client: QdrantClient) -> QdrantStore:
    store = QdrantStore(client, "documents")
    store._identity = IDENTITY
    return store


def outcome(operation: Callable[[QdrantStore], Any], store: QdrantStore) -> JaColBERTError:
    with pytest.raises(JaColBERTError) as caught:
        operation(store)
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    return caught.value


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("grpc", [False, True], ids=["rest", "grpc"])
def test_nobody_answers(name: str, grpc: bool) -> None:
    with reserved_port() as port:
        client = test_grpc.open_client(port) if grpc else open_client(port, api_key=KEY)
        error = outcome(OPERATIONS[name], bound(client))
        assert isinstance(error, UnreachableError)
        assert str(port) in str(error)
        assert "Is the server running" in str(error)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(
    ("status", "kind"), [("401", AccessError), ("403", AccessError), ("400", ServerError), ("500", ServerError)]
)
def test_the_server_refuses(backend: Backend, name: str, status: str, kind: type[StoreError]) -> None:
    backend.faulty = lambda *_: True
    with serving(backend) as port:
        backend.faults = [status] * 9
        error = outcome(OPERATIONS[name], bound(open_client(port, api_key=KEY)))
        assert type(error) is kind
        assert f"127.0.0.1:{port}" in str(error)


@pytest.mark.parametrize("name", WITH_RETRIES)
def test_what_is_sent_again_is_refused(backend: Backend, name: str) -> None:
    backend.faulty = lambda *_: True
    with serving(backend) as port:
        backend.faults = ["401"] * 9
        assert isinstance(outcome(WITH_RETRIES[name], bound(open_client(port, api_key=KEY))), AccessError)


def test_an_answer_of_something_else(backend: Backend) -> None:
    with serving(backend) as port:
        store = bound(open_client(port))
        store.create()
        backend.faulty, backend.faults = lambda *_: True, ["other"] * 9
        error = outcome(OPERATIONS["count"], store)
    assert isinstance(error, UnreachableError)


def test_tls_where_there_is_none_and_the_other_way_round(backend: Backend) -> None:
    with serving(backend) as port:
        client = QdrantClient(f"https://127.0.0.1:{port}", check_compatibility=False, timeout=30)
        error = outcome(OPERATIONS["count"], bound(client))
    assert isinstance(error, UnreachableError)
    assert "https:// or http://" in str(error)


def test_rest_on_the_port_of_grpc() -> None:
    with test_grpc.serving(test_grpc.Backend()) as port:
        error = outcome(OPERATIONS["count"], bound(open_client(port)))
    assert isinstance(error, UnreachableError)
    assert "Is it the port of gRPC?" in str(error)


def test_grpc_on_the_port_of_rest(backend: Backend) -> None:
    with serving(backend) as port:
        error = outcome(OPERATIONS["count"], bound(test_grpc.open_client(port)))
    assert isinstance(error, UnreachableError)
    assert "the port that of gRPC" in str(error)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("grpc", [False, True], ids=["rest", "grpc"])
def test_a_closed_client(backend: Backend, name: str, grpc: bool) -> None:
    with serving(backend) as port, test_grpc.serving(test_grpc.Backend()) as other:
        client = test_grpc.open_client(other) if grpc else open_client(port)
        client.close()
        error = outcome(OPERATIONS[name], bound(client))
    assert "has been closed. Make a new one" in str(error)


def test_a_key_that_no_header_can_have(backend: Backend) -> None:
    with serving(backend) as port:
        error = outcome(OPERATIONS["count"], bound(open_client(port, api_key=f"{KEY}\n")))
    assert "characters that none can have" in str(error)


def test_addresses_hold_no_secret(tmp_path: Path) -> None:
    def address(place: str | None = None, **options: Any) -> str:
        return address_of(QdrantClient(place, **{"check_compatibility": False, **options}))

    assert address("http://u:secret@host:6333") == "http://host:6333"
    assert address(host="host", port=1234) == "host, port 1234"
    assert address(host="host", prefer_grpc=True) == "host (gRPC, port 6334)"
    assert address(":memory:") == ":memory:"
    with EdgeStore(tmp_path, "c") as store:
        assert address_of(store.client) == str(tmp_path)


def test_adapters_and_commands_say_it_in_their_way(mini: JaColBERT, capsys: pytest.CaptureFixture[str]) -> None:
    with reserved_port() as port:
        client = open_client(port)
        with pytest.raises(UnreachableError, match=f"'nodes' at http://127.0.0.1:{port}: no answer"):
            JaColBERTRetriever(QdrantStore(client, "nodes"), mini)
        with pytest.raises(UnreachableError, match=f"'nodes' at http://127.0.0.1:{port}: no answer"):
            _ = JaColBERTVectorStore(mini, location=f"http://127.0.0.1:{port}").store
        for command in (["search", "猫"], ["stats"]):
            assert main([*command, "--location", f"http://127.0.0.1:{port}"]) == 1
            err = [
                line for line in capsys.readouterr().err.splitlines() if "Warning" not in line and "warn" not in line
            ]
            assert any("no answer" in line and str(port) in line for line in err)


def test_a_collection_that_does_not_exist(server: QdrantClient, mini: JaColBERT) -> None:
    other = QdrantStore(server, "documents")
    other.bind(mini.identity)
    vectors = mini.encode_document(["東京は日本の首都である。"])[0]
    other.upsert([Point("a", vectors, {}, "東京は日本の首都である。")])
    store = QdrantStore(server, "documets")
    retriever = JaColBERTRetriever(store, mini)
    with pytest.warns(MissingCollectionWarning, match=r"'documets' does not exist.*there are documents\."):
        assert retriever.retrieve("首都") == []
    assert retriever.retrieve("首都") == []  # said once
    store.upsert([Point("b", vectors)])
    assert [hit.id for hit in store.search(mini.query("首都"), top_k=3)] == ["b"]
    server.delete_collection("documets")
    with pytest.warns(MissingCollectionWarning, match=r"'documets' has been deleted"):
        assert store.search_batch([mini.query("首都")], top_k=3) == [[]]


@pytest.mark.parametrize("mode", ["search", "search_words", "search_dense"])
def test_each_way_of_searching_says_so(tmp_path: Path, mini: JaColBERT, mode: str) -> None:
    with EdgeStore(tmp_path, "none", first_stage=Lexical()) as store:
        store.bind(mini.identity)
        asked: Any = "猫" if mode == "search_words" else mini.query("猫")
        with pytest.warns(MissingCollectionWarning, match=r"'none' does not exist.*There are no collections at"):
            assert getattr(store, mode)(asked, top_k=1) == []


def test_httpx_is_what_the_client_speaks_with() -> None:
    """What is translated are its errors: another library would need others."""
    assert isinstance(QdrantClient("http://h", check_compatibility=False).http.client._client, httpx.Client)
