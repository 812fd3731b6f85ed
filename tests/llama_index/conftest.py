from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient

from jacolbert_integrations import EdgeStore, JaColBERT, MemoryStore, MultiVectorStore, QdrantStore
from jacolbert_integrations.types import TokenVectors

from ..processes import two_processes, workers
from ..server import WAYS, opened

__all__ = ["two_processes", "workers"]  # fixtures


@pytest.fixture(params=["memory", "local", "edge", *WAYS])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MultiVectorStore]:
    """Each of the stores that need no server."""
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "edge":
        with EdgeStore(tmp_path) as edge:
            yield edge
    elif request.param in WAYS:
        with opened(request.param) as server:
            yield QdrantStore(server, "nodes")
    else:
        client = QdrantClient(":memory:")
        yield QdrantStore(client, "nodes")
        client.close()


@pytest.fixture
def encoded(mini: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All texts that the model encodes as documents."""
    texts: list[str] = []
    real = mini.encode_document

    def encode(given: list[str], **options: Any) -> list[TokenVectors]:
        texts.extend(given)
        return real(given, **options)

    monkeypatch.setattr(mini, "encode_document", encode)
    return texts
