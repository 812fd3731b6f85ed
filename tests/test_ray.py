"""The example for Ray: two workers write shards into one collection, and each shard can be written again."""

from __future__ import annotations

import json
import runpy
import secrets
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jacolbert_integrations import JaColBERT

from .test_qdrant_server import Backend, is_write, serving

pytest.importorskip("ray.data", reason="the extra `ray` is not installed")

EXAMPLE = Path(__file__).parent.parent / "examples" / "ray_indexing.py"
COLLECTION = "documents"
PAYLOAD_KEYS = {"shard", *(f"key {i}" for i in range(20))}

# Ray sets fields that it has itself deprecated.
pytestmark = pytest.mark.filterwarnings(r"ignore:.* is deprecated:DeprecationWarning:ray\.data\.context")

Index = Callable[[], str]


class Server(Backend):
    """The stand-in for a server that says its version, too."""

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Any:
        return {"version": "1.20.0"} if path == "/" else super().answer(method, path, body)


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """Ray with two workers at most, which leaves nothing on the disk and asks nothing of the network."""
    import ray

    on_sigterm = signal.getsignal(signal.SIGTERM)  # Ray sets its own, and leaves it
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as environment,
    ):
        token = Path(folder, "token")  # otherwise made in the home directory
        token.write_text(secrets.token_hex(32), encoding="ascii")
        environment.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        environment.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=folder)
        yield
        ray.shutdown()
    signal.signal(signal.SIGTERM, on_sigterm)


@pytest.fixture
def backend() -> Iterator[Backend]:
    server = Server()
    yield server
    server.local.close()


@pytest.fixture
def shards(tmp_path: Path) -> dict[str, str]:
    """Three files of twenty documents; the texts by id."""
    texts = {}
    for shard in range(3):
        with (tmp_path / f"{shard}.jsonl").open("w", encoding="utf-8") as lines:
            for i in range(20):
                point_id, text = f"文書{shard}-{i}", f"第{shard}巻の第{i}章は川と山の話である。"
                # one without a payload, and the others with keys of their own
                payload = {"payload": {"shard": shard, f"key {i}": None}} if i else {}
                print(json.dumps({"id": point_id, "text": text, **payload}, ensure_ascii=False), file=lines)
                texts[point_id] = text
    return texts


@pytest.fixture
def index(
    local_ray: None,
    backend: Backend,
    shards: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Index]:
    """Runs the example over the three shards, and returns what it prints."""
    with serving(backend) as port:

        def run() -> str:
            files = map(str, sorted(tmp_path.glob("*.jsonl")))
            options = ["--url", f"http://127.0.0.1:{port}", "--collection", COLLECTION, "--workers", "2"]
            monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *options, *files])
            capsys.readouterr()
            runpy.run_path(str(EXAMPLE), run_name="__main__")
            return capsys.readouterr().out

        yield run


def stored(backend: Backend) -> dict[str, Any]:
    """The points by the ids of their documents."""
    points, _ = backend.local.scroll(COLLECTION, limit=1000, with_vectors=True)
    by_id = {str(point.payload["_jacolbert_id"]): point for point in points if point.payload}
    assert len(by_id) == len(points)
    return by_id


def test_each_shard_is_written_once_and_again_where_it_is_missing(
    index: Index, backend: Backend, shards: dict[str, str], mini: JaColBERT
) -> None:
    assert index() == (
        "0.jsonl: 20 written, 0 unchanged, 0 failed\n"
        "1.jsonl: 20 written, 0 unchanged, 0 failed\n"
        "2.jsonl: 20 written, 0 unchanged, 0 failed\n"
        "60 documents written in all\n"
    )
    first = stored(backend)
    assert sorted(first) == sorted(shards)
    for point_id, vectors in zip(shards, mini.encode_document(list(shards.values())), strict=True):
        np.testing.assert_allclose(first[point_id].vector["colbert"], vectors, atol=1e-5)
    assert {key for key in first["文書1-7"].payload if key in PAYLOAD_KEYS} == {"shard", "key 7"}
    assert {key for key in first["文書1-0"].payload if key in PAYLOAD_KEYS} == set()

    lost = [point_id for point_id in shards if point_id.startswith("文書1-")]
    backend.local.delete(COLLECTION, [first[point_id].id for point_id in lost])
    backend.requests.clear()
    assert index() == (
        "0.jsonl: 0 written, 20 unchanged, 0 failed\n"
        "1.jsonl: 20 written, 0 unchanged, 0 failed\n"
        "2.jsonl: 0 written, 20 unchanged, 0 failed\n"
        "20 documents written in all\n"
    )
    assert sum(is_write(method, path) for method, path, _ in backend.requests) == 1
    again = stored(backend)
    assert {i: point.payload for i, point in again.items()} == {i: point.payload for i, point in first.items()}
