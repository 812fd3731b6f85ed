from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from jacolbert_integrations.qdrant import EdgeClient
from jacolbert_integrations.qdrant.clients import Client

from ..server import WAYS, opened
from .rest_server import Backend, open_client, serving


@pytest.fixture
def local() -> Iterator[QdrantClient]:
    """qdrant-client's local mode, in memory."""
    opened = QdrantClient(":memory:")
    yield opened
    opened.close()


@pytest.fixture(params=["local", "edge", *WAYS])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    """Each of the clients that need no server, and those of a server where there is one."""
    if request.param in WAYS:
        with opened(request.param) as real:
            yield real
        return
    found: Client = QdrantClient(":memory:") if request.param == "local" else EdgeClient(tmp_path)
    yield found
    found.close()


@pytest.fixture
def server(backend: Backend) -> Iterator[QdrantClient]:
    """A client of the imitated server, over REST."""
    with serving(backend) as port:
        client = open_client(port)
        yield client
        client.close()
