"""What is said of a server reaches it, over REST and gRPC, and no secret gets anywhere else."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from jacolbert_integrations import JaColBERTVectorStore, MemoryStore
from jacolbert_integrations.cli.main import main
from jacolbert_integrations.errors import InputError
from jacolbert_integrations.locations import open_store
from jacolbert_integrations.qdrant.clients import connect
from jacolbert_integrations.qdrant.servers import client_arguments
from jacolbert_integrations.stores.server_options import ServerOptions

from ..stores.samples import IDENTITY, QUERY, points
from .rest_server import Backend, serving
from .test_grpc import Backend as GrpcBackend
from .test_grpc import serving as serving_grpc

SECRET = "geheim"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("QDRANT_API_KEY", "QDRANT_API_KEY_FILE", "QDRANT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROXY_TOKEN", SECRET)


@pytest.fixture
def backend() -> Iterator[Backend]:
    made = Backend()
    yield made
    made.let_go.set()
    made.local.close()


@pytest.mark.parametrize("written", ["path", "prefix"])
def test_behind_a_proxy(backend: Backend, written: str, caplog: pytest.LogCaptureFixture) -> None:
    backend.prefix = "/services/qdrant"
    caplog.set_level(logging.DEBUG)
    server: dict[str, Any] = {"headers": {"X-Token": "env:PROXY_TOKEN"}}
    with serving(backend) as port:
        place = f"http://127.0.0.1:{port}"
        if written == "path":
            place += "/services/qdrant/"
        else:
            server["prefix"] = "services/qdrant"
        store = open_store(place, "documents", server=server)
        store.bind(IDENTITY)
        assert store.upsert(points(3)) == 3
        assert len(store.search(QUERY, top_k=2)) == 2
        store.client.close()  # type: ignore[attr-defined]
        with pytest.raises(Exception, match="404"):
            connect(place.removesuffix("/services/qdrant/") + "/wrong").collection_exists("documents")
    assert all(headers.get("x-token") == SECRET for headers in backend.headers[:-2])
    assert "/services" not in "".join(path for _, path, _ in backend.requests)
    assert SECRET not in caplog.text


def test_over_grpc() -> None:
    backend = GrpcBackend()
    with serving_grpc(backend) as port:
        server = {"grpc_port": port, "headers": {"X-Token": "env:PROXY_TOKEN"}, "timeout": 20}
        client = connect("http://127.0.0.1:9", grpc=True, server=server)
        assert not client.collection_exists("documents")
        client.close()
    assert backend.metadata[-1]["x-token"] == SECRET
    backend.local.close()


def test_the_time_is_that_of_the_client() -> None:
    client = connect("http://127.0.0.1:9", server={"timeout": 2.5, "check_compatibility": False})
    assert isinstance(client, QdrantClient)
    assert client.init_options["timeout"] == 3
    assert client.http.client._client.timeout.read == 3
    client.close()
    assert client_arguments("http://h", ServerOptions())["timeout"] == 60


def test_a_certificate_is_given_to_both(tmp_path: Path) -> None:
    certifi = pytest.importorskip("certifi")
    arguments = client_arguments("https://h:443/q", ServerOptions(verify=certifi.where()))
    assert (arguments["url"], arguments["prefix"]) == ("https://h:443", "q")
    assert len(arguments["verify"].get_ca_certs()) > 10
    assert arguments["grpc_options"]["root_certificates"] == Path(certifi.where()).read_bytes()
    assert client_arguments("https://h", ServerOptions(verify=False))["verify"] is False
    (tmp_path / "none.pem").write_text("no certificate")
    for name in ("none.pem", "missing.pem"):
        with pytest.raises(InputError, match=f"verify is .*{name}, and no certificates can be read there"):
            client_arguments("https://h", ServerOptions(verify=name))


def test_a_vector_store_is_described_without_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SECRET)
    server = {"headers": {"x-token": "env:PROXY_TOKEN"}, "api_key_file": "key", "timeout": 5}
    store = JaColBERTVectorStore(location="https://example.com/q", collection="c", server=server)
    expected = {"headers": {"x-token": "env:PROXY_TOKEN"}, "api_key_file": str(tmp_path / "key"), "timeout": 5}
    assert store.to_dict()["server"] == expected
    for shown in (repr(store), store.to_json(), store.model_dump_json(), json.dumps(store.to_dict())):
        assert SECRET not in shown
    assert SECRET.encode() not in pickle.dumps(store)
    for again in (pickle.loads(pickle.dumps(store)), JaColBERTVectorStore.from_json(store.to_json())):
        assert again.to_dict() == store.to_dict()


def test_a_vector_store_checks_at_once() -> None:
    with pytest.raises(InputError, match="server is for the address of a Qdrant server"):
        JaColBERTVectorStore(location="folder", server={})
    with pytest.raises(InputError, match="server is for the address of a Qdrant server"):
        JaColBERTVectorStore(store=MemoryStore(), server={})
    with pytest.raises(InputError, match="gRPC has no paths"):
        JaColBERTVectorStore(location="http://h/q", grpc=True, server={"timeout": 1})
    with pytest.raises(InputError, match="server has no time"):
        JaColBERTVectorStore(location="http://h", server={"time": 1})


def test_from_the_command_line(backend: Backend, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    backend.prefix = "/q"
    (tmp_path / "token").write_text(f"{SECRET}\n")
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "text": "東京は日本の首都である。"}\n', encoding="utf-8")
    with serving(backend) as port:
        options = ["--location", f"http://127.0.0.1:{port}", "--prefix", "q", "--timeout", "30", "--header",
                   "x-token=file:token", "--header", "x-other=env:PROXY_TOKEN"]  # fmt: skip
        assert main(["index", "rows.jsonl", *options]) == 0
        assert main(["search", "首都はどこ", *options]) == 0
    assert "東京" in capsys.readouterr().out
    assert {headers["x-token"] + headers["x-other"] for headers in backend.headers} == {SECRET * 2}


def test_a_data_type_that_the_client_does_not_know(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As with a client that is older than the data type."""
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "text": "東京"}\n', encoding="utf-8")
    monkeypatch.setattr(models, "Datatype", [models.Datatype.FLOAT16])
    assert main(["index", "rows.jsonl", "--location", "folder", "--datatype", "turbo8"]) == 1
    assert "knows no turbo8. Take a newer one: pip install --upgrade qdrant-client" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--grpc-port", "0"], "grpc_port is 0"),
        (["--timeout", "-1"], "timeout is -1.0"),
        (["--header", "x-a=geheim"], "the header 'x-a' must say where its value is"),
        (["--header", "x-a=env:A", "--header", "x-a=env:B"], "--header names the same header twice"),
        (["--header", "x-a"], "the header 'x-a' must say where its value is"),
        (["--grpc", "--prefix", "q"], "gRPC has no paths"),
        (["--api-key-file", "nokey"], "nokey cannot be read"),
        (["--location", "folder", "--timeout", "5"], "server is for the address of a Qdrant server"),
    ],
)
def test_what_the_command_line_refuses(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    (Path.cwd() / "folder").mkdir()
    status = main(["stats", "--location", "http://127.0.0.1:9", *options])
    shown = capsys.readouterr().err
    assert status == (2 if shown.startswith("usage: jacolbert") else 1)
    assert said in shown
    assert SECRET not in shown
