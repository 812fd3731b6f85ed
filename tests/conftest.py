from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

# Nothing here may ask a model hub, whatever the machine's network allows.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for processes of tests

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.checkpoints.hub import BUNDLED
from jacolbert_integrations.types import TokenVectors

from .reference_layouts import pylate_layout

if TYPE_CHECKING:
    from .qdrant.rest_server import Backend

# Property tests are no clocks, which a busy machine would fail, and no lots: the same code has the same examples.
settings.register_profile(
    "steady", parent=settings(), derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

torch.set_num_threads(1)  # what tests compute is so small that a second thread takes longer to wake than to help

# Processes of tests begin with what they import loaded already, whichever test starts the first of them.
multiprocessing.set_forkserver_preload(
    ["tests.qdrant.test_writer", "tests.qdrant.edge.test_engine", "tests.llama_index.test_ingestion"]
)


def pytest_configure() -> None:
    if os.environ.get("JACOLBERT_TEST_SERVER"):
        from .server import check_reachable

        check_reachable()


DATA = Path(__file__).parent / "data"
STANFORD = DATA / "reference" / "stanford"
PYLATE = pylate_layout(STANFORD, DATA / "reference" / "pylate")
MINI = BUNDLED["jacolbert-mini"]
JAQUAD_EXCERPT = DATA / "jaquad-train-excerpt.json"

PATIENCE = 300
"""Seconds after which something is taken never to happen: no slower machine than that runs these tests."""


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums in one order: on several threads, equal runs are equal only as far as the numeric libraries care."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps what commands cache apart from what the person who runs the tests has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def mini_by_default() -> Iterator[None]:
    """Where no model is named, most tests take the one that is there in an instant."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jacolbert_integrations.checkpoints.hub.DEFAULT_NAME", "jacolbert-mini")
        yield


@pytest.fixture
def small_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no model is named, it is the one that people get."""
    monkeypatch.setattr("jacolbert_integrations.checkpoints.hub.DEFAULT_NAME", "jacolbert-small")


@pytest.fixture(scope="session")
def model() -> JaColBERT:
    """The reference checkpoint: random weights, the real vocabulary."""
    return JaColBERT.from_pretrained(STANFORD)


@pytest.fixture(scope="session")
def mini() -> JaColBERT:
    """The smaller of the bundled models."""
    return JaColBERT.from_pretrained("jacolbert-mini")


@pytest.fixture(scope="session")
def reference() -> dict[str, Any]:
    record: dict[str, Any] = json.loads((DATA / "reference" / "reference.json").read_text(encoding="utf-8"))
    return record


@pytest.fixture(scope="session")
def reference_arrays() -> dict[str, TokenVectors]:
    with np.load(DATA / "reference" / "reference.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """LlamaIndex's events of the test."""
    from .llama_index.events import recorded_events  # here, as most tests need no LlamaIndex

    with recorded_events() as events:
        yield events


@pytest.fixture
def trace() -> Iterator[list[str]]:
    """LlamaIndex's events and spans of the test, by name, in their order."""
    from .llama_index.events import recorded_trace

    with recorded_trace() as trace:
        yield trace


@pytest.fixture
def backend() -> Iterator[Backend]:
    """What answers behind an imitated Qdrant server."""
    from .qdrant.rest_server import Backend  # here, as most tests need no Qdrant

    made = Backend()
    yield made
    made.let_go.set()
    made.local.close()


@pytest.fixture
def stanford_copy(tmp_path: Path) -> Path:
    """A copy of the reference checkpoint, to break."""
    return Path(shutil.copytree(STANFORD, tmp_path / "checkpoint"))


@pytest.fixture
def pylate_copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PYLATE, tmp_path / "checkpoint"))


@pytest.fixture
def change_json() -> Callable[..., None]:
    """Changes keys of a JSON file; a value of None removes the key."""

    def change(file: Path, **changes: Any) -> None:
        content = json.loads(file.read_text(encoding="utf-8"))
        for key, value in changes.items():
            if value is None:
                content.pop(key, None)
            else:
                content[key] = value
        file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    return change
