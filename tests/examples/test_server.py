"""The example of a server: what compose.yaml says, and the application, which is asked over HTTP."""

from __future__ import annotations

import queue
import re
import runpy
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from jacolbert_integrations.qdrant.versions import FEATURES, MEMORY, NEEDED, TURBO, TURBO4, parse_version

from ..conftest import PATIENCE
from ..qdrant.rest_server import Backend, serving

FOLDER = Path(__file__).parents[2] / "examples" / "server"
ROOT = Path(__file__).parents[2]
KEY = "QDRANT_API_KEY"
QUESTION = "有給休暇は何日ありますか。"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    found: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


def test_the_version_is_pinned_and_new_enough(services: dict[str, Any]) -> None:
    image, _, tag = services["qdrant"]["image"].partition(":")
    assert image == "qdrant/qdrant"
    version = parse_version(tag)
    assert version is not None
    assert tag == "v" + ".".join(map(str, version))
    assert version >= NEEDED.since
    assert {feature for feature in FEATURES if feature.since > version} == {
        MEMORY,
        TURBO4,
        TURBO,
    }  # docs/server.md says so


def test_the_key_is_nowhere_in_plain(services: dict[str, Any]) -> None:
    names = {"qdrant": "QDRANT__SERVICE__API_KEY", "app": KEY}
    for service, name in names.items():
        assert re.fullmatch(rf"\$\{{{KEY}:\?[^}}]+\}}", services[service]["environment"][name])  # refused if empty
    example = (FOLDER / ".env.example").read_text(encoding="utf-8")
    assert re.findall(r"^[^#\n].*", example, re.MULTILINE) == [f"{KEY}="]
    assert "openssl rand -hex 32" in example
    for file in (*FOLDER.glob("*"), ROOT / "docs" / "server.md"):
        assert not re.search(r"\b[0-9a-f]{32,}\b", file.read_text(encoding="utf-8"))
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "/examples/server/.env" in ignored


def test_ports_are_for_this_machine_alone(services: dict[str, Any]) -> None:
    assert services["qdrant"]["ports"] == ["127.0.0.1:6333:6333", "127.0.0.1:6334:6334"]
    assert services["app"]["ports"] == ["127.0.0.1:8000:8000"]


def test_what_is_kept_has_a_named_volume(compose: dict[str, Any]) -> None:
    mounted = dict(volume.split(":") for volume in compose["services"]["qdrant"]["volumes"])
    assert set(mounted) == set(compose["volumes"])
    assert set(mounted.values()) == {"/qdrant/storage", "/qdrant/snapshots"}


def test_the_application_waits_and_is_built_of_what_is_there(services: dict[str, Any]) -> None:
    app = services["app"]
    assert app["depends_on"] == {"qdrant": {"condition": "service_healthy"}}
    assert (FOLDER / app["build"]["context"]).resolve() == ROOT
    lines = [line.split() for line in app["build"]["dockerfile_inline"].splitlines()]
    assert lines[0] == ["FROM", "python:3.11-slim"]
    for _, *sources, _ in (line for line in lines if line[0] == "COPY"):
        assert all((ROOT / source).exists() for source in sources)


@contextmanager
def readiness(status: int) -> Iterator[int]:
    """A server that says whether it is ready; its port."""

    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/readyz"
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Ready) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])
def test_the_health_check(services: dict[str, Any], status: int | None, healthy: bool) -> None:
    kind, *command = services["qdrant"]["healthcheck"]["test"]
    assert kind == "CMD"
    assert shutil.which(command[0]) is not None
    assert not re.search(r"(?<!\$)\$(?!\$)", command[-1])  # compose would replace it
    check = command[-1].replace("$$", "$")
    if status is None:
        done = subprocess.run([*command[:-1], check.replace("6333", "1")], capture_output=True, check=False)
    else:
        with readiness(status) as port:
            done = subprocess.run([*command[:-1], check.replace("6333", str(port))], capture_output=True, check=False)
    assert (done.returncode == 0) == healthy


Ask = Callable[..., httpx.Response]


@contextmanager
def running(*arguments: str) -> Iterator[Ask]:
    """The application in a thread, and how to ask it."""
    started: queue.Queue[ThreadingHTTPServer | None] = queue.Queue()
    serve = ThreadingHTTPServer.serve_forever

    def serve_forever(server: ThreadingHTTPServer) -> None:
        started.put(server)
        serve(server, 0.02)

    def run() -> None:
        try:
            runpy.run_path(str(FOLDER / "app.py"), run_name="__main__")
        finally:
            started.put(None)

    thread = threading.Thread(target=run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ThreadingHTTPServer, "serve_forever", serve_forever)
        patch.setattr(sys, "argv", ["app.py", "--port", "0", *arguments])
        thread.start()
        server = started.get(timeout=PATIENCE)
    assert server is not None, "the application ended"

    def ask(path: str = "/search", **parameters: str) -> httpx.Response:
        address = f"http://127.0.0.1:{server.server_port}{path}"
        return httpx.get(address, params=parameters, timeout=PATIENCE, trust_env=False)

    try:
        yield ask
    finally:
        server.shutdown()
        thread.join()


def check_answers(ask: Ask) -> None:
    best, *others = (found := ask(q=QUESTION)).json()
    assert found.headers["Content-Type"] == "application/json; charset=utf-8"
    assert best["metadata"] == {"year": 2024}
    assert best["text"].startswith("有給休暇は年に二十日である。")
    assert [best["score"], *(hit["score"] for hit in others)] == sorted(
        (hit["score"] for hit in (best, *others)), reverse=True
    )
    assert len(others) == 2
    before = ask(q=QUESTION, year="2020").json()
    assert [hit["metadata"] for hit in before] == [{"year": 2020}] * 2
    assert before[0]["text"].startswith("有給休暇は年に十二日である。")
    assert ask(q=QUESTION, year="1999").json() == []


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QDRANT_URL", KEY, f"{KEY}_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_in_memory(capsys: pytest.CaptureFixture[str]) -> None:
    with running() as ask:
        check_answers(ask)
        years = ("20x0", "-1", "9" * 30)
        for bad in ({}, {"q": ""}, {"q": " "}, {"year": "2020"}, *({"q": "猫", "year": year} for year in years)):
            refused = ask(**bad)
            assert refused.status_code == 400
            assert list(refused.json()) == ["error"]
        assert ask("/").status_code == 404
    assert re.match(r"http://127\.0\.0\.1:\d+/search\?q=", capsys.readouterr().out)


def test_with_a_server(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(backend) as port:
        monkeypatch.setenv("QDRANT_URL", f"http://127.0.0.1:{port}")
        with running("--collection", "ours") as ask:
            check_answers(ask)
        assert {"field_name": "year", "field_schema": "integer"} in backend.indexes
        assert backend.local.count("ours").count == 5
        written = len(backend.requests)
        with running("--collection", "ours") as ask:
            assert not [path for method, path, _ in backend.requests[written:] if method == "PUT"]  # it is filled
            check_answers(ask)
            backend.faulty, backend.faults = lambda method, path: True, ["500"] * 100
            failed = ask(q=QUESTION)
            assert failed.status_code == 503
            assert failed.json() == {"error": "the index cannot be searched now"}
            backend.faults = []
            check_answers(ask)


def test_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("qdrant_edge", reason="the extra `edge` is not installed")
    monkeypatch.setenv("QDRANT_URL", str(tmp_path / "index"))
    with running() as ask:
        check_answers(ask)
