"""What is Qdrant's own: the collection, ids, limits, and what local mode does not check."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from jacolbert_integrations import JaColBERT, MemoryStore, Point, QdrantStore
from jacolbert_integrations.errors import CollectionLayoutError, InputError, VectorError
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.qdrant.clients import is_local_mode
from jacolbert_integrations.qdrant.points import VECTOR_NAME, batches, qdrant_id, to_structs
from jacolbert_integrations.qdrant.schema import METADATA_KEY, create_collection

from ..stores.samples import DIMENSION, IDENTITY, QUERY, points, vectors


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    opened = QdrantClient(":memory:")
    yield opened
    opened.close()


@pytest.fixture
def store(client: QdrantClient) -> QdrantStore:
    opened = QdrantStore(client, "documents")
    opened.bind(IDENTITY)
    return opened


def test_the_collection(store: QdrantStore, client: QdrantClient) -> None:
    assert not store.exists()
    store.upsert(points(2))
    config = client.get_collection("documents").config
    assert isinstance(config.params.vectors, dict)
    vector = config.params.vectors[VECTOR_NAME]
    assert (vector.size, vector.distance) == (DIMENSION, models.Distance.DOT)
    assert vector.multivector_config == models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    assert vector.hnsw_config is not None
    assert vector.hnsw_config.m == 0
    assert config.metadata == {METADATA_KEY: IDENTITY.to_dict()}


def test_extra_options_go_through(client: QdrantClient) -> None:
    store = QdrantStore(client, "documents", metadata={"mine": 1})
    store.bind(IDENTITY)
    store.upsert(points(1))
    assert client.get_collection("documents").config.metadata == {"mine": 1, METADATA_KEY: IDENTITY.to_dict()}


def test_survives_on_disk(tmp_path: Path) -> None:
    client = QdrantClient(path=str(tmp_path))
    store = QdrantStore(client, "documents")
    store.bind(IDENTITY)
    store.upsert(points(30))
    hits = store.search(QUERY, top_k=5)
    client.close()
    client = QdrantClient(path=str(tmp_path))
    again = QdrantStore(client, "documents")
    again.bind(IDENTITY)
    assert again.search(QUERY, top_k=5) == hits
    client.close()


@pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")
def test_ranks_as_the_memory_store_on_real_text(mini: JaColBERT, client: QdrantClient) -> None:
    corpus = load_jsquad()
    passages = corpus.passages[:150]
    encoded = mini.encode_document([passage.text for passage in passages])
    memory, qdrant = MemoryStore(), QdrantStore(client, "real")
    for store in (memory, qdrant):
        store.bind(mini.identity)
        store.upsert(Point(passage.id, matrix) for passage, matrix in zip(passages, encoded, strict=True))
    for question in corpus.questions[:200:10]:
        query = mini.query(question.text)
        one, other = memory.search(query, top_k=10), qdrant.search(query, top_k=10)
        assert [hit.id for hit in one] == [hit.id for hit in other]
        np.testing.assert_allclose([hit.score for hit in one], [hit.score for hit in other], atol=1e-4)


def test_ids_are_deterministic_and_uuids_stay() -> None:
    known = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    assert qdrant_id(known) == known
    assert qdrant_id("文書 1") == qdrant_id("文書 1") != qdrant_id("文書 2")
    assert uuid.UUID(qdrant_id("文書 1")).version == 5
    assert qdrant_id(known.upper()) != known
    # pinned: ids must not change between releases
    assert qdrant_id("文書 1") == "0a7db47a-480b-59e6-b5b9-ac337aba6fc0"


def test_one_float_too_many(store: QdrantStore) -> None:
    tokens = 1_048_576 // DIMENSION
    ones = np.ones((tokens, DIMENSION), np.float32)
    with pytest.raises(VectorError, match=r"has 131072 token vectors, but Qdrant takes at most 131071 of 8 dimensions"):
        store.upsert([*points(1), Point("long", ones)])
    assert not store.exists()
    store.upsert([Point("long", ones[:-1])])
    assert store.count() == 1


def test_a_reserved_payload_key(store: QdrantStore) -> None:
    with pytest.raises(InputError, match="has the payload key '_jacolbert_id'"):
        store.upsert([Point("a", vectors(1), {"_jacolbert_id": 1})])


def test_collections_of_others_are_left_alone(client: QdrantClient) -> None:
    client.create_collection("theirs", vectors_config=models.VectorParams(size=4, distance=models.Distance.COSINE))
    with pytest.raises(CollectionLayoutError, match=r"'theirs' was not made by this package.*nothing was changed"):
        QdrantStore(client, "theirs").bind(IDENTITY)
    client.create_collection("named", vectors_config={}, metadata={METADATA_KEY: IDENTITY.to_dict()})
    with pytest.raises(CollectionLayoutError, match=r"multivector 'colbert' \(vectors: \[\]\)"):
        QdrantStore(client, "named").bind(IDENTITY)


def test_two_that_create_at_once(client: QdrantClient, store: QdrantStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The collection appears between the look and the making of it."""
    answers = iter([False])
    real = client.collection_exists
    create_collection(client, "documents", IDENTITY)
    monkeypatch.setattr(client, "collection_exists", lambda name: next(answers, None) is not False and real(name))
    store.upsert(points(2))
    assert store.count() == 2


def test_batches_are_cut_by_bytes() -> None:
    given = [Point(str(i), np.ones((2000, 128), np.float32)) for i in range(5)]  # 5.4 MB as JSON
    assert [len(batch) for batch in batches(given)] == [1] * 5
    small = [Point(str(i), np.ones((100, 128), np.float32)) for i in range(100)]
    assert [len(batch) for batch in batches(small)] == [22, 22, 22, 22, 12]
    assert list(batches([])) == []


def test_points_for_a_server_are_json_and_for_local_mode_arrays() -> None:
    local = next(to_structs(points(1), in_process=True))
    remote = next(to_structs(points(1), in_process=False))
    assert isinstance(local.vector, dict)
    assert isinstance(local.vector[VECTOR_NAME], np.ndarray)
    sent = json.loads(remote.model_dump_json())
    np.testing.assert_allclose(sent["vector"][VECTOR_NAME], np.asarray(local.vector[VECTOR_NAME]))
    assert (sent["id"], sent["payload"]) == (local.id, local.payload)


def test_local_mode_is_recognised(tmp_path: Path) -> None:
    for options, local in [({"location": ":memory:"}, True), ({"path": str(tmp_path)}, True)]:
        opened = QdrantClient(**options)  # type: ignore[arg-type]
        assert is_local_mode(opened) is local
        opened.close()
    remote = QdrantClient("http://127.0.0.1:9", check_compatibility=False)
    assert not is_local_mode(remote)
    remote.close()


def test_a_collection_that_appears_while_it_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process makes it between the question that found nothing and the next."""
    client = QdrantClient(":memory:")
    store = QdrantStore(client, "c")
    store.bind(IDENTITY)
    store.upsert(points(2))
    real, answers = client.get_collection, iter([ValueError("Collection c not found")])

    def late(name: str) -> models.CollectionInfo:
        for error in answers:
            raise error
        return real(name)

    monkeypatch.setattr(client, "get_collection", late)
    assert store.identity() == IDENTITY
    client.close()
