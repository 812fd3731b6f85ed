"""The writer: what it writes, what it leaves alone, and every fault that it has to survive."""

from __future__ import annotations

import multiprocessing
import random
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from qdrant_client import QdrantClient

from jacolbert_integrations import JaColBERT, Point, QdrantStore
from jacolbert_integrations.errors import GaveUpError, InputError, ModelMismatchError, TruncationWarning, WriteError
from jacolbert_integrations.qdrant import FixedDimensional, Lexical, QdrantWriter, Retries
from jacolbert_integrations.qdrant.points import HASH_KEY, qdrant_id
from jacolbert_integrations.qdrant.retrying import may_pass
from jacolbert_integrations.types import Document, TokenVectors

from ..conftest import PATIENCE
from ..server import WAYS, opened
from ..stores.samples import IDENTITY
from .rest_server import Backend
from .writing import Encoder, check, documents, documents_and_a_deletion, noted_pauses, writer


@pytest.fixture
def client(local: QdrantClient) -> QdrantClient:
    return local


@pytest.fixture(params=["local", "rest", *WAYS])
def either(request: pytest.FixtureRequest) -> Iterator[QdrantClient]:
    if request.param in WAYS:
        with opened(request.param) as real:
            yield real
        return
    yield cast("QdrantClient", request.getfixturevalue("client" if request.param == "local" else "server"))


def test_writes_what_is_new_or_changed(either: QdrantClient) -> None:
    encoder = Encoder()
    first = writer(either, encoder).write(iter(documents(30)))
    assert (first.written, first.unchanged, first.failed) == (30, 0, ())
    assert "30 documents written in" in str(first)
    changed = [*documents(20), *documents(35, "、改")[20:]]
    second = writer(either, encoder).write(changed)
    assert (second.written, second.unchanged) == (15, 20)
    assert len(encoder.encoded) == 45
    renamed = [Document(d.id, d.text, {"n": -1}) for d in changed[:3]]
    third = writer(either, encoder).write(renamed)
    assert third.written == 3
    assert (first.replaced, second.replaced, third.replaced) == (0, 10, 3)
    assert "of which 3 replaced what was there" in str(third)
    check(writer(either).store, [*renamed, *changed[3:]])


def test_a_repeated_id(either: QdrantClient) -> None:
    """The last stays, in one batch or in two; also where it is as what is being replaced."""
    one, other = Document("a", "一"), Document("a", "二")
    fill = documents(16)
    for order in ([one, other], [other, one], [one, *fill, other], [other, *fill, one], [one, *fill[:8], other]):
        writer(either).write(order)
        check(writer(either).store, [order[-1], *(fill if len(order) > 2 or writer(either).store.count() > 1 else [])])


def test_what_cannot_be_written_is_reported_and_nothing_else_is_lost(either: QdrantClient) -> None:
    good = documents(20)
    bad = [
        Document("", "文"),
        Document("empty", " 　"),
        Document("zero", "zero"),
        Document("long", "長" * 51),
        Document("payload", "文", {"x": {1}}),
        Document("reserved", "文", {HASH_KEY: 1}),
        Document(3, "文"),  # type: ignore[arg-type]
    ]
    mixed = [*good[:5], *bad, *good[5:]]
    result = writer(either).write(mixed)
    assert result.written == 20
    reasons = {failed.id: failed.reason for failed in result.failed}
    assert len(result.failed) == 7
    assert "non-empty string" in reasons[""]
    assert "no text" in reasons["empty"]
    assert "row 0 is all zero" in reasons["zero"]
    assert "it has 51 tokens, but the model reads 50. Split it" in reasons["long"]
    assert "not JSON-serialisable" in reasons["payload"]
    assert "which is for the store" in reasons["reserved"]
    assert "7 failed (the first" in str(result)
    check(writer(either).store, good)
    assert writer(either, too_long="cut").write([Document("long", "長" * 51)]).written == 1


def test_faults_that_pass_are_survived(server: QdrantClient, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = noted_pauses(monkeypatch)
    backend.faults = ["500", "ok", "reset", "lost", "503", "ok", "lost", "busy", "ok", "502"]
    result = writer(server).write(documents(60))
    assert (result.written, result.failed) == (60, ())
    assert backend.faults == []
    assert (len(pauses), max(pauses)) == (7, 1)  # what the server asked for when it was busy
    check(writer(server).store, documents(60))


def test_a_request_that_never_passes_is_reported(server: QdrantClient, backend: Backend) -> None:
    backend.faults = ["ok", *["500"] * 5]
    result = writer(server).write(documents(24))
    assert result.written == 16
    assert [failed.id for failed in result.failed] == [f"文書 {i}" for i in range(8, 16)]
    assert "5 tries failed, the last with UnexpectedResponse: Unexpected Response: 500" in result.failed[0].reason
    again = writer(server).write(documents(24))
    assert (again.written, again.unchanged) == (8, 16)
    check(writer(server).store, documents(24))


def test_one_bad_point_does_not_take_its_neighbours_along(server: QdrantClient, backend: Backend) -> None:
    backend.refused = {qdrant_id("文書 2"), qdrant_id("文書 11")}
    result = writer(server, batch=16).write(documents(16))
    assert result.written == 14
    assert [failed.id for failed in result.failed] == ["文書 2", "文書 11"]
    assert "400 (Bad Request)" in result.failed[0].reason
    assert "one of them is refused" in result.failed[0].reason


def test_a_server_that_is_gone_stops_the_writer(server: QdrantClient, backend: Backend) -> None:
    backend.faults = ["ok", *["503"] * 100]
    encoder = Encoder()
    with pytest.raises(WriteError, match="3 requests in a row failed after all retries") as caught:
        writer(server, encoder).write(documents(500))
    result = cast("Any", caught.value.result)
    assert result.written == 8
    assert len(result.failed) == 24
    assert len(encoder.encoded) < 100
    backend.faults = []
    writer(server).write(documents(500))
    check(writer(server).store, documents(500))


def test_a_collection_deleted_under_the_writer(server: QdrantClient, backend: Backend) -> None:
    held = writer(server)
    with pytest.raises(WriteError, match=r"'documents' was deleted while it was written to\. Write again"):
        held.write(documents_and_a_deletion(held, lambda: backend.local.delete_collection("documents")))
    assert held.write(documents(80)).written == 80
    check(held.store, documents(80))


def test_memory_is_flat(server: QdrantClient) -> None:
    """No more than some batches are read ahead of what has been sent."""
    sent, ahead = [0], [0]
    held = writer(server, batch=4)
    held.store.create = lambda points=(): None  # type: ignore[method-assign]

    def send(points: Sequence[Point], **_: Any) -> None:
        time.sleep(0.002)
        sent[0] += len(points)

    held.store.send = send  # type: ignore[method-assign]
    held.store.exists = lambda: False  # type: ignore[method-assign]

    def reading() -> Iterator[Document]:
        for place, document in enumerate(documents(400)):
            ahead[0] = max(ahead[0], place - sent[0])
            yield document

    assert held.write(reading()).written == 400
    assert ahead[0] <= 5 * 4


def test_encoding_and_sending_overlap(server: QdrantClient) -> None:
    """The first batch is not sent before the second is being encoded: who took turns would wait here for ever."""
    begun = threading.Event()

    class Watched(Encoder):
        calls = 0

        def encode_document(self, texts: Sequence[str], *, show_progress_bar: bool | None = None) -> list[TokenVectors]:
            self.calls += 1
            if self.calls == 2:
                begun.set()
            return super().encode_document(texts)

    held, overlapped = writer(server, Watched(), batch=2), []
    send = held.store.send

    def waiting(points: Sequence[Point], **options: Any) -> None:
        overlapped.append(begun.wait(PATIENCE))
        send(points, **options)

    held.store.send = waiting  # type: ignore[method-assign]
    held.write(documents(8))
    assert overlapped == [True] * 4


def test_first_stages_are_written_too(either: QdrantClient) -> None:
    held = writer(either, first_stage=[Lexical(), FixedDimensional(repetitions=2)])
    held.write(documents(20))
    record = either.retrieve("documents", [qdrant_id("文書 3")], with_vectors=True)[0]
    assert isinstance(record.vector, dict)
    assert record.vector.keys() == {"colbert", "lexical", "muvera"}


def test_two_writers_of_the_same_documents(server: QdrantClient) -> None:
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(writer(server).write(documents(100)).written)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    check(writer(server).store, documents(100))


def test_another_model(client: QdrantClient) -> None:
    writer(client).write(documents(3))
    other = Encoder()
    other.identity = replace(IDENTITY, fingerprint="0" * 64)
    with pytest.raises(ModelMismatchError):
        writer(client, other)


def test_bad_arguments(client: QdrantClient) -> None:
    for bad in ({"batch": 0}, {"batch": True}, {"too_long": "halve"}):
        with pytest.raises(InputError, match=next(iter(bad))):
            writer(client, **bad)
    with pytest.raises(InputError, match="times and first_pause must be 0 or more"):
        Retries(times=-1)
    assert writer(client).write([]).written == 0
    assert not writer(client).store.exists()


def test_pauses_double_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = noted_pauses(monkeypatch)

    def fail() -> None:
        raise ConnectionError("refused")

    with pytest.raises(GaveUpError, match="6 tries failed, the last with ConnectionError: refused"):
        Retries(times=5, first_pause=1, longest_pause=6).call(fail)
    assert len(pauses) == 5
    for pause, most in zip(pauses, (1, 2, 4, 6, 6), strict=True):
        assert most / 2 <= pause <= most
    with pytest.raises(KeyError):
        Retries().call(lambda: dict[str, int]()["x"])
    assert not may_pass(ValueError())


@pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")
def test_with_a_real_model(mini: JaColBERT, client: QdrantClient) -> None:
    texts = ["富士山は日本で一番高い山である。", "琵琶湖は日本最大の湖である。", "長い。" * 600]
    assert mini.document_lengths(texts)[:2] == [len(v) for v in mini.encode_document(texts[:2])]
    assert mini.document_lengths(texts)[2] == 1203  # two words 600 times, [CLS], the marker, [SEP]
    held = QdrantWriter(QdrantStore(client, "c"), mini)
    result = held.write(Document(str(i), text) for i, text in enumerate(texts))
    assert (result.written, [failed.id for failed in result.failed]) == (2, ["2"])
    assert held.store.search(mini.query("日本最大の湖は"), top_k=1)[0].id == "1"
    with pytest.warns(TruncationWarning, match="were cut there"):
        QdrantWriter(QdrantStore(client, "c"), mini, too_long="cut").write([Document("2", texts[2])])


def write_all(url: str, count: int) -> None:
    """What the process that is killed does."""
    client = QdrantClient(url, check_compatibility=False, timeout=PATIENCE)
    writer(client, batch=16).write(documents(count))
    client.close()


def test_killed_again_and_again_it_ends_with_the_right_points(server: QdrantClient, backend: Backend) -> None:
    context = multiprocessing.get_context("forkserver")
    url, count, kills, rng = str(server._client.rest_uri), 800, 0, random.Random(1)  # type: ignore[attr-defined]
    while kills < 12:
        # at a random moment after it has written something more
        goal = len(backend.requests) + rng.randrange(1, 60)
        child = context.Process(target=write_all, args=(url, count))
        child.start()
        deadline = time.monotonic() + PATIENCE
        while len(backend.requests) < goal and child.is_alive() and time.monotonic() < deadline:
            time.sleep(0.001)
        child.kill()
        child.join()
        assert child.exitcode in (0, -signal.SIGKILL)
        if child.exitcode == 0:  # it was done before: begin anew
            with backend.lock:
                backend.local.delete_collection("documents")
        else:
            kills += 1
    write_all(url, count)
    check(writer(server).store, documents(count))


def test_a_document_that_would_take_anothers_point_is_reported(either: QdrantClient) -> None:
    """An id and the UUID that it is mapped to are one point."""
    one, other = Document("a", "一"), Document(qdrant_id("a"), "二")
    writer(either).write([one])
    result = writer(either).write([other, Document("b", "三")])
    assert (result.written, [failed.id for failed in result.failed]) == (1, [qdrant_id("a")])
    assert "the one of the id 'a'" in result.failed[0].reason
    check(writer(either).store, [one, Document("b", "三")])
