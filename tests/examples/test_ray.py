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
from jacolbert_integrations.qdrant.points import VERSION_KEY

from ..conftest import PATIENCE
from ..qdrant.rest_server import Backend, is_write, serving

pytest.importorskip("ray.data", reason="the extra `ray` is not installed")

EXAMPLE = Path(__file__).parents[2] / "examples" / "ray_indexing.py"
COLLECTION = "documents"
PAYLOAD_KEYS = {"shard", *(f"key {i}" for i in range(20))}

# Ray sets fields that it has itself deprecated.
pytestmark = pytest.mark.filterwarnings(r"ignore:.* is deprecated:DeprecationWarning:ray\.data\.context")

Index = Callable[[], str]


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
        # However slow or full this machine is, no worker is given up.
        environment.setenv("RAY_worker_register_timeout_seconds", str(PATIENCE))
        environment.setenv("RAY_gcs_server_port_wait_time_s", str(PATIENCE))
        environment.setenv("RAY_health_check_failure_threshold", "100")
        environment.setenv("RAY_worker_niceness", "0")  # not behind all others
        environment.setenv("RAY_memory_monitor_refresh_ms", "0")
        environment.setenv("RAY_local_fs_capacity_threshold", "1")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=folder)
        yield
        ray.shutdown()
    signal.signal(signal.SIGTERM, on_sigterm)


@pytest.fixture
def backend() -> Iterator[Backend]:
    server = Backend()
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
def url(backend: Backend) -> Iterator[str]:
    with serving(backend) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def index(
    local_ray: None,
    url: str,
    shards: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Index:
    """Runs the example over the three shards, and returns what it prints."""

    def run() -> str:
        files = map(str, sorted(tmp_path.glob("*.jsonl")))
        options = ["--url", url, "--collection", COLLECTION, "--workers", "2", "--model", "jacolbert-mini"]
        monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *options, *files])
        capsys.readouterr()
        runpy.run_path(str(EXAMPLE), run_name="__main__")
        return capsys.readouterr().out

    return run


def stored(backend: Backend) -> dict[str, Any]:
    """The points by the ids of their documents."""
    points, _ = backend.local.scroll(COLLECTION, limit=1000, with_vectors=True)
    by_id = {str(point.payload["_jacolbert_id"]): point for point in points if point.payload}
    assert len(by_id) == len(points)
    return by_id


def without_version(point: Any) -> dict[str, Any]:
    """A shard that is written anew is a later version of the same documents."""
    return {key: value for key, value in point.payload.items() if key != VERSION_KEY}


def test_each_shard_is_written_once_and_again_where_it_is_missing(
    index: Index, url: str, backend: Backend, shards: dict[str, str], tmp_path: Path, mini: JaColBERT
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
    worker = runpy.run_path(str(EXAMPLE))["Indexer"](url, COLLECTION, None)  # Ray itself starts one in many seconds
    again = [worker({"shard": str(tmp_path / f"{shard}.jsonl")}) for shard in range(3)]
    assert [(done["written"], done["unchanged"], done["failed"]) for done in again] == [
        (0, 20, []),
        (20, 0, []),
        (0, 20, []),
    ]
    assert sum(is_write(method, path) for method, path, _ in backend.requests) == 1
    second = stored(backend)
    assert {i: without_version(point) for i, point in second.items()} == {
        i: without_version(point) for i, point in first.items()
    }
