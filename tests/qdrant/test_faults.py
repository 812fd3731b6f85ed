"""Servers that answer late, never or half; that refuse; disks that are full; and several processes at once."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sqlite3
import traceback
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import pytest
import torch
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException

from jacolbert_integrations import JaColBERT, QdrantStore
from jacolbert_integrations.errors import AccessError, GaveUpError, WriteError
from jacolbert_integrations.qdrant import QdrantWriter, Retries, WriteResult
from jacolbert_integrations.qdrant.answers import describe
from jacolbert_integrations.qdrant.points import qdrant_id
from jacolbert_integrations.qdrant.retrying import may_pass
from jacolbert_integrations.types import Document

from ..conftest import PATIENCE
from .rest_server import Backend, impatient, is_write, open_client, serving
from .writing import QUICK, check, documents, writer

KEY = "a-secret-key"


def result_of(error: WriteError) -> WriteResult:
    return cast("WriteResult", error.result)


def test_a_server_that_answers_late_never_or_half(server: QdrantClient, backend: Backend) -> None:
    """What was written before the time-out is written once more, which changes nothing."""
    backend.faults = ["ok", "late", "silent", "half", "ok", "other", "busy at noon", "507"]
    result = writer(impatient(server, backend)).write(documents(40))
    assert (result.written, result.failed) == (40, ())
    assert backend.faults == []
    check(writer(server).store, documents(40))


def test_a_server_that_is_always_late(server: QdrantClient, backend: Backend) -> None:
    """Nobody hears of what it writes; the next run sees that it is there."""
    backend.faults = ["late"] * 5
    result = writer(impatient(server, backend)).write(documents(8))
    assert (result.written, len(result.failed)) == (0, 8)
    assert "timed out; a client with a longer timeout may help, or a writer with a smaller batch" in str(result)
    for _ in range(5):
        assert backend.withheld.acquire(timeout=PATIENCE)
    assert writer(server).write(documents(8)).unchanged == 8


def test_reads_of_the_writer_are_repeated_too(server: QdrantClient, backend: Backend) -> None:
    writer(server).write(documents(8))
    backend.faulty = lambda method, path: not is_write(method, path)
    backend.faults = ["503", "ok", "reset", "500", "ok", "half", "silent", "503"]
    result = writer(impatient(server, backend)).write(documents(24))
    assert (result.written, result.unchanged, result.failed) == (16, 8, ())
    assert backend.faults == []


@pytest.mark.parametrize("status", ["401", "403"])
@pytest.mark.parametrize("reading", [True, False])
@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection:UserWarning")
def test_a_client_that_is_refused_stops_at_once(backend: Backend, status: str, reading: bool) -> None:
    with serving(backend) as port:
        client = open_client(port, api_key=KEY)
        held = writer(client)
        if reading:
            backend.faulty = lambda method, path: method == "POST"
        backend.faults = ["ok", *[status] * 100]
        with pytest.raises(WriteError, match=rf"refuses this client \({status}\)\. Check its API key") as caught:
            held.write(documents(60))
        assert len(backend.faults) == 99  # one was enough
        backend.faults = []
        assert result_of(caught.value).written == held.store.count()
        assert result_of(caught.value).failed == ()
        assert KEY not in "".join(traceback.format_exception(caught.value))
        held.write(documents(60))
        check(held.store, documents(60))
        backend.faulty = lambda method, path: True
        backend.faults = [status] * 4
        with pytest.raises(AccessError) as denied:
            writer(client)
        assert KEY not in "".join(traceback.format_exception(denied.value))
        client.close()


def test_a_server_that_is_down_from_the_start() -> None:
    client = QdrantClient("http://127.0.0.1:9", check_compatibility=False)
    with pytest.raises(GaveUpError, match=r"5 tries failed, the last with ResponseHandlingException: .*refused"):
        writer(client)
    client.close()


def test_a_request_that_is_too_large_is_cut(server: QdrantClient, backend: Backend) -> None:
    """As by a proxy that takes less than Qdrant does."""
    backend.largest = 2_000
    given = [*documents(30), Document("large", "文", {"x": "x" * 4_000})]
    result = writer(server, batch=16).write(given)
    assert result.written == 30
    assert [failed.id for failed in result.failed] == ["large"]
    assert "413" in result.failed[0].reason
    check(writer(server).store, documents(30))


def test_a_long_document_whose_new_windows_fail_keeps_its_old_ones(
    server: QdrantClient, backend: Backend, mini: JaColBERT
) -> None:
    held = QdrantWriter(QdrantStore(server, "documents"), mini, too_long="split", retries=QUICK)
    assert held.write([Document("長", "富士山は日本で一番高い山である。" * 200)]).windows == 5
    backend.faults = ["500"] * 5
    changed = Document("長", "琵琶湖は日本最大の湖である。" * 60)
    assert len(held.write([changed]).failed) == 2
    assert held.store.count() == 5
    assert held.write([changed]).windows == 2
    assert held.store.count() == 2


def test_a_collection_that_is_refused(server: QdrantClient, backend: Backend) -> None:
    backend.faulty = lambda method, path: method == "PUT" and path.count("/") == 2
    backend.faults = ["400"]
    with pytest.raises(WriteError, match=r"refuses the collection 'documents'.*UnexpectedResponse: .* 400") as caught:
        writer(server).write(documents(30))
    assert result_of(caught.value).written == 0
    held = writer(server)
    assert held.write(documents(30)).written == 30
    backend.faulty = lambda method, path: method == "POST"
    backend.faults = ["ok", "400"]
    with pytest.raises(WriteError, match=r"does not say what is there .*UnexpectedResponse: .* 400") as caught:
        held.write(documents(30))
    assert result_of(caught.value).unchanged == 8


def test_a_look_at_the_collection_that_nobody_answers(server: QdrantClient, backend: Backend) -> None:
    """After a refused point: whether the collection was deleted."""
    held = writer(server)
    held.write(documents(8))
    backend.refused = {qdrant_id("文書 9")}
    before = len(backend.requests)

    def faulty(method: str, path: str) -> bool:
        return path.endswith("/exists") and any(is_write(*sent[:2]) for sent in backend.requests[before:])

    backend.faulty = faulty
    backend.faults = ["503"] * 5
    with pytest.raises(WriteError, match=r"5 tries failed.*503.* 8 unchanged"):
        held.write(documents(16))


def test_a_payload_that_cannot_be_sent(server: QdrantClient) -> None:
    """Half a surrogate pair is JSON in Python, and nowhere else."""
    given = [*documents(10), Document("half", "文", {"x": "\ud800"})]
    result = writer(server, batch=16).write(given)
    assert result.written == 10
    assert [failed.id for failed in result.failed] == ["half"]
    check(writer(server).store, documents(10))


def test_what_may_pass() -> None:
    assert may_pass(ResponseHandlingException(OSError("timed out")))
    assert not may_pass(sqlite3.OperationalError("database or disk is full"))
    assert not may_pass(OSError(28, "No space left on device"))
    assert describe(ValueError("two\n lines ")) == "ValueError: two lines"


def real_processes() -> ForkServerContext:
    """Children of a process that has imported what is slow to import."""
    return multiprocessing.get_context("forkserver")


def write_part(url: str, first: int, last: int, ready: Any) -> None:
    """What each of several processes does."""
    torch.set_num_threads(1)
    model = JaColBERT.from_pretrained("jacolbert-mini")
    client = QdrantClient(url, check_compatibility=False, timeout=PATIENCE)
    ready.wait(PATIENCE)
    # more tries than there are faults, all of which may befall one process
    retries = Retries(times=8, first_pause=0.001, longest_pause=0.01)
    held = QdrantWriter(QdrantStore(client, "documents"), model, batch=16, retries=retries, text_key=None)
    assert held.write(texts()[first:last]).failed == ()
    client.close()


def texts() -> list[Document]:
    return [Document(f"文書 {i}", f"{i}番目の山は{i * 7 % 100}番目の湖より高い。", {"n": i}) for i in range(120)]


def test_several_processes_write_overlapping_documents(server: QdrantClient, backend: Backend, mini: JaColBERT) -> None:
    context = real_processes()
    ready = context.Barrier(3)
    url = str(server._client.rest_uri)  # type: ignore[attr-defined]
    backend.faults = ["ok", "500", "ok", "reset", "lost", "ok", "503", "busy"]
    children = [
        context.Process(target=write_part, args=(url, *part, ready)) for part in ((0, 80), (40, 120), (20, 100))
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(PATIENCE)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert backend.created == 1
    store = QdrantStore(server, "documents")
    store.bind(mini.identity)
    assert store.count() == 120
    found = store.get([document.id for document in texts()])
    expected = mini.encode_document([document.text for document in texts()])
    for document, matrix in zip(texts(), expected, strict=True):
        assert found[document.id].payload == document.payload
        np.testing.assert_allclose(found[document.id].vectors, matrix, atol=1e-4)


def write_to_disk(path: str, size: int, connection: Any) -> None:
    """What the process does whose files may not grow beyond a size."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    client = QdrantClient(path=path)
    try:
        writer(client).write(documents(100))
    except WriteError as error:
        connection.send((str(error), result_of(error).written, len(result_of(error).failed)))
    client.close()


def test_a_full_disk(tmp_path: Path) -> None:
    """A limit on the size of files ends a disk early."""
    context = real_processes()
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=write_to_disk, args=(str(tmp_path / "q"), 65_536, sending))
    child.start()
    child.join(PATIENCE)
    assert child.exitcode == 0
    assert receiving.poll()
    said, written, failed = receiving.recv()
    assert "the storage of 'documents' cannot be written (OperationalError: disk I/O error)" in said
    assert 0 < written < 100
    assert failed == 0
    client = QdrantClient(path=str(tmp_path / "q"))
    there = writer(client).store.count()
    assert written <= there < 100  # nothing that was acknowledged is lost
    again = writer(client).write(documents(100))
    assert (again.written, again.unchanged) == (100 - there, there)
    check(writer(client).store, documents(100))
    client.close()


@pytest.mark.parametrize(
    ("before", "said", "after"),
    [
        ("PRAGMA max_page_count = 1", "database or disk is full", "PRAGMA max_page_count = 1073741823"),
        ("PRAGMA query_only = ON", "attempt to write a readonly database", "PRAGMA query_only = OFF"),
    ],
)
def test_a_database_that_cannot_be_written(tmp_path: Path, before: str, said: str, after: str) -> None:
    client = QdrantClient(path=str(tmp_path / "q"))
    writer(client).write(documents(20))
    storage = cast("Any", client)._client._get_collection("documents").storage.storage
    storage.execute(before)
    with pytest.raises(WriteError, match=rf"cannot be written \(OperationalError: {said}\)") as caught:
        writer(client).write(documents(100))
    there = writer(client).store.count()
    result = result_of(caught.value)
    assert result.unchanged >= 20
    assert 20 + result.written <= there < 100
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    storage.execute(after)
    again = writer(client).write(documents(100))
    assert (again.written, again.unchanged) == (100 - there, there)
    check(writer(client).store, documents(100))
    client.close()


def write_to_folder(path: str) -> None:
    """What the process does that may not write everywhere, as root may."""
    first = QdrantClient(path=f"{path}/first")  # imports all that is needed
    writer(first).write(documents(3))
    first.close()
    if os.geteuid() == 0:
        os.chown(path, 65_534, 65_534)
        os.setuid(65_534)
    client = QdrantClient(path=f"{path}/q")
    folder = Path(path, "q", "collection")
    folder.mkdir(exist_ok=True)
    folder.chmod(0o500)
    with pytest.raises(WriteError, match=r"'documents' cannot be written \(PermissionError"):
        writer(client).write(documents(3))
    folder.chmod(0o700)
    assert writer(client).write(documents(3)).written == 3
    check(writer(client).store, documents(3))
    client.close()


def test_a_folder_that_may_not_be_written() -> None:
    with TemporaryDirectory() as path:
        child = real_processes().Process(target=write_to_folder, args=(path,))
        child.start()
        child.join(PATIENCE)
        assert child.exitcode == 0
