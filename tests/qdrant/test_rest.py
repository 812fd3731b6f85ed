"""The store over Qdrant's REST interface: what it sends, what it makes of the answers, and of none.

No Qdrant server can be installed from a package registry. A small HTTP server takes its place that
hands each request, as JSON, to qdrant-client's own local mode: what is not valid JSON of Qdrant's
models fails here as it would there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qdrant_client import QdrantClient

from jacolbert_integrations import Condition, Filter, MemoryStore, Point, QdrantStore
from jacolbert_integrations.errors import AccessError, GaveUpError, ModelMismatchError
from jacolbert_integrations.qdrant import FixedDimensional, MeanPooled, Retries
from jacolbert_integrations.qdrant.points import batches

from ..stores.samples import IDENTITY, QUERY, points, vectors
from .rest_server import Backend, is_write


def test_ranks_over_rest_as_in_memory(server: QdrantClient) -> None:
    remote, memory = QdrantStore(server, "documents"), MemoryStore()
    for store in (remote, memory):
        store.bind(IDENTITY)
        assert store.upsert(points(30)) == 30
    assert remote.count() == 30
    for filter in (None, Filter([Condition("n", ">", 10), Condition("parity", "==", "odd")])):
        one = remote.search(QUERY, top_k=8, filter=filter)
        other = memory.search(QUERY, top_k=8, filter=filter)
        assert [hit.id for hit in one] == [hit.id for hit in other]
        assert [hit.payload for hit in one] == [hit.payload for hit in other]
        np.testing.assert_allclose([hit.score for hit in one], [hit.score for hit in other], atol=1e-5)
    stored = remote.get(["文書 3"])["文書 3"]
    np.testing.assert_allclose(stored.vectors, points(4)[3].vectors, atol=1e-6)
    remote.delete(["文書 3"])
    assert remote.count() == 29


def test_the_record_of_the_model_travels(server: QdrantClient) -> None:
    store = QdrantStore(server, "documents")
    store.bind(IDENTITY)
    store.upsert(points(2))
    again = QdrantStore(server, "documents")
    again.bind(IDENTITY)
    assert again.count() == 2
    with pytest.raises(ModelMismatchError, match="fingerprint ffffffffffff there, 000000000000 here"):
        QdrantStore(server, "documents").bind(replace(IDENTITY, fingerprint="0" * 64))


def test_large_writes_are_cut_into_requests_that_a_server_takes(server: QdrantClient, backend: Backend) -> None:
    store = QdrantStore(server, "documents")
    store.bind(IDENTITY)
    store.upsert([Point(str(i), vectors(i, 9000)) for i in range(12)])
    sizes = [size for method, path, size in backend.requests if method == "PUT" and path.endswith("/points")]
    assert len(sizes) > 1
    assert max(sizes) < 8_000_000
    assert store.count() == 12


def test_what_a_first_stage_sends_counts_too(server: QdrantClient, backend: Backend) -> None:
    store = QdrantStore(server, "documents", first_stage=[FixedDimensional(repetitions=64), MeanPooled()])
    store.bind(IDENTITY)
    store.upsert([Point(str(i), vectors(i, 3), {"text": "文" * 2000}) for i in range(100)])
    sizes = [size for method, path, size in backend.requests if is_write(method, path)]
    assert len(sizes) == 4  # 8,192 floats and 6,000 bytes of payload each
    assert max(sizes) < 8_000_000


def test_batches_know_what_a_number_costs() -> None:
    given = [Point(str(i), np.ones((100, 128), np.float32)) for i in range(100)]
    assert len(next(batches(given))) == 22
    assert len(next(batches(given, grpc=True))) == 100
    assert len(next(batches([replace(point, payload={"x": "文" * 100_000}) for point in given], grpc=True))) == 17
    encoded = FixedDimensional(repetitions=128)  # 16,384 floats
    assert len(next(batches(given, [encoded]))) == 9
    assert [len(batch) for batch in batches([replace(given[0], payload={"x": "x" * 7_000_000}), *given[1:3]])] == [1, 2]


def test_a_search_is_sent_again_by_who_wants_that(server: QdrantClient, backend: Backend) -> None:
    store = QdrantStore(server, "documents")
    store.bind(IDENTITY)
    store.upsert(points(5))
    backend.faulty = lambda method, path: path.endswith("/query")
    backend.faults = ["503", "reset", "half", "other", "busy at noon"]
    retries = Retries(times=5, first_pause=0.001, longest_pause=0.01)
    found = retries.call(lambda: store.search(QUERY, top_k=3))
    assert backend.faults == []
    assert found == store.search(QUERY, top_k=3)
    backend.faults = ["503"] * 6
    with pytest.raises(GaveUpError, match=r"6 tries failed, the last with UnexpectedResponse: .*503"):
        retries.call(lambda: store.search(QUERY, top_k=3))
    backend.faults = ["401"]
    with pytest.raises(AccessError, match=r"refuses this client \(401\)"):
        retries.call(lambda: store.search(QUERY, top_k=3))


def test_an_upsert_is_sent_again_after_a_fault_that_may_pass(server: QdrantClient, backend: Backend) -> None:
    store = QdrantStore(server, "documents")
    store.bind(IDENTITY)
    backend.faults = ["503"]
    backend.faulty = lambda method, path: path.endswith("/points")
    assert store.upsert(points(3)) == 3
    assert backend.faults == []
    assert store.count() == 3
