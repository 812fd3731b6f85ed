"""Export to one file and import from it: whole or not at all, and nothing damaged gets through."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException

from jacolbert_integrations import Condition, Filter, MemoryStore, MultiVectorStore, Point, QdrantStore
from jacolbert_integrations.errors import (
    InputError,
    ModelMismatchError,
    QueryLengthWarning,
    StoreError,
    StoreFileError,
    VectorError,
    WriteError,
)
from jacolbert_integrations.qdrant import Lexical
from jacolbert_integrations.stores.archive import (
    Archive,
    export_points,
    import_points,
    new_archive,
    payload_text,
    read_manifest,
)

from ..server import WAYS, opened
from .samples import DIMENSION, IDENTITY, IDS, QUERY, points, vectors

PART = 600  # bytes: some points a part


@pytest.fixture(params=["local", *WAYS])
def client(request: pytest.FixtureRequest) -> Iterator[QdrantClient]:
    if request.param in WAYS:
        with opened(request.param) as server:
            yield server
        return
    local = QdrantClient(":memory:")
    yield local
    local.close()


def filled(given: list[Point]) -> MemoryStore:
    store = MemoryStore()
    store.bind(IDENTITY)
    store.upsert(given)
    return store


def write(path: Path, given: list[Point]) -> None:
    with new_archive(path, IDENTITY) as archive:
        for point in given:
            archive.add(point)


def content(store: MultiVectorStore) -> dict[str, tuple[bytes, Any]]:
    return {point.id: (point.vectors.tobytes(), point.payload) for point in store.points()}


STRANGE: dict[str, Any] = {
    "text": "改行\n\u2028と\x85\0", "深い": {"入れ子": [1, None, 1.5, True, 2**63 - 1]}, "tiny": 5e-324,
}  # fmt: skip


def test_from_store_to_store_and_back(client: QdrantClient, tmp_path: Path) -> None:
    first = filled(points(40))
    manifest = export_points(first, tmp_path / "new" / "first.zip", part_size=PART)
    assert (manifest.points, manifest.tokens) == (40, sum(1 + i % 7 for i in range(40)))
    assert len(manifest.parts) > 5
    assert read_manifest(tmp_path / "new" / "first.zip") == manifest
    qdrant = QdrantStore(client, "documents")
    result = import_points(tmp_path / "new" / "first.zip", qdrant)
    assert (result.written, str(result)) == (40, "40 of 40 points written")
    assert qdrant.search(QUERY, top_k=40)[0].id == first.search(QUERY, top_k=1)[0].id
    again = QdrantStore(client, "documents")  # not bound: it knows its model by itself
    assert export_points(again, tmp_path / "second.zip").points == 40
    last = MemoryStore()
    import_points(tmp_path / "second.zip", last)
    assert content(last) == content(first)
    assert last.search(QUERY, top_k=40) == first.search(QUERY, top_k=40)
    assert last.identity() == IDENTITY
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "second.zip"]


def test_what_json_lines_and_ids_can_hold(tmp_path: Path) -> None:
    given = [Point(point_id, vectors(i), STRANGE) for i, point_id in enumerate([*IDS, "\n", "\u2028"])]
    store, last = filled(given), MemoryStore()
    export_points(store, tmp_path / "a.zip", part_size=PART)
    import_points(tmp_path / "a.zip", last)
    assert content(last) == content(store)
    with zipfile.ZipFile(tmp_path / "a.zip") as zipped:  # any program can read it
        assert zipped.testzip() is None
        assert json.loads(zipped.read("part-00000.jsonl").splitlines()[0])["payload"] == STRANGE


def test_the_same_points_make_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        export_points(filled(points(9)), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_float16_halves_the_vectors(tmp_path: Path) -> None:
    store, last = filled(points(30)), MemoryStore()
    export_points(store, tmp_path / "32")
    assert export_points(store, tmp_path / "16", dtype="float16").dtype == "float16"
    tokens = sum(1 + i % 7 for i in range(30))
    saved = (tmp_path / "32").stat().st_size - (tmp_path / "16").stat().st_size
    assert abs(saved - tokens * DIMENSION * 2) < 20
    import_points(tmp_path / "16", last)
    for point in last.points():
        expected = store.get([point.id])[point.id].vectors
        assert np.array_equal(point.vectors, expected.astype(np.float16).astype(np.float32))
    for value in (1e5, 1e-9):  # infinity and zero, as float16
        store.upsert([Point("bad", np.full((1, DIMENSION), value, np.float32))])
        with pytest.raises(VectorError, match=r"point 'bad': row 0 .* That is so as float16: write float32"):
            export_points(store, tmp_path / "16", dtype="float16")
    assert read_manifest(tmp_path / "16").points == 30


def test_a_filter_exports_some(tmp_path: Path) -> None:
    manifest = export_points(filled(points(9)), tmp_path / "a", filter=Filter([Condition("parity", "==", "odd")]))
    assert manifest.points == 4


def test_an_empty_store_can_be_exported(tmp_path: Path) -> None:
    manifest, store = export_points(filled([]), tmp_path / "a"), MemoryStore()
    assert (manifest.points, manifest.parts) == (0, ())
    assert import_points(tmp_path / "a", store).written == 0
    assert store.identity() == IDENTITY


def test_bad_arguments(client: QdrantClient, tmp_path: Path) -> None:
    for store in (MemoryStore(), QdrantStore(client, "no such collection")):
        with pytest.raises(InputError, match="does not exist yet, so there is nothing to export"):
            export_points(store, tmp_path / "a")
    with pytest.raises(InputError, match="dtype is 'int8', but vectors are kept as 'float32' or 'float16'"):
        export_points(filled([]), tmp_path / "a", dtype="int8")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="part_size is 0"):
        export_points(filled([]), tmp_path / "a", part_size=0)
    with pytest.raises(StoreFileError, match="is a directory, so no archive can be written there"):
        export_points(filled([]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_what_a_store_takes_gets_into_an_archive(tmp_path: Path) -> None:
    for bad, message in [
        (Point("", vectors(1)), "an id is a non-empty string"),
        (Point("bad", np.empty((0, DIMENSION), np.float32)), r"point 'bad': expected the shape"),
        (Point("bad", vectors(1), {"n": float("nan")}), "point 'bad' has a payload that is not JSON-serialisable"),
        (Point("0", vectors(1)), "have the same id"),
    ]:
        with pytest.raises((InputError, StoreFileError), match=message):
            write(tmp_path / "a", [Point("0", vectors(0)), bad])
    assert list(tmp_path.iterdir()) == []


# The target


def test_another_model_is_refused_before_anything_is_written(client: QdrantClient, tmp_path: Path) -> None:
    export_points(filled(points(3)), tmp_path / "a")
    other = replace(IDENTITY, fingerprint="0" * 64)
    for store in (MemoryStore(), QdrantStore(client, "bound, not made"), QdrantStore(client, "made")):
        store.bind(other)
        if repr(store) == "QdrantStore('made')":
            store.upsert([Point("there", vectors(1))])
        before = store.count()
        with pytest.raises(ModelMismatchError, match="was made by the model 'made-up'"):
            import_points(tmp_path / "a", store)
        assert store.count() == before


def test_another_query_rule_is_pointed_out(tmp_path: Path) -> None:
    export_points(filled(points(3)), tmp_path / "a")
    store = MemoryStore()
    store.bind(replace(IDENTITY, query_length="fixed"))
    with pytest.warns(QueryLengthWarning, match="'fixed', and the model now uses 'released'"):
        import_points(tmp_path / "a", store)
    assert store.count() == 3


def test_what_was_there_stays_and_the_same_ids_are_replaced(tmp_path: Path) -> None:
    export_points(filled(points(3)), tmp_path / "a")
    store = filled([Point("mine", vectors(70)), Point("文書 1", vectors(71), {"old": True})])
    for _ in range(2):
        assert import_points(tmp_path / "a", store).written == 3
        assert store.count() == 4
        assert store.get(["文書 1"])["文書 1"].payload == {"n": 1, "parity": "odd"}


def test_a_lexical_first_stage_gets_its_text_from_the_payload(client: QdrantClient, tmp_path: Path) -> None:
    given = [Point(str(i), vectors(i), {"text": f"京都の寺 {i}", "n": i}) for i in range(20)]
    export_points(filled([*given, Point("untold", vectors(50), {"body": "東京の塔", "text": 3})]), tmp_path / "a")
    store = QdrantStore(client, "documents", first_stage=Lexical())
    with pytest.raises(InputError, match="point 'untold' has no text, which the lexical first stage finds it by"):
        import_points(tmp_path / "a", store)
    assert not store.exists()
    import_points(tmp_path / "a", store, text=lambda payload: payload_text(payload) or payload["body"])
    assert [hit.id for hit in store.search_words("塔", top_k=3)] == ["untold"]


def test_text_that_is_in_the_archive_comes_first(client: QdrantClient, tmp_path: Path) -> None:
    write(tmp_path / "a", [Point("a", vectors(1), {"text": "別の話"}, "東京の塔")])
    store = QdrantStore(client, "documents", first_stage=Lexical())
    import_points(tmp_path / "a", store)
    assert [hit.id for hit in store.search(replace(QUERY, text="塔"), top_k=3)] == ["a"]


class Failing(MemoryStore):
    """Fails once, at the third part."""

    calls = 0

    def upsert(self, points: Any) -> int:
        self.calls += 1
        if self.calls == 3:
            raise ResponseHandlingException(ConnectionError("reset by peer"))
        return super().upsert(points)


def test_an_import_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    source, store = filled(points(40)), Failing()
    parts = export_points(source, tmp_path / "a", part_size=PART).parts
    with pytest.raises(WriteError, match=r"stopped: ResponseHandlingException: .*Import again") as caught:
        import_points(tmp_path / "a", store)
    acknowledged = parts[0].points + parts[1].points
    assert getattr(caught.value.result, "written", None) == acknowledged == store.count()
    assert import_points(tmp_path / "a", store).written == 40
    assert content(store) == content(source)


class Forgetful(MemoryStore):
    """Takes points, and loses some."""

    def upsert(self, points: Any) -> int:
        taken = super().upsert(points)
        self.delete(["文書 7"])
        return taken


def test_a_store_is_asked_for_what_it_took(tmp_path: Path) -> None:
    export_points(filled(points(9)), tmp_path / "a")
    with pytest.raises(WriteError, match="the store took 9 points, and lacks 1, such as '文書 7'"):
        import_points(tmp_path / "a", Forgetful())


# The source


class Lost(MemoryStore):
    """Its connection is lost, or it is, after some points."""

    error: type[Exception] | None = ConnectionError

    def points(self, *, filter: object | None = None, with_vectors: bool = True) -> Iterator[Point]:
        for place, point in enumerate(super().points(filter=filter, with_vectors=with_vectors)):
            if place == 5:
                if self.error is not None:
                    raise self.error("reset by peer")
                return
            yield point


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ConnectionError,
            r"Lost\(9 points\) could not be read: ConnectionError: reset by peer. The same call can",
        ),
        (None, r"says it has 9 points, and gave 5"),
    ],
)
def test_a_store_that_cannot_be_read_to_the_end(
    error: type[Exception] | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lost, "error", error)
    store = Lost()
    store.bind(IDENTITY)
    store.upsert(points(9))
    export_points(filled(points(3)), tmp_path / "a")
    with pytest.raises(StoreError, match=message):
        export_points(store, tmp_path / "a")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert read_manifest(tmp_path / "a").points == 3


class Unreachable(MemoryStore):
    """Nobody answers."""

    def count(self, *, filter: object | None = None) -> int:
        raise ConnectionError("refused")

    def identity(self) -> Any:
        raise ConnectionError("refused")


def test_a_store_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_points(filled(points(3)), tmp_path / "a")
    with pytest.raises(StoreError, match=r"could not be read: ConnectionError: refused. The same call"):
        import_points(tmp_path / "a", Unreachable())
    with pytest.raises(StoreError, match=r"could not be read: ConnectionError: refused. The same call"):
        export_points(Unreachable(), tmp_path / "b")
    monkeypatch.setattr(Unreachable, "identity", lambda self: IDENTITY)
    monkeypatch.setattr(Unreachable, "exists", lambda self: True)
    with pytest.raises(StoreError, match=r"could not be read: ConnectionError: refused. The same call"):
        export_points(Unreachable(), tmp_path / "b")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


# The disk


@contextmanager
def small_disk(bytes_left: int) -> Iterator[None]:
    """No file may grow beyond this; what is written past it fails, as on a full disk."""
    resource = pytest.importorskip("resource")  # Python ignores the signal that comes with it
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("part_size", [1_000, 1_000_000])  # fails in the middle, and at the end
@pytest.mark.parametrize("there", [False, True])
def test_a_disk_that_is_too_small(there: bool, part_size: int, tmp_path: Path) -> None:
    if there:
        export_points(filled(points(3)), tmp_path / "a")
    store = filled(points(500))
    with (
        small_disk(20_000),
        pytest.raises(StoreFileError, match=r"a could not be written: File too large\. .*Make room"),
    ):
        export_points(store, tmp_path / "a", part_size=part_size)
    assert [p.name for p in tmp_path.iterdir()] == ["a"] * there
    if there:
        assert import_points(tmp_path / "a", MemoryStore()).written == 3
    assert export_points(store, tmp_path / "a", part_size=part_size).points == 500


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "a.part").symlink_to("/dev/full")
    with pytest.raises(StoreFileError, match="a could not be written: No space left on device"):
        export_points(filled(points(9)), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs the permissions of POSIX")
def test_a_read_only_directory() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        export_points(filled(points(3)), folder / "a")
        (folder / "a").chmod(0o444)
        folder.chmod(0o555)
        with (
            nobody(),
            pytest.raises(StoreFileError, match="could not be written: Permission denied"),
        ):
            export_points(filled(points(9)), folder / "a")
        assert [p.name for p in folder.iterdir()] == ["a"]
        with nobody():  # it can be read all the same
            assert import_points(folder / "a", MemoryStore()).written == 3
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


@contextmanager
def nobody() -> Iterator[None]:
    """Gives up root's rights for a while, to which nothing is read-only."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_path_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(StoreFileError, match="could not be written: "):
        export_points(filled(points(3)), tmp_path / "file" / "a")
    assert (tmp_path / "file").read_text() == "a file"


def test_what_a_killed_export_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(b"half" * 100_000)
    export_points(filled(points(3)), tmp_path / "a")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert import_points(tmp_path / "a", MemoryStore()).written == 3


def test_what_cannot_be_read_back_takes_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_points(filled(points(3)), tmp_path / "a")
    before = (tmp_path / "a").read_bytes()
    real = os.fsync

    def lose(handle: int) -> None:
        real(handle)
        os.pwrite(handle, b"\0" * 64, 200)

    monkeypatch.setattr(os, "fsync", lose)
    with pytest.raises(StoreFileError, match=r"a\.part cannot be used"):
        export_points(filled(points(9)), tmp_path / "a")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", before)]


# Damage

SOURCE = points(7)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    path = tmp_path_factory.mktemp("archive") / "a.zip"
    first, *others = export_points(filled(SOURCE), path, part_size=160).parts
    assert (first.points, first.tokens, len(others)) == (2, 3, 5)
    return path, path.read_bytes()


def survives(path: Path, damaged: bytes) -> bool:
    """Whether it can be imported all the same, and then gives what was exported; else nothing was written."""
    other = path.with_name("damaged")
    other.write_bytes(damaged)
    store = MemoryStore()
    try:
        import_points(other, store)
    except StoreFileError:
        assert not store._points
        return False
    assert content(store) == content(filled(SOURCE))
    return True


@settings(max_examples=400)
@given(data=st.data())
def test_no_flipped_bits_get_through(archive: tuple[Path, bytes], data: st.DataObject) -> None:
    path, whole = archive
    damaged = bytearray(whole)
    places = data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4, unique=True))
    for place in places:
        damaged[place] ^= data.draw(st.integers(1, 255))
    survives(path, bytes(damaged))


@settings(max_examples=150)
@given(data=st.data())
def test_no_missing_bytes_get_through(archive: tuple[Path, bytes], data: st.DataObject) -> None:
    path, whole = archive
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(whole)), st.integers(0, len(whole)))))
    assert not survives(path, whole[:end]) or end == len(whole)
    survives(path, whole[:start] + whole[end:])
    survives(path, whole[:start] + data.draw(st.binary(max_size=30)) + whole[start:])


@settings(max_examples=100)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused(archive: tuple[Path, bytes], anything: bytes) -> None:
    assert not survives(archive[0], anything)


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None], **options: Any) -> Path:
    """A copy that a program has changed, with a sound zip around it."""
    with zipfile.ZipFile(path) as zipped:
        members = {name: zipped.read(name) for name in zipped.namelist()}
    change(members)
    with zipfile.ZipFile(path.with_name("rewritten"), "w", **options) as zipped:
        for name, value in members.items():
            zipped.writestr(name, value)
    return path.with_name("rewritten")


def edit(**values: Any) -> Callable[[dict[str, bytes]], None]:
    """Changes the manifest; the sound checksums stay."""

    def change(members: dict[str, bytes]) -> None:
        members["manifest.json"] = json.dumps(json.loads(members["manifest.json"]) | values).encode()

    return change


def forge(member: str, value: bytes) -> Callable[[dict[str, bytes]], None]:
    """Changes a part, and its checksum in the manifest."""

    def change(members: dict[str, bytes]) -> None:

        record = json.loads(members["manifest.json"])
        stem, _, kind = member.partition(".")
        record["parts"][int(stem[-5:])]["sha256"][kind] = hashlib.sha256(value).hexdigest()
        members.update({member: value, "manifest.json": json.dumps(record).encode()})

    return change


LINE = {"id": "a", "tokens": 1, "payload": {}}


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("manifest.json"), "is no export of points: there is no manifest.json"),
        (edit(format="other"), "its format is 'other'"),
        (edit(version=2), "has the version 2; this release reads 1"),
        (edit(points=6), "do not add up to its totals"),
        (edit(points="7"), "do not add up to its totals"),
        (edit(dtype="int8"), "manifest.json: a dtype or a part has another form"),
        (edit(parts=None), "because of manifest.json"),
        (edit(parts=[{"points": -1}]), "because of manifest.json"),
        (edit(model=None), "because of manifest.json"),
        (edit(model={"name": "x"}), "incomplete record of its model"),
        (edit(model=IDENTITY.to_dict() | {"dimension": 2**60}), r"not a float32 matrix 'vectors' of \(3, 115292"),
        (lambda m: m.update({"manifest.json": b"[]"}), "manifest.json: it is no JSON object"),
        (lambda m: m.update({"manifest.json": b"[" * 100_000}), "because of manifest.json"),
        (lambda m: m.pop("part-00001.jsonl"), "part-00001.jsonl: it is missing"),
        (lambda m: m.update({"../../outside": b"x"}), "because of ../../outside: no export writes such a file"),
        (lambda m: m.update({"part-00001.jsonl": b"x"}), "part-00001.jsonl: its checksum is not the one"),
        (forge("part-00000.safetensors", b"\xff" * 8 + b"{}"), "because of part-00000.safetensors"),
        (forge("part-00000.safetensors", b""), "because of part-00000.safetensors"),
        (forge("part-00000.jsonl", b""), "it has not the 2 lines"),
        (forge("part-00000.jsonl", lines(LINE, LINE)), "its points have 2 token vectors, and there are 3"),
        (forge("part-00000.jsonl", lines(LINE, LINE | {"tokens": 2})), "the points 0 and 1, .* have the same id"),
        (forge("part-00000.jsonl", lines(LINE, LINE | {"tokens": -1})), "jsonl, line 2: its id is no string"),
        (forge("part-00000.jsonl", lines(LINE, LINE | {"tokens": True})), "jsonl, line 2: its id is no string"),
        (forge("part-00000.jsonl", lines(LINE, LINE | {"id": 3})), "jsonl, line 2: its id is no string"),
        (forge("part-00000.jsonl", lines(LINE, LINE | {"payload": []})), "jsonl, line 2: its payload is no object"),
        (forge("part-00000.jsonl", lines(LINE, LINE | {"text": 1})), "jsonl, line 2: its payload is no object"),
        (forge("part-00000.jsonl", lines(LINE, {"id": "b"})), "jsonl, line 2: 'tokens'"),
        (forge("part-00000.jsonl", lines(LINE, 1)), "jsonl, line 2: it is no JSON object"),
    ],
)  # fmt: skip
def test_archives_that_no_export_wrote(
    archive: tuple[Path, bytes], change: Callable[[dict[str, bytes]], None], message: str
) -> None:
    store = MemoryStore()
    with pytest.raises(StoreFileError, match=message):
        import_points(rewrite(archive[0], change), store)
    assert not store._points


def test_sizes_are_not_believed(archive: tuple[Path, bytes]) -> None:
    bomb = rewrite(archive[0], lambda m: m.update({"zeros": b"\0" * 10_000_000}), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(StoreFileError, match="it is compressed, encrypted or there twice"):
        read_manifest(bomb)
    path, whole = archive
    directory = whole.index(b"PK\x01\x02")
    for field in (20, 24):  # the two sizes of the first file
        huge = bytearray(whole)
        huge[directory + field : directory + field + 4] = (2**31).to_bytes(4, "little")
        assert not survives(path, bytes(huge))


def test_no_file_at_all(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(StoreFileError, match="there is no file"):
            import_points(path, MemoryStore())


def test_an_archive_that_changes_between_check_and_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, source = tmp_path / "a", filled(points(400))
    export_points(source, path, part_size=20_000)
    whole, store, real = path.read_bytes(), MemoryStore(), MemoryStore.upsert

    def upsert(self: MemoryStore, points: Any) -> int:
        with path.open("r+b") as file:
            file.write(b"\0" * len(whole))
        return real(self, points)

    monkeypatch.setattr(MemoryStore, "upsert", upsert)
    with pytest.raises(WriteError, match=r"stopped: .* cannot be used, because of part-00001"):
        import_points(path, store)
    monkeypatch.undo()
    path.write_bytes(whole)
    assert import_points(path, store).written == 400
    assert content(store) == content(source)


def test_one_part_at_a_time(archive: tuple[Path, bytes]) -> None:
    with Archive(archive[0]) as opened:
        assert [len(part) for part in opened.parts()] == [part.points for part in opened.manifest.parts]
        assert opened.verify() == opened.manifest
