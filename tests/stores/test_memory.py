"""Saving and opening the memory store."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from jacolbert_integrations import MemoryStore, Point, Query
from jacolbert_integrations.errors import StoreFileError, StoreNotBoundError

from .samples import IDENTITY, QUERY, points, vectors


@pytest.fixture
def filled() -> MemoryStore:
    store = MemoryStore()
    store.bind(IDENTITY)
    store.upsert(points(9))
    return store


def opened(folder: Path) -> MemoryStore:
    store = MemoryStore.open(folder)
    store.bind(IDENTITY)
    return store


def test_no_flipped_bit_gets_through(filled: MemoryStore, tmp_path: Path) -> None:
    filled.save(tmp_path)
    chance = random.Random(0)
    for file in (tmp_path / "store.json", next(tmp_path.glob("*.safetensors"))):
        good = file.read_bytes()
        for position in chance.sample(range(len(good)), 60):
            file.write_bytes(
                good[:position] + bytes([good[position] ^ 1 << chance.randrange(8)]) + good[position + 1 :]
            )
            with pytest.raises(StoreFileError):
                MemoryStore.open(tmp_path)
        file.write_bytes(good)
    assert opened(tmp_path).count() == 9


def test_several_save_to_one_folder(filled: MemoryStore, tmp_path: Path) -> None:
    stores = []
    for size in (3, 5, 9, 20):
        store = MemoryStore()
        store.bind(IDENTITY)
        store.upsert(points(size))
        stores.append(store)

    def save(store: MemoryStore) -> set[int]:
        seen = set()
        for _ in range(12):
            store.save(tmp_path)
            seen.add(opened(tmp_path).count())
        return seen

    with ThreadPoolExecutor(4) as pool:
        assert set().union(*pool.map(save, stores)) <= {3, 5, 9, 20}
    left = [path.name for path in tmp_path.iterdir()]
    assert len([name for name in left if name.endswith(".safetensors")]) == 1
    assert not [name for name in left if name.startswith(".unfinished-")]


def test_a_read_only_folder_is_read(filled: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled.save(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr("filelock.BaseFileLock.acquire", refuse)
    assert opened(tmp_path).count() == 9


def test_a_round_trip(filled: MemoryStore, tmp_path: Path) -> None:
    filled.save(tmp_path / "store")
    again = opened(tmp_path / "store")
    assert again.search(QUERY, top_k=9) == filled.search(QUERY, top_k=9)
    assert repr(again) == "MemoryStore(9 points)"
    again.upsert([Point("new", vectors(50), {"深い": {"入れ子": [1, None, "値"]}})])
    again.save(tmp_path / "store")
    again = opened(tmp_path / "store")
    assert again.get(["new"])["new"].payload == {"深い": {"入れ子": [1, None, "値"]}}
    left = {p.suffix for p in (tmp_path / "store").iterdir() if p.name != ".store.lock"}
    assert left == {".json", ".safetensors"}


def test_an_empty_store_round_trips(tmp_path: Path) -> None:
    store = MemoryStore()
    store.bind(IDENTITY)
    store.save(tmp_path)
    assert opened(tmp_path).search(Query(vectors(1)), top_k=3) == []


def test_a_crash_while_saving_leaves_the_old_store(
    filled: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.save(tmp_path)
    filled.upsert([Point("new", vectors(50))])

    def crash(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(StoreFileError, match=r"could not be written \(disk full\); what was saved before is as it was"):
        filled.save(tmp_path)
    monkeypatch.undo()
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    assert not list(tmp_path.glob(".unfinished-*"))
    assert opened(tmp_path).count() == 9


def test_nobody_else_can_change_what_is_stored(filled: MemoryStore) -> None:
    own, tags = vectors(1), ["a"]
    filled.upsert([Point("mine", own, {"tags": tags})])
    before = filled.search(Query(vectors(1)), top_k=1)[0]
    own *= -1
    tags.append("b")
    before.payload["tags"].append("c")
    filled.get(["mine"])["mine"].payload["tags"].append("d")
    after = filled.search(Query(vectors(1)), top_k=1)[0]
    assert (after.id, after.score, after.payload) == ("mine", before.score, {"tags": ["a"]})
    with pytest.raises(ValueError, match="read-only"):
        filled.get(["mine"])["mine"].vectors[0] = 0
    with pytest.raises(StoreNotBoundError):
        MemoryStore().save(Path("unused"))


def test_broken_files(filled: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(StoreFileError, match=r"there is no store\.json"):
        MemoryStore.open(tmp_path)
    filled.save(tmp_path)
    index, weights = tmp_path / "store.json", next(tmp_path.glob("*.safetensors"))
    whole = json.loads(index.read_text(encoding="utf-8"))
    good = {key: value for key, value in whole.items() if "sha256" not in key}  # as earlier versions wrote it
    for broken, message in [
        ("{", "is no valid JSON"),
        ("[]", "is none of a jacolbert-memory-store"),
        (json.dumps(good | {"version": 9}), "has the version 9; this release reads 1"),
        (json.dumps({k: v for k, v in good.items() if k != "points"}), "lacks points"),
        (json.dumps(good | {"model": {"name": "x"}}), "incomplete record of its model"),
        (json.dumps(good | {"points": good["points"][:-1]}), "The two are not of the same save"),
        ("null", "is none of a jacolbert-memory-store"),
        ("[" * 9_000, "is no valid JSON"),
        (json.dumps(whole | {"points": []}), "is damaged"),
        (json.dumps(good | {"model": None}), "is damaged"),
        (json.dumps(good | {"points": {}}), "is damaged"),
        (json.dumps(good | {"points": [{"id": "a", "tokens": "1", "payload": {}}]}), "is damaged"),
        (json.dumps(good | {"points": [{"id": "a", "tokens": -1, "payload": {}}]}), "is damaged"),
        (json.dumps(good | {"points": [{"id": None, "tokens": 1, "payload": {}}]}), "is damaged"),
        (json.dumps(good | {"points": [{"id": "a", "tokens": 1, "payload": None}]}), "is damaged"),
        (json.dumps(good | {"vectors": "../elsewhere.safetensors"}), "is damaged"),
        (json.dumps(good | {"vectors": 5}), "is damaged"),
    ]:
        index.write_text(broken, encoding="utf-8")
        with pytest.raises(StoreFileError, match=message):
            MemoryStore.open(tmp_path)
    index.write_text(json.dumps(good), encoding="utf-8")
    assert len(list(opened(tmp_path).points())) == 9
    weights.write_bytes(weights.read_bytes()[:-20])
    with pytest.raises(StoreFileError, match="cannot be read"):
        MemoryStore.open(tmp_path)


def test_ties_are_ranked_by_id_even_at_the_cut(filled: MemoryStore) -> None:
    same = vectors(5)
    filled.upsert([Point(name, same) for name in ("d", "b", "a", "c")])
    hits = filled.search(Query(same), top_k=3)
    assert [hit.id for hit in hits] == ["a", "b", "c"]
    np.testing.assert_allclose([hit.score for hit in hits], 5, atol=1e-5)
