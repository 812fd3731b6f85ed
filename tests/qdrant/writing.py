"""An encoder that costs nothing, and what tests of the writer write and find with it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from qdrant_client import models

from jacolbert_integrations import JaColBERT, Point, QdrantStore
from jacolbert_integrations.qdrant import (
    QdrantWriter,
    Retries,
    retrying,
)
from jacolbert_integrations.qdrant.clients import Client
from jacolbert_integrations.types import Document, TokenVectors

from ..conftest import PATIENCE
from ..stores.samples import DIMENSION, IDENTITY

QUICK = Retries(times=4, first_pause=0.001, longest_pause=0.01)


def skip_unless_known(vector_options: dict[str, Any]) -> None:
    """Skips a test of options that the client which is installed is too old for."""
    try:
        models.VectorParams(**{"size": DIMENSION, "distance": models.Distance.DOT, **vector_options})
    except ValueError:
        pytest.skip(f"an older client knows no {', '.join(vector_options)} of this value")


class Encoder:
    """As a model seems to the writer: vectors that its texts decide, at once; and how often it was asked."""

    identity = IDENTITY
    document_maxlen = 50

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def document_lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]

    def encode_document(self, texts: Sequence[str], *, show_progress_bar: bool | None = None) -> list[TokenVectors]:
        self.encoded += texts
        return [vectors_of(text) for text in texts]

    def encode_query(self, texts: Sequence[str]) -> list[TokenVectors]:
        return [vectors_of(text) for text in texts]


def vectors_of(text: str) -> TokenVectors:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    matrix: TokenVectors = (
        np.random.default_rng(seed).standard_normal((1 + len(text) % 5, DIMENSION)).astype(np.float32)
    )
    unit: TokenVectors = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.zeros_like(unit) if text.startswith("zero") else unit


def writer(client: Client, encoder: Encoder | None = None, **options: Any) -> QdrantWriter:
    store = QdrantStore(client, "documents", **{n: options.pop(n) for n in ("first_stage",) if n in options})
    options = {"retries": QUICK, "batch": 8, **options}
    return QdrantWriter(store, cast("JaColBERT", encoder or Encoder()), **options)


def documents(count: int, edition: str = "") -> list[Document]:
    return [Document(f"文書 {i}", f"第{i}の文書{edition}", {"n": i}) for i in range(count)]


def check(store: QdrantStore, expected: Sequence[Document]) -> None:
    """All of the documents are there, each with the vectors of its text, and nothing else."""
    assert store.count() == len(expected)
    found = store.get([document.id for document in expected])
    assert found.keys() == {document.id for document in expected}
    for document in expected:
        np.testing.assert_allclose(found[document.id].vectors, vectors_of(document.text), atol=1e-5)
        assert found[document.id].payload == {**document.payload, "text": document.text}


def noted_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, in seconds, none of which is made."""
    pauses: list[float] = []
    monkeypatch.setattr(retrying, "time", SimpleNamespace(sleep=pauses.append))
    return pauses


def noted_requests(held: QdrantWriter) -> threading.Semaphore:
    """Counts the requests in which a writer sends points, each when it is done."""
    sent, send = threading.Semaphore(0), held.store.send

    def noted(points: Sequence[Point], **options: Any) -> None:
        send(points, **options)
        sent.release()

    held.store.send = noted  # type: ignore[method-assign]
    return sent


def as_model(encoder: Encoder) -> JaColBERT:
    return cast("JaColBERT", encoder)


def documents_and_a_deletion(held: QdrantWriter, delete: Callable[[], object]) -> Iterator[Document]:
    """Yields 80 documents to a writer, and deletes its collection after 40, when nothing is on its way any more."""
    sent = noted_requests(held)
    for place, document in enumerate(documents(80)):
        if place == 40:
            for _ in range(5):
                assert sent.acquire(timeout=PATIENCE)
            delete()
        yield document
