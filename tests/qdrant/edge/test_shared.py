"""A folder of Qdrant Edge that several clients, threads and processes have in hand."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from qdrant_client import QdrantClient, models

from jacolbert_integrations import JaColBERT, Point, QdrantStore
from jacolbert_integrations.encoding import computing
from jacolbert_integrations.errors import EngineError, InputError
from jacolbert_integrations.qdrant import EdgeClient, EdgeStore, Lexical, move_alias
from jacolbert_integrations.stores.addresses import check_collection_name

from ...stores.samples import FLOAT32, IDENTITY, QUERY, vectors


def filled(client: Any, name: str = "docs") -> QdrantStore:
    store = QdrantStore(client, name, vector_options=FLOAT32)
    store.bind(IDENTITY)
    store.upsert([Point("a", vectors(1))])
    return store


def test_aliases_moved_by_four_clients_at_once(tmp_path: Path) -> None:
    with EdgeClient(tmp_path) as first:
        filled(first)
    clients = [EdgeClient(tmp_path) for _ in range(4)]

    def move(number: int) -> None:
        for i in range(20):
            move_alias(clients[number], f"alias-{number}-{i}", "docs")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(move, range(4)))
    assert len(clients[0].get_aliases().aliases) == 80
    assert all(client.get_aliases() == clients[0].get_aliases() for client in clients)
    for client in clients:
        client.close()
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")) == [
        "aliases.json",
        "docs",
    ]


@pytest.mark.parametrize("first_stage", [None, Lexical()], ids=["exact", "lexical"])
def test_sixteen_threads_that_write_first(tmp_path: Path, first_stage: Lexical | None) -> None:
    with EdgeClient(tmp_path) as client:
        together = threading.Barrier(16)

        def write(number: int) -> int:
            store = QdrantStore(client, "new", first_stage=first_stage, vector_options=FLOAT32)
            store.bind(IDENTITY)
            together.wait()
            return store.upsert([Point(f"{number}-{i}", vectors(i), {}, "猫の話") for i in range(3)])

        with ThreadPoolExecutor(16) as pool:
            assert sum(pool.map(write, range(16))) == 48
        store = QdrantStore(client, "new")
        store.bind(IDENTITY)
        assert store.count() == 48


@pytest.fixture(params=["edge", "local"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    opened: Any = EdgeClient(tmp_path) if request.param == "edge" else QdrantClient(":memory:")
    yield opened
    opened.close()


def test_what_qdrant_refuses_of_aliases(tmp_path: Path) -> None:
    with EdgeClient(tmp_path) as client:
        filled(client)
        filled(client, "new")
        move_alias(client, "live", "docs")
        with pytest.raises(EngineError, match="a collection 'docs', which an alias of that name would hide"):
            client.update_collection_aliases([
                models.CreateAliasOperation(
                    create_alias=models.CreateAlias(collection_name="new", alias_name="docs")
                )
            ])  # fmt: skip
        rename = models.RenameAlias(old_alias_name="live", new_alias_name="new")
        with pytest.raises(EngineError, match="would hide"):
            client.update_collection_aliases([models.RenameAliasOperation(rename_alias=rename)])
        missing = models.RenameAlias(old_alias_name="none", new_alias_name="other")
        with pytest.raises(EngineError, match="no alias 'none'"):
            client.update_collection_aliases([models.RenameAliasOperation(rename_alias=missing)])
        with pytest.raises(EngineError, match="'live' is an alias of 'docs'"):
            client.delete_collection("live")
        assert {a.alias_name: a.collection_name for a in client.get_aliases().aliases} == {"live": "docs"}
        assert client.count("live").count == 1
        assert client.delete_collection("docs")
        assert client.get_aliases().aliases == []
        assert not client.delete_collection("docs")


@pytest.mark.parametrize(
    "damaged",
    ["[]", "null", "{", "\x00", '{"live": 5}', '{"live": [1]}', '{"live": "../../etc"}', '{"": "docs"}', "[" * 5000],
)
def test_damaged_aliases(tmp_path: Path, damaged: str) -> None:
    with EdgeClient(tmp_path) as client:
        filled(client)
    (tmp_path / "aliases.json").write_text(damaged, encoding="utf-8")
    with EdgeClient(tmp_path) as client:
        for act in (lambda: client.count("docs"), client.get_aliases, lambda: move_alias(client, "live", "docs")):
            with pytest.raises(EngineError, match=r"aliases\.json is damaged"):
                act()
        assert (tmp_path / "aliases.json").read_text(encoding="utf-8") == damaged


NAMES: list[Any] = [
    "", ".", "..", " ", "a/b", "a\\b", "a:b", 'a"b', "a*", "a?", "a|b", "<a>", "a\nb", "\x1b[31m", "a\0", "\ud800",
    "a" * 256, "あ" * 86, None, 5, b"a",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_of_collections(client: Any, name: Any) -> None:
    with pytest.raises(InputError, match="no name of a collection"):
        QdrantStore(client, name)
    with pytest.raises(InputError):
        check_collection_name(name)


@pytest.mark.parametrize("name", ["docs", "記事", "社内 規程", "a.b", "あ" * 85, "-", "..a"])
def test_other_names(client: Any, name: str) -> None:
    if name.startswith(".") and isinstance(client, EdgeClient):
        with pytest.raises(InputError, match="this folder's own files"):
            filled(client, name)
    else:
        assert filled(client, name).count() == 1


@pytest.mark.parametrize("name", ["aliases.json", "aliases.json.new", ".unfinished-a", ".aliases.lock"])
def test_names_of_the_folders_own_files(tmp_path: Path, name: str) -> None:
    with EdgeStore(tmp_path, name) as store, pytest.raises(InputError, match="this folder's own files"):
        store.bind(IDENTITY)


def test_what_killed_work_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    for name in (".unfinished-old", ".unfinished-young"):
        (tmp_path / name / "shard").mkdir(parents=True)
    (tmp_path / ".unfinished-file-aliases.json").write_text("{", encoding="utf-8")
    for name in (".unfinished-old", ".unfinished-file-aliases.json"):
        os.utime(tmp_path / name, (0, 0))
    EdgeClient(tmp_path).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".unfinished-young"]


def in_a_fork(act: Callable[[], Any]) -> str:
    """What an action raises in a process that is forked off this one."""
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    def run() -> None:
        try:
            answers.put(f"no error: {act()}")
        except BaseException as error:
            answers.put(f"{type(error).__name__}: {error}")

    process = context.Process(target=run)
    process.start()
    answer = answers.get()
    process.join()
    return str(answer)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_fork_is_told_to_open_its_own(tmp_path: Path) -> None:
    with EdgeClient(tmp_path) as client:
        store = filled(client)
        told = in_a_fork(store.count)
        assert told.startswith("EngineError: EdgeClient(")
        assert "forked off. Open one of its own" in told
        assert in_a_fork(client.close) == "no error: None"
        assert store.count() == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_fork_is_told_that_the_model_would_hang(mini: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computing, "_computed_in", os.getpid())

    def encode() -> int:
        return len(mini.encode_query(["猫"]))

    def on_several() -> int:
        torch.set_num_threads(2)
        return encode()

    assert "WorkerError: this process was forked off one in which a model had already computed" in in_a_fork(on_several)
    assert in_a_fork(encode) == "no error: 1"  # on one thread, as the tests compute
    assert encode() == 1


def test_damaged_records(tmp_path: Path) -> None:
    with EdgeClient(tmp_path) as client:
        filled(client)
    file = tmp_path / "docs" / "collection.json"
    whole = file.read_text(encoding="utf-8")
    for damaged in ("[]", "null", "{}", "{", "5", '{"params": 3}', json.dumps({**json.loads(whole), "params": {}})):
        file.write_text(damaged, encoding="utf-8")
        with EdgeClient(tmp_path) as client, pytest.raises(EngineError, match=r"collection\.json"):
            client.get_collection("docs")
    file.write_text(whole, encoding="utf-8")
    with EdgeClient(tmp_path) as client:
        assert client.count("docs").count == 1


def test_every_write_wants_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EdgeClient(tmp_path) as client:
        store = filled(client)
        real = shutil.disk_usage
        monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=1 << 20))
        for act in (
            lambda: store.update_payload({"n": 1}, ids=["a"]),
            lambda: store.delete(["a"]),
            lambda: store.upsert([Point("b", vectors(2))]),
            lambda: client.create_payload_index("docs", "n", models.PayloadSchemaType.KEYWORD),
            lambda: filled(client, "new"),
            store.optimize,
        ):
            with pytest.raises(EngineError, match="MiB left on its disk"):
                act()
        assert [(hit.id, hit.payload) for hit in store.search(QUERY, top_k=3)] == [("a", {})]
        assert not client.collection_exists("new")
