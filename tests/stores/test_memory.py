"""Saving and opening the memory store."""

from __future__ import annotations

import json
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


def test_a_round_trip(filled: MemoryStore, tmp_path: Path) -> None:
    filled.save(tmp_path / "store")
    opened = MemoryStore.open(tmp_path / "store")
    opened.bind(IDENTITY)
    assert opened.search(QUERY, top_k=9) == filled.search(QUERY, top_k=9)
    assert repr(opened) == "MemoryStore(9 points)"
    opened.upsert([Point("new", vectors(50), {"深い": {"入れ子": [1, None, "値"]}})])
    opened.save(tmp_path / "store")
    again = MemoryStore.open(tmp_path / "store")
    again.bind(IDENTITY)
    assert again.get(["new"])["new"].payload == {"深い": {"入れ子": [1, None, "値"]}}
    assert sorted(p.suffix for p in (tmp_path / "store").iterdir()) == [".json", ".safetensors"]


def test_an_empty_store_round_trips(tmp_path: Path) -> None:
    store = MemoryStore()
    store.bind(IDENTITY)
    store.save(tmp_path)
    opened = MemoryStore.open(tmp_path)
    opened.bind(IDENTITY)
    assert opened.search(Query(vectors(1)), top_k=3) == []


def test_a_crash_while_saving_leaves_the_old_store(
    filled: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.save(tmp_path)
    filled.upsert([Point("new", vectors(50))])

    def crash(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(OSError, match="disk full"):
        filled.save(tmp_path)
    monkeypatch.undo()
    opened = MemoryStore.open(tmp_path)
    opened.bind(IDENTITY)
    assert opened.count() == 9


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
    good = json.loads(index.read_text(encoding="utf-8"))
    for broken, message in [
        ("{", "is no valid JSON"),
        ("[]", "is none of a jacolbert-memory-store"),
        (json.dumps(good | {"version": 9}), "has the version 9; this release reads 1"),
        (json.dumps({k: v for k, v in good.items() if k != "points"}), "lacks points"),
        (json.dumps(good | {"model": {"name": "x"}}), "incomplete record of its model"),
        (json.dumps(good | {"points": good["points"][:-1]}), "The two are not of the same save"),
    ]:
        index.write_text(broken, encoding="utf-8")
        with pytest.raises(StoreFileError, match=message):
            MemoryStore.open(tmp_path)
    index.write_text(json.dumps(good), encoding="utf-8")
    weights.write_bytes(weights.read_bytes()[:-20])
    with pytest.raises(StoreFileError, match="cannot be read"):
        MemoryStore.open(tmp_path)


def test_ties_are_ranked_by_id_even_at_the_cut(filled: MemoryStore) -> None:
    same = vectors(5)
    filled.upsert([Point(name, same) for name in ("d", "b", "a", "c")])
    hits = filled.search(Query(same), top_k=3)
    assert [hit.id for hit in hits] == ["a", "b", "c"]
    np.testing.assert_allclose([hit.score for hit in hits], 5, atol=1e-5)
