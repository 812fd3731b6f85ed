"""What a server sends as text, and what it scores itself, over REST."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from jacolbert_integrations import Point, QdrantStore
from jacolbert_integrations.errors import AccessError, ServerError, UnreachableError
from jacolbert_integrations.qdrant.answers import cause_of
from jacolbert_integrations.scoring.maxsim import maxsim

from ..stores.samples import IDENTITY, QUERY, points, vectors
from .rest_server import Backend


def bound(client: QdrantClient) -> QdrantStore:
    store = QdrantStore(client, "documents")
    store.bind(IDENTITY)
    return store


ODD: dict[str, Any] = {
    "text": 'a "quoted" [[1.0,2.0],[3.0,4.0]] \\ "colbert":[[1,2]] \\"',
    "vector": {"colbert": [[1.5, 2.5], [3, 4]]},
    "colbert": [[0.25]],
    "shapes": [[[1, 2], [3, 4]], [[5e-1, -6.0]], [], [[]], [[1], "x"], [1.5, 2]],
    "[[7,8]]": [[7, 8]],
}


def test_vectors_are_arrays_and_payloads_what_they_were(server: QdrantClient) -> None:
    store = bound(server)
    sent = [Point(str(i), vectors(i, 1 + i % 4), ODD if i % 3 else {"n": i}) for i in range(20)]
    store.upsert(sent)
    for found in (store.get([point.id for point in sent]), {point.id: point for point in store.points(batch=7)}):
        assert len(found) == 20
        for point in sent:
            np.testing.assert_array_equal(found[point.id].vectors, point.vectors)
            assert found[point.id].vectors.dtype == np.float32
            assert found[point.id].payload == point.payload


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.recursive(st.text('[]",\\1.e-'), lambda inner: st.lists(inner | st.floats(-9, 9) | st.integers(0, 3))
       | st.dictionaries(st.sampled_from(["colbert", "vector", "[[1]]", '"']), inner), max_leaves=12))  # fmt: skip
def test_no_payload_is_taken_for_vectors(server: QdrantClient, value: Any) -> None:
    store = bound(server)
    store.upsert([Point("a", vectors(1, 3), {"value": value})])
    found = store.get(["a"])["a"]
    assert found.payload == {"value": value}
    np.testing.assert_array_equal(found.vectors, vectors(1, 3))


def test_errors_are_as_of_the_client(server: QdrantClient, backend: Backend) -> None:
    store = bound(server)
    store.upsert(points(3))
    backend.faulty = lambda method, path: path.endswith("/points") and method == "POST"
    for fault, error, cause in (
        ("500", ServerError, UnexpectedResponse),
        ("busy", ServerError, ResourceExhaustedResponse),
        ("reset", UnreachableError, ResponseHandlingException),
    ):
        backend.faults = [fault]
        with pytest.raises(error) as caught:
            store.get(["文書 1"])
        assert isinstance(cause_of(caught.value), cause)
    backend.faults = ["403"]
    with pytest.raises(AccessError):
        store.get(["文書 1"])
    assert list(store.get(["文書 1"])) == ["文書 1"]


def test_documents_are_scored_in_one_request(server: QdrantClient, backend: Backend) -> None:
    store = bound(server)
    store.upsert(points(10))
    backend.requests.clear()
    found = store.score(QUERY, ["文書 3", "none", "文書 1"])
    assert [path.rsplit("/", 1)[-1] for _, path, _ in backend.requests] == ["documents", "query"]
    hits = {hit.id: hit for hit in store.search(QUERY, top_k=10)}
    assert found == {i: hits[i] for i in ("文書 3", "文書 1")}


def test_documents_are_compared_there(server: QdrantClient, backend: Backend) -> None:
    store = bound(server)
    sent = points(6)
    store.upsert(sent)
    backend.requests.clear()
    first, *others = [point.id for point in sent]
    answers = store.similarities([(first, [first, *others]), *((other, [first]) for other in others)])
    assert answers is not None
    there = maxsim([sent[0].vectors], [point.vectors for point in sent[1:]])[0]
    back = maxsim([point.vectors for point in sent[1:]], [sent[0].vectors])[:, 0]
    assert [path.rsplit("/", 1)[-1] for _, path, _ in backend.requests] == ["batch"]
    assert answers[0][first] == pytest.approx(len(sent[0].vectors), abs=1e-4)
    alone = store.similarities([(point.id, [point.id]) for point in sent])
    assert alone is not None
    assert [answer[point.id] for answer, point in zip(alone, sent, strict=True)] == pytest.approx(
        [len(point.vectors) for point in sent], abs=1e-4
    )
    assert [answers[0][other] for other in others] == pytest.approx(there, abs=1e-5)
    assert [answer[first] for answer in answers[1:]] == pytest.approx(back, abs=1e-5)


def test_what_is_not_stored_is_not_compared(server: QdrantClient, backend: Backend) -> None:
    store = bound(server)
    store.upsert(points(3))
    answers = store.similarities([("文書 1", ["none", "文書 2"])])
    assert answers is not None
    assert [list(answer) for answer in answers] == [["文書 2"]]
    assert store.similarities([("none", ["文書 1"]), ("文書 1", ["文書 2"])]) is None
    backend.faulty = lambda method, path: path.endswith("/batch")
    backend.faults = ["500"]
    with pytest.raises(ServerError):
        store.similarities([("文書 1", ["文書 2"])])
    server.delete_collection("documents")
    assert store.similarities([("文書 1", ["文書 2"])]) is None
