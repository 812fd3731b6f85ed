from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from jacolbert_integrations.qdrant import EdgeClient
from jacolbert_integrations.qdrant.clients import Client

from .rest_server import Backend, open_client, serving


@pytest.fixture
def local() -> Iterator[QdrantClient]:
    """qdrant-client's local mode, in memory."""
    opened = QdrantClient(":memory:")
    yield opened
    opened.close()


@pytest.fixture(params=["local", "edge"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    """Each of the clients that need no server."""
    opened: Client = QdrantClient(":memory:") if request.param == "local" else EdgeClient(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def server(backend: Backend) -> Iterator[QdrantClient]:
    """A client of the imitated server, over REST."""
    with serving(backend) as port:
        client = open_client(port)
        yield client
        client.close()
