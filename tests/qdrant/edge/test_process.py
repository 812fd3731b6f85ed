"""Qdrant Edge in a process of its own: the same answers, and whoever asks goes on meanwhile."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery
from qdrant_client import models

from jacolbert_integrations import Condition, Filter, JaColBERT, JaColBERTVectorStore, QdrantStore
from jacolbert_integrations.errors import EngineError, InputError
from jacolbert_integrations.locations import open_store
from jacolbert_integrations.qdrant import EdgeClient, EdgeProcess, EdgeStore, Lexical, SearchOptions
from jacolbert_integrations.qdrant.edge import process as edge_process

from ...conftest import PATIENCE
from ...stores.samples import IDENTITY, QUERY, points


def opened(path: Path, **options: Any) -> EdgeStore:
    store = EdgeStore(path, own_process=True, **options)
    store.bind(IDENTITY)
    return store


def process_of(store: QdrantStore) -> subprocess.Popen[bytes]:
    client = store.client
    assert isinstance(client, EdgeProcess)
    return client._process


def test_every_call_goes_there() -> None:
    public = {name for name, value in vars(EdgeClient).items() if inspect.isfunction(value) and name[0] != "_"}
    assert public <= vars(EdgeProcess).keys()
    assert {"upsert", "query_points"} <= public
    assert EdgeProcess.query_points.__doc__ == EdgeClient.query_points.__doc__
    assert inspect.signature(EdgeProcess.query_points) == inspect.signature(EdgeClient.query_points)


def test_it_starts_without_torch() -> None:
    code = (
        "import sys, jacolbert_integrations.qdrant.edge.process; print({'torch', 'transformers'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def tour(store: EdgeStore) -> list[Any]:
    """All that a store asks of a client."""
    store.bind(IDENTITY)
    store.upsert([replace(point, text=f"文書 {point.id} 猫") for point in points(60)])
    client = store.client
    assert isinstance(client, EdgeClient)
    client.update_collection_aliases(
        [models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name="documents", alias_name="other"))]
    )
    client.set_payload(
        "other", {"new": 1}, models.Filter(must=[models.FieldCondition(key="n", range=models.Range(lt=9))])
    )
    store.delete(["文書 3"])
    client.optimize("documents")
    return [
        store.count(),
        store.search(QUERY, top_k=7),
        store.search(QUERY, top_k=7, filter=Filter([Condition("parity", "==", "odd")])),
        store.search_batch([QUERY, QUERY], top_k=3),
        store.search(QUERY, top_k=7, options=SearchOptions(exact=True)),
        {name: (point.vectors.tolist(), point.payload) for name, point in store.get(["文書 5", "文書 8"]).items()},
        [point.id for point in store.points()],
        client.get_aliases(),
        client.get_collections(),
        client.get_collection("documents").config.metadata,
        client.query_points_groups(
            "documents", "parity", query=QUERY.vectors.tolist(), using="colbert", limit=2, group_size=2
        ),
        client.collection_exists("documents"),
        client.delete_collection("documents"),
        client.collection_exists("documents"),
    ]


def test_the_same_answers(tmp_path: Path) -> None:
    with EdgeStore(tmp_path / "here", first_stage=Lexical()) as here:
        expected = tour(here)
    with EdgeStore(tmp_path / "there", first_stage=Lexical(), own_process=True) as there:
        assert tour(there) == expected
        assert process_of(there).pid != os.getpid()


def test_what_was_written_is_there_for_either(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.upsert(points(20))
        hits = store.search(QUERY, top_k=5)
        with EdgeStore(tmp_path) as second, pytest.raises(EngineError, match=r"has it open\. Close that one first"):
            second.bind(IDENTITY)
    with EdgeStore(tmp_path) as store:
        store.bind(IDENTITY)
        assert store.search(QUERY, top_k=5) == hits


def test_errors_come_back_as_they_are(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with opened(tmp_path / "place") as store:
        client = store.client
        with pytest.raises(EngineError, match=r"there is no collection 'none' in .*place"):
            client.count("none")
        with pytest.raises(InputError, match="is no name of a collection"):
            client.create_collection("a/b")
        with pytest.raises(InputError, match="what was given to upsert cannot be sent to another process"):
            client.upsert("documents", [lambda: None])  # type: ignore[list-item]
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'collection_name'"):
            client.query_points()  # type: ignore[call-arg]
        store.upsert(points(3))
        empty_row = models.PointStruct.model_construct(id=1, vector={"colbert": [[]]}, payload={})
        with pytest.raises(EngineError, match="could not write to 'documents': chunk size must be non-zero"):
            client.upsert("documents", [empty_row])  # the engine panics
        assert len(store.search(QUERY, top_k=5)) == 3
    capfd.readouterr()  # the engine's own words about it
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(EngineError, match=r"the folder .*file cannot be made"):
        EdgeProcess(file)


class OfTwoParts(Exception):
    """Goes into a pickle, and does not come out again."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def test_an_error_that_cannot_travel_is_told_of() -> None:
    failure, answer = pickle.loads(edge_process._failed(OfTwoParts("no", "way")))
    assert answer is None
    assert isinstance(failure, EngineError)
    assert str(failure) == "OfTwoParts: no way"


def test_after_it_was_closed(tmp_path: Path) -> None:
    store = opened(tmp_path)
    process = process_of(store)
    store.close()
    assert process.returncode == 0
    store.close()
    with pytest.raises(EngineError, match=r"has been closed\. Open it again"):
        store.count()


def test_whoever_forgets_to_close_it(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.upsert(points(3))
    process = process_of(store)
    del store
    gc.collect()
    assert process.returncode == 0
    with EdgeStore(tmp_path) as again:
        again.bind(IDENTITY)
        assert again.count() == 3


def test_when_the_process_is_killed(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.upsert(points(30))
    process_of(store).kill()
    for _ in range(2):
        with pytest.raises(EngineError, match=r"has ended \(exit code -9\).*Open the folder again"):
            store.count()
    store.close()
    with opened(tmp_path) as again:
        assert again.count() == 30


SCRIPT = """
import atexit, os, signal, sys, threading, time
from enum import Enum
from pathlib import Path
from qdrant_client.models import Distance, PointStruct, VectorParams
from jacolbert_integrations.qdrant import EdgeProcess

def opened(path=sys.argv[1]):
    client = EdgeProcess(path)
    client.create_collection("documents", {"colbert": VectorParams(size=2, distance=Distance.DOT)})
    client.upsert("documents", [PointStruct(id=1, vector={"colbert": [1.0, 0.0]}, payload={})])
    return client
"""


def run(folder: Path, code: str, returncode: int = 0, **options: Any) -> list[str]:
    """The lines that a script prints, which says nothing else."""
    # Python 3.12 warns of any fork beside a thread.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", SCRIPT + code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, **options)
    assert (done.returncode, done.stderr) == (returncode, "")
    lines: list[str] = done.stdout.splitlines()
    return lines


def assert_let_go(pid: int, folder: Path) -> None:
    with_end = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}").exists() and time.monotonic() < with_end:
        time.sleep(0.05)
    with EdgeClient(folder) as again:
        assert again.count("documents").count == 1


def test_it_ends_with_who_asks(tmp_path: Path) -> None:
    """Killed, so that nothing could be said to it."""
    code = "print(opened()._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    (pid,) = run(tmp_path, code, -signal.SIGKILL)
    assert_let_go(int(pid), tmp_path)


def test_it_ends_with_who_asks_although_a_fork_lives(tmp_path: Path) -> None:
    code = """
client = opened()
if (child := os.fork()) == 0:
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    time.sleep(3600)
print(child, client._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    child, pid = map(int, run(tmp_path, code, -signal.SIGKILL)[0].split())
    try:
        assert_let_go(pid, tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_fork_has_none(tmp_path: Path) -> None:
    code = """
client = opened()
child = os.fork()
if child == 0:
    try:
        client.get_collections()
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    sys.exit()  # with all that is done at the end
os.waitpid(child, 0)
print(client.count("documents").count, flush=True)
child = os.fork()
if child == 0:
    signal.pause()
client.close()
print(client._process.returncode)
os.kill(child, signal.SIGKILL)
"""
    first, second, third = run(tmp_path, code)
    assert first.startswith("EngineError")
    assert "forked off. Open one of its own" in first
    assert (second, third) == ("1", "0")


def test_those_who_ask_at_the_end(tmp_path: Path) -> None:
    code = """
client = opened()
def late():
    threading.main_thread().join()
    print(client.count("documents").count, flush=True)
threading.Thread(target=late).start()
atexit.register(lambda: (print(client.count("documents").count), client.close(), print(client._process.returncode)))
"""
    assert run(tmp_path, code) == ["1", "1", "0"]
    assert run(tmp_path / "forgotten", "client = opened(sys.argv[1]); sys.exit(3)", 3) == []


def test_signals_to_the_whole_group_are_for_who_asks(tmp_path: Path) -> None:
    code = """
client = opened()
def finish(*_):
    print(client.count("documents").count, flush=True)
    client.close()
    sys.exit(5)
signal.signal(signal.SIGTERM, finish)
os.killpg(0, signal.SIGTERM)
time.sleep(3600)
"""
    assert run(tmp_path, code, 5, start_new_session=True) == ["1"]


def test_values_that_the_other_process_cannot_read(tmp_path: Path) -> None:
    code = """
class Kind(str, Enum):
    A = "a"
client = opened()
try:
    client.set_payload("documents", {"kind": Kind.A}, [1])
except Exception as error:
    print(type(error).__name__, error)
print(client.count("documents").count)
"""
    first, second = run(tmp_path, code)
    assert first.startswith("InputError what was given cannot be read by another process")
    assert first.endswith("Give plain values.")
    assert second == "1"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="before, no option kept Python from looking there")
def test_modules_are_looked_for_where_this_process_looks(tmp_path: Path) -> None:
    (tmp_path / "qdrant_edge.py").write_text("raise ImportError")
    command = [sys.executable, "-P", "-c", SCRIPT + "opened()", "folder"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_where_python_looks_for_modules_can_be_nowhere(tmp_path: Path) -> None:
    code = """
sys.path = [Path("elsewhere"), *sys.path, ""]
os.chdir(gone := sys.argv[1] + "-gone")
os.rmdir(gone)
print(opened().count("documents").count)
"""
    (tmp_path / "folder-gone").mkdir()
    assert run(tmp_path / "folder", code) == ["1"]


def test_a_file_beside_the_script_may_be_called_as_what_python_starts_with(tmp_path: Path) -> None:
    (tmp_path / "encodings.py").write_text("raise ImportError")
    script = tmp_path / "application.py"
    script.write_text(SCRIPT + "opened()")
    command = [sys.executable, str(script), str(tmp_path / "folder")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_what_is_printed_at_the_start_is_no_answer(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('Welcome to this Python.', flush=True)")
    code = """
try:
    opened()
except Exception as error:
    print(type(error).__name__, error)
"""
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    _, line = run(tmp_path / "folder", code, env=environment)
    assert line.startswith("EngineError")
    assert "began with b'Welcome to this" in line
    assert "Have it print to stderr" in line


def test_without_a_python_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for program, reason in ((None, "does not know its own program"), (str(tmp_path / "none"), "No such file")):
        monkeypatch.setattr(sys, "executable", program)
        with pytest.raises(EngineError, match=reason):
            EdgeProcess(tmp_path / "folder")


def test_half_an_answer_is_not_taken_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(tmp_path)
    store.upsert(points(5))
    with monkeypatch.context() as patch:
        patch.setattr(edge_process, "_receive", no_memory)
        with pytest.raises(EngineError, match=r"has ended \(exit code -9\)") as caught:
            store.count()
    assert isinstance(caught.value.__cause__, MemoryError)
    with pytest.raises(EngineError, match="has ended"):
        store.count()
    store.close()
    with opened(tmp_path) as again:
        assert again.count() == 5


def no_memory(_: object) -> bytes:
    raise MemoryError


class Stopped:
    """Halts the other process, so that it does not answer until it is let go on."""

    def __init__(self, store: QdrantStore) -> None:
        self._pid = process_of(store).pid

    def __enter__(self) -> Stopped:
        os.kill(self._pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self._pid, os.WSTOPPED)
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on()

    def go_on(self) -> None:
        os.kill(self._pid, signal.SIGCONT)


@contextmanager
def interrupted_answer() -> Iterator[None]:
    """Presses Ctrl-C once, when this thread waits for an answer, however long it takes to come there."""
    interrupted = False

    def interrupt(_: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        while frame is not None and frame.f_code is not edge_process._answer.__code__:
            frame = frame.f_back
        if frame is not None and not interrupted:
            interrupted = True
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_ctrl_c_while_waiting_for_an_answer(tmp_path: Path) -> None:
    """The answer that nobody waits for any more is not taken for the next one's."""
    with opened(tmp_path) as store:
        store.upsert(points(5))
        with Stopped(store) as stopped:
            with interrupted_answer(), pytest.raises(KeyboardInterrupt):
                store.client.count("documents")
            stopped.go_on()
            assert store.client.get_collections().collections[0].name == "documents"
        process_of(store).send_signal(signal.SIGINT)  # a terminal sends it to both
        assert store.count() == 5


def test_other_threads_go_on(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.upsert(points(5))
        counts: list[int] = []
        threads = [threading.Thread(target=lambda: counts.append(store.count())) for _ in range(4)]
        with Stopped(store):
            for thread in threads:
                thread.start()
            time.sleep(0.1)
            assert counts == []
        for thread in threads:
            thread.join(PATIENCE)
        assert counts == [5] * 4


WAYS: dict[str, Callable[[JaColBERTVectorStore], Awaitable[Any]]] = {
    "store.aquery": lambda store: store.aquery(VectorStoreQuery(query_str="猫は何を食べますか。")),
    "store.async_add": lambda store: store.async_add([TextNode(text="犬は走る。")]),
    "store.aget_nodes": lambda store: store.aget_nodes(["cat"]),
    "store.adelete_nodes": lambda store: store.adelete_nodes(["cat"]),
    "query engine": lambda store: store.as_index().as_query_engine(llm=MockLLM()).aquery("猫は何を食べますか。"),
}


@pytest.fixture(scope="module")
def folder(mini: JaColBERT, tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = str(tmp_path_factory.mktemp("nodes"))
    with JaColBERTVectorStore(mini, location=place, own_process=True) as store:
        yield store


@pytest.mark.parametrize("way", WAYS)
def test_the_event_loop_is_free_while_the_engine_works(way: str, folder: JaColBERTVectorStore) -> None:
    folder.add([TextNode(id_="cat", text="猫は魚や肉を食べる。")])
    assert isinstance(folder.store, QdrantStore)

    async def run(stopped: Stopped) -> Any:
        asked = asyncio.ensure_future(WAYS[way](folder))
        for _ in range(30):  # where the loop stood still, nobody would let the engine go on
            await asyncio.sleep(0.01)
        assert not asked.done()
        stopped.go_on()
        return await asked

    with Stopped(folder.store) as stopped:
        asyncio.run(run(stopped))


def test_only_a_folder_has_one(mini: JaColBERT, tmp_path: Path) -> None:
    for place in (":memory:", "http://localhost:6333"):
        with pytest.raises(InputError, match=r"own_process is for Qdrant Edge, .* leave own_process out"):
            JaColBERTVectorStore(mini, location=place, own_process=True)
        with pytest.raises(InputError, match="own_process is for Qdrant Edge"):
            open_store(place, "documents", own_process=True)
    with EdgeStore(tmp_path) as store, pytest.raises(InputError, match=r"Give it EdgeStore\(own_process=True\)"):
        JaColBERTVectorStore(mini, store, own_process=True)
