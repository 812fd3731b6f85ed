from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from jacolbert_integrations import EdgeStore, MemoryStore, MultiVectorStore, QdrantStore

from ..processes import two_processes, workers

__all__ = ["two_processes", "workers"]  # fixtures


@pytest.fixture(params=["memory", "local", "edge"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MultiVectorStore]:
    """Each of the stores that need no server."""
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "edge":
        with EdgeStore(tmp_path) as edge:
            yield edge
    else:
        client = QdrantClient(":memory:")
        yield QdrantStore(client, "nodes")
        client.close()
