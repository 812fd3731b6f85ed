"""``jacolbert doctor``: what it says of an installation, a folder and a server, and when it fails."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from jacolbert_integrations import EdgeStore, Point, QdrantStore
from jacolbert_integrations.cli import location
from jacolbert_integrations.cli.main import main

from ..qdrant import test_grpc
from ..qdrant.rest_server import Backend, open_client, reserved_port, serving
from ..stores.samples import IDENTITY, vectors


@pytest.fixture
def address(backend: Backend) -> Iterator[str]:
    with serving(backend) as port:
        yield f"http://127.0.0.1:{port}"


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["doctor", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = doctor(capsys, "--location", str(tmp_path / "none"))
    assert status == 0
    assert "qdrant-client" in out
    assert "extra edge               installed" in out
    assert "which does not exist yet" in out
    with EdgeStore(tmp_path / "e", "c", indexes={"year": "integer"}) as store:
        store.bind(IDENTITY)
        store.upsert([Point("a", vectors(1, 2), {"year": 2024})])
    status, out, _ = doctor(capsys, "--location", str(tmp_path / "e"), "--collection", "c")
    assert status == 0
    assert "_jacolbert_document (keyword), year (integer)" in out
    assert "strict mode            off" in out
    status, _, err = doctor(capsys, "--location", str(tmp_path / "e"), "--collection", "d")
    assert (status, "there is no collection 'd'" in err) == (1, True)


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_a_server(
    address: str, backend: Backend, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = open_client(int(address.rpartition(":")[2]))
    store = QdrantStore(client, "c")
    store.bind(IDENTITY)
    store.upsert([Point("a", vectors(1, 2))])
    backend.strict = {"indexed": True, "max_query_limit": 7}
    monkeypatch.setenv("QDRANT_API_KEY", "the-secret-key")
    with reserved_port() as closed:
        status, out, err = doctor(capsys, "--location", address, "--grpc-port", str(closed), "--collection", "c")
    assert status == 0, err
    assert "over REST                answers" in out
    assert "over gRPC                Qdrant at" in out
    assert "the-secret-key" not in out + err
    assert "key                      given" in out
    assert f"location                 {address}: 1 collections" in out
    assert "metadata of collections" in out
    assert "filters by indexed keys only, 7 points a request" in out


def test_grpc_is_needed_where_it_is_asked_for(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with reserved_port() as closed:
        status, _, err = doctor(capsys, "--location", address, "--grpc", "--grpc-port", str(closed))
    assert (status, "no answer" in err) == (1, True)


def test_a_server_that_does_not_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with reserved_port() as port:
        status, out, err = doctor(capsys, "--location", f"http://127.0.0.1:{port}", "--grpc-port", str(port))
    assert status == 1
    assert "over REST                Qdrant at" in out
    assert "Is the server running" in err


def test_a_key_that_is_refused(address: str, backend: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    backend.faulty, backend.faults = lambda *_: True, ["401"] * 20
    with test_grpc.serving(test_grpc.Backend()) as grpc:
        status, _, err = doctor(capsys, "--location", address, "--grpc-port", str(grpc))
    assert (status, "refuses this client (401). Check its API key" in err) == (1, True)


def test_no_model_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys; from jacolbert_integrations.cli.main import main; "
        "status = main(['doctor', '--location', 'none']); "
        "assert not {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("way", [[], ["--grpc"]])
def test_a_server_that_says_nothing(
    way: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(location, "_PATIENCE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never answers
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        port = ["--grpc-port", str(silent.getsockname()[1])]
        begun = monotonic()
        status = main(["search", "猫", "--location", address, *way, *port])
    assert status == 1
    assert f"{address} has not answered for 1 s" in capsys.readouterr().err
    assert monotonic() - begun < 30  # not for the 60 that a request may take
