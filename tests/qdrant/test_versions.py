"""Servers that are too old, that refuse a collection, or that keep less of it than was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from jacolbert_integrations import QdrantStore
from jacolbert_integrations.errors import AccessError, GaveUpError, ServerError, WriteError
from jacolbert_integrations.qdrant import Lexical, QdrantBM25, Retries, add_late_interaction
from jacolbert_integrations.qdrant import store as store_module
from jacolbert_integrations.qdrant.clients import connect
from jacolbert_integrations.qdrant.versions import (
    ADDED_VECTORS,
    FEATURES,
    NEEDED,
    check_features,
    parse_version,
    server_version,
)

from ..stores.samples import IDENTITY, points
from .rest_server import Backend, open_client, serving
from .test_grpc import Backend as GrpcBackend
from .test_grpc import open_client as open_grpc
from .test_grpc import serving as serving_grpc
from .writing import QUICK, Encoder, documents, skip_unless_known, writer


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
        opened.close()


@pytest.fixture
def grpc_backend() -> Iterator[GrpcBackend]:
    made = GrpcBackend()
    yield made
    made.local.close()


@pytest.fixture
def grpc_client(grpc_backend: GrpcBackend) -> Iterator[QdrantClient]:
    with serving_grpc(grpc_backend) as port:
        opened = open_grpc(port)
        yield opened
        opened.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store's own retries do not wait."""
    monkeypatch.setattr(store_module, "Retries", lambda: QUICK)


def bound(client: QdrantClient, **options: Any) -> QdrantStore:
    store = QdrantStore(client, "documents", **options)
    store.bind(IDENTITY)
    return store


def test_the_table() -> None:
    assert NEEDED.release == "1.15.4"
    assert NEEDED.since == max(feature.since for feature in FEATURES[:3])
    assert [feature.since for feature in FEATURES] == sorted(feature.since for feature in FEATURES)


@pytest.mark.parametrize(
    ("said", "version"),
    [("1.18.3", (1, 18, 3)), ("v1.9.0-dev", (1, 9, 0)), ("1.18", None), ("", None), (None, None), ("new", None)],
)
def test_what_servers_say(said: str | None, version: tuple[int, int, int] | None) -> None:
    assert parse_version(said) == version
    check_features(said if version is None else "9.0.0", [("it", ADDED_VECTORS)])


def test_an_old_server_is_refused_where_one_connects(backend: Backend) -> None:
    backend.version = "1.14.1"
    with serving(backend) as port:
        place = f"http://127.0.0.1:{port}"
        with pytest.raises(ServerError, match=rf"server at {place} is 1\.14\.1, but 1\.15\.4 is the oldest"):
            connect(place)
        connect(place, server={"check_compatibility": False}).close()
        backend.version = "something"
        connect(place).close()
        connect(place + "/nothing").close()
    connect(place).close()  # nobody answers


def test_over_grpc_too(grpc_backend: GrpcBackend) -> None:
    grpc_backend.version = "1.9.7"
    with (
        serving_grpc(grpc_backend) as port,
        pytest.raises(ServerError, match=r"is 1\.9\.7, but 1\.15\.4 is the oldest"),
    ):
        connect("http://127.0.0.1:9", grpc=True, server={"grpc_port": port})


def test_the_key_is_shown_to_the_server_that_is_asked(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "geheim")
    with (
        serving(backend) as port,
        pytest.warns(UserWarning, match="Api key is used with an insecure connection") as said,
    ):
        connect(f"http://127.0.0.1:{port}").close()
    assert len(said) == 1
    assert [headers["api-key"] for headers in backend.headers] == ["geheim"]


@pytest.mark.parametrize(
    ("version", "options", "said"),
    [
        ("1.18.3", {"vector_options": {"datatype": "turbo4"}}, "'turbo4' of the vectors 'colbert' needs"),
        ("1.19.0", {"vector_options": {"datatype": "turbo8"}}, r"turbo16, which came with 1\.20\.0"),
        (
            "1.15.1",
            {"first_stage": QdrantBM25(average_words=9.0)},
            r"the record of the model needs metadata of .* came with 1\.15\.4",
        ),
        (
            "1.17.1",
            {
                "vector_options": {
                    "quantization_config": models.TurboQuantization(turbo=models.TurboQuantQuantizationConfig())
                }
            },
            "quantization_config of the vectors 'colbert' needs TurboQuant",
        ),
    ],
)
def test_what_an_old_server_lacks(
    client: QdrantClient, backend: Backend, version: str, options: dict[str, Any], said: str
) -> None:
    skip_unless_known(options.get("vector_options", {}))
    backend.version = version
    with pytest.raises(ServerError, match=said) as caught:
        bound(client, **options).create()
    assert f"the Qdrant server is {version}, but" in str(caught.value)
    assert backend.created == 0


def test_a_refusal_names_what_was_asked_for(client: QdrantClient, backend: Backend) -> None:
    backend.faulty = lambda method, path: method == "PUT"
    backend.faults = ["400"] * 9
    store = bound(client, vector_options={"on_disk": True}, shard_number=2)
    with pytest.raises(ServerError, match=rf"server {backend.version} refuses the collection 'documents'") as caught:
        store.upsert(points(2))
    assert "on_disk=True" in str(caught.value)
    assert "datatype=float16; shard_number=2." in str(caught.value)
    assert len(backend.faults) == 8  # it was asked once
    with pytest.raises(WriteError, match="refuses the collection") as stopped:
        writer(client).write(documents(20))
    assert isinstance(stopped.value.__cause__, ServerError)


def test_creating_is_tried_again(client: QdrantClient, backend: Backend) -> None:
    backend.faulty = lambda method, path: method == "PUT" and not path.endswith("points")
    backend.faults = ["503", "500"]
    assert bound(client).upsert(points(2)) == 2
    assert backend.created == 1
    backend.local.delete_collection("documents")
    backend.faults = ["503"] * 20
    with pytest.raises(GaveUpError, match="5 tries failed"):
        bound(client).upsert(points(2))
    backend.faults = ["403"]
    with pytest.raises(AccessError):
        bound(client).upsert(points(2))


def test_what_grpc_calls_a_fault_of_the_server(grpc_client: QdrantClient, grpc_backend: GrpcBackend) -> None:
    skip_unless_known({"datatype": "turbo8"})
    grpc_backend.creations = ["INTERNAL Cannot convert datatype: 5"] * 9
    with pytest.raises(ServerError, match=r"refuses the collection .*INTERNAL: Cannot convert datatype: 5\).*turbo8"):
        bound(grpc_client, vector_options={"datatype": "turbo8"}).upsert(points(2))
    assert len(grpc_backend.creations) == 8
    grpc_backend.creations = ["INTERNAL no space left", "UNAVAILABLE", "ok"]
    assert bound(grpc_client).upsert(points(2)) == 2


def test_a_server_that_drops_the_record(client: QdrantClient, backend: Backend) -> None:
    backend.keeps_metadata = False
    with pytest.raises(
        ServerError, match=r"keeps no metadata of collections, which came with 1\.15\.4 and say"
    ) as caught:
        bound(client, first_stage=Lexical(average_words=10.0)).create()
    assert "Nothing was written" in str(caught.value)
    assert not client.collection_exists("documents")
    assert not any(path.endswith("/points") and method == "PUT" for method, path, _ in backend.requests)


def test_token_vectors_need_a_server_that_takes_them(client: QdrantClient, backend: Backend) -> None:
    backend.version = "1.17.1"
    client.create_collection("theirs", models.VectorParams(size=2, distance=models.Distance.DOT))
    with pytest.raises(ServerError, match=r"1\.17\.1, but adding token vectors needs .*which came with 1\.18\.0"):
        add_late_interaction(client, "theirs", Encoder(), first_stage=(), retries=QUICK)  # type: ignore[arg-type]


def test_not_knowing_the_version_spoils_nothing(client: QdrantClient, backend: Backend) -> None:
    backend.version = ""
    assert bound(client).upsert(points(2)) == 2
    assert server_version(open_client(9)) is None
    assert Retries().times == 8
