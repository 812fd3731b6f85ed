"""Two writers of one long document on a server: in whatever order their requests come, no window is lost.

What two writers would do at once is done step by step: one of them is held before each of its requests, while the other
writes from its beginning to its end, or as far as its own next request.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from qdrant_client import QdrantClient

from jacolbert_integrations import Point, QdrantStore
from jacolbert_integrations.qdrant import versions_of_documents
from jacolbert_integrations.qdrant.points import VERSION_KEY
from jacolbert_integrations.text.windows import DOCUMENT_KEY, SPAN_KEY, window_id
from jacolbert_integrations.types import Document

from ..conftest import PATIENCE
from ..server import WAYS, opened
from ..stores.samples import IDENTITY, vectors
from .writing import Encoder, writer

SENTENCES = [f"これは{i}番目の文である。" for i in range(30)]
VERSIONS = {
    "first": "".join(SENTENCES[:20]),
    "longer": "改めて、" + "".join(SENTENCES),
    "shorter": "直した。" + "".join(SENTENCES[:9]),
    "short": "もう長くない。",
}


@pytest.fixture(params=["rest", *WAYS])
def client(request: pytest.FixtureRequest) -> Iterator[QdrantClient]:
    if request.param in WAYS:
        with opened(request.param) as real:
            yield real
        return
    yield request.getfixturevalue("server")


@pytest.fixture(params=[0, 3600, -3600], autouse=True)
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moves on between each two requests, and for one of the two writers it may be wrong by an hour."""
    ticks = count(1_800_000_000)

    class Clock:
        @staticmethod
        def time() -> float:
            wrong = request.param if threading.current_thread().name.startswith("other") else 0
            return next(ticks) + wrong

    monkeypatch.setattr(versions_of_documents, "time", Clock)


class Held(QdrantStore):
    """A store whose owner is stopped before a request of a certain number, while somebody else works."""

    def __init__(self, client: QdrantClient, meanwhile: Any, at: int) -> None:
        super().__init__(client, "documents")
        self._meanwhile, self._at, self._made = meanwhile, at, 0
        for name in ("send", "remove_older", "versions", "exists", "prepare"):
            setattr(self, name, self._counted(getattr(self, name)))

    def _counted(self, method: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self._made == self._at:
                self._made += 1
                self._meanwhile()
            self._made += 1
            return method(*args, **kwargs)

        return call


def write(client: QdrantClient, text: str, store: QdrantStore | None = None) -> None:
    held = writer(client, Encoder(), too_long="split", batch=4)
    if store is not None:
        store.bind(IDENTITY)
        held.store = store
    result = held.write([Document("長", text), Document("短", "短い文。")])
    assert result.failed == ()


def windows(client: QdrantClient) -> dict[str, str]:
    store = QdrantStore(client, "documents")
    store.bind(IDENTITY)
    points = [point for point in store.points() if point.payload.get(DOCUMENT_KEY, point.id) == "長"]
    ordered = sorted(points, key=lambda point: point.payload.get(SPAN_KEY, [0])[0])
    return {point.id: point.payload["text"] for point in ordered}


@pytest.mark.parametrize("other", ["longer", "shorter", "short"])
@pytest.mark.parametrize("own", ["longer", "short"])
@pytest.mark.parametrize("at", range(9))
def test_no_window_of_the_version_that_stays_is_lost(client: QdrantClient, own: str, other: str, at: int) -> None:
    write(client, VERSIONS["first"])

    def meanwhile() -> None:
        thread = threading.Thread(target=write, args=(client, VERSIONS[other]), name="other writer")
        thread.start()
        thread.join(PATIENCE)

    write(client, VERSIONS[own], Held(client, meanwhile, at))
    whole = "".join(windows(client).values())
    assert whole in (VERSIONS[own], VERSIONS[other])


def test_a_version_follows_what_is_stored_whatever_the_clock_says(client: QdrantClient) -> None:
    """A writer whose clock is late is not ignored."""
    write(client, VERSIONS["first"])
    thread = threading.Thread(target=write, args=(client, VERSIONS["shorter"]), name="other writer, an hour late")
    thread.start()
    thread.join(PATIENCE)
    assert "".join(windows(client).values()) == VERSIONS["shorter"]


def test_the_version_is_for_the_store_alone(client: QdrantClient) -> None:
    write(client, VERSIONS["first"])
    store = QdrantStore(client, "documents")
    store.bind(IDENTITY)
    assert all(VERSION_KEY not in point.payload for point in store.points())
    assert set(store.versions(["長", "短", "none"])) == {"長", "短"}


def test_what_was_written_before_there_were_versions(client: QdrantClient) -> None:
    """It is replaced with all of its windows; and stays where it has not changed."""
    store = QdrantStore(client, "documents")
    store.bind(IDENTITY)
    old = [("長", 0), *((window_id("長", start), start) for start in (40, 80, 500))]
    store.upsert(Point(i, vectors(1, 2), {DOCUMENT_KEY: "長", SPAN_KEY: [s, s + 40], "text": "古い"}) for i, s in old)
    store.remove_older(["長"])
    assert store.count() == 4
    store.replace_documents([Point("長", vectors(2, 3), {"text": "新しい"})], ["長"])
    assert {point.id: point.payload["text"] for point in store.points()} == {"長": "新しい"}
