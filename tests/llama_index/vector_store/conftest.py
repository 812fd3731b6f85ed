from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from jacolbert_integrations import (
    EdgeStore,
    JaColBERT,
    JaColBERTVectorStore,
    MemoryStore,
    MultiVectorStore,
    QdrantStore,
)
from jacolbert_integrations.qdrant import Lexical

from ...server import WAYS, opened


@pytest.fixture(params=["memory", "local", "edge", *WAYS])
def inner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MultiVectorStore]:
    """Each of the stores that need no server, to be handed in."""
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "edge":
        with EdgeStore(tmp_path / "edge") as edge:
            yield edge
    elif request.param in WAYS:
        with opened(request.param) as server:
            yield QdrantStore(server, "nodes")
    else:
        client = QdrantClient(":memory:")
        yield QdrantStore(client, "nodes")
        client.close()


@pytest.fixture
def store(inner: MultiVectorStore, mini: JaColBERT) -> JaColBERTVectorStore:
    return JaColBERTVectorStore(mini, inner)


@pytest.fixture
def memory(mini: JaColBERT) -> JaColBERTVectorStore:
    return JaColBERTVectorStore(mini)


@pytest.fixture
def lexical(mini: JaColBERT) -> Iterator[JaColBERTVectorStore]:
    """A vector store in qdrant-client's local mode, with a first stage by words."""
    client = QdrantClient(":memory:")
    yield JaColBERTVectorStore(mini, QdrantStore(client, "nodes", first_stage=Lexical()))
    client.close()
