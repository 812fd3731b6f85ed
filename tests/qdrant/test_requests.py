"""What no request can hold, and what no client of both protocols can say, is refused before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from jacolbert_integrations import Point, QdrantStore
from jacolbert_integrations.errors import InputError
from jacolbert_integrations.qdrant import move_alias
from jacolbert_integrations.types import Document

from ..stores.samples import IDENTITY, QUERY, points, vectors
from .rest_server import Backend
from .writing import writer


def bound(client: QdrantClient, **options: Any) -> QdrantStore:
    store = QdrantStore(client, "documents", **options)
    store.bind(IDENTITY)
    return store


@pytest.mark.parametrize("consistency", ["majority", models.ReadConsistencyType.MAJORITY])
def test_consistency_is_qdrants_own_model(local: QdrantClient, consistency: Any) -> None:
    """Over gRPC the client takes no strings."""
    store = bound(local, consistency=consistency)
    assert store.read_options == {"consistency": models.ReadConsistencyType.MAJORITY}
    store.upsert(points(3))
    assert len(store.search(QUERY, top_k=3)) == 3


@pytest.mark.parametrize("consistency", ["most", 0, True, 1.5, -1])
def test_what_is_no_consistency(local: QdrantClient, consistency: Any) -> None:
    with pytest.raises(InputError, match="must be a number of replicas, or majority, quorum, all"):
        bound(local, consistency=consistency)
    assert bound(local, consistency=2).consistency == 2


def test_a_point_that_no_request_can_hold(server: QdrantClient, backend: Backend) -> None:
    large = {"page": "頁" * 11_500_000}
    store = bound(server)
    with pytest.raises(InputError, match=r"point 'b' takes 33 MiB in a request, but a Qdrant server takes 32 MiB"):
        store.upsert([Point("a", vectors(1, 2)), Point("b", vectors(1, 2), large)])
    assert not [path for method, path, _ in backend.requests if method == "PUT"]
    result = writer(server).write([Document("b", "文", large), Document("c", "よい文")])
    assert (result.written, [failed.id for failed in result.failed]) == (1, ["b"])


def test_in_this_process_nothing_is_sent(local: QdrantClient) -> None:
    store = bound(local)
    store.upsert([Point("b", vectors(1, 2), {"page": "頁" * 11_500_000})])
    assert store.count() == 1


@pytest.mark.parametrize("name", ["", "..", "a/b", "x" * 256, "a\0b", "\ud800"])
def test_names_are_the_same_for_all(client: Any, name: str) -> None:
    with pytest.raises(InputError):
        QdrantStore(client, name)
    bound(client).create()
    with pytest.raises(InputError):
        move_alias(client, name, "documents")
