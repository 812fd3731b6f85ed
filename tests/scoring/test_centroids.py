"""Centroids: against all similarities written out, for any ragged shapes, and from damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from jacolbert_integrations.errors import CorruptCheckpointError, InputError, ModelMismatchError, VectorError
from jacolbert_integrations.scoring.centroids import Centroids
from jacolbert_integrations.types import ModelIdentity, TokenVectors

from .test_muvera import vectors


def some(count: int = 40, dimension: int = 8, groups: int = 4, seed: int = 0) -> Centroids:
    values = np.round(100 * vectors(seed, count, dimension)).astype(np.int8)
    return Centroids(values, [count // groups] * groups)


def test_by_hand() -> None:
    centroids = Centroids(np.array([[1, 0], [0, 1], [-1, 0], [0, -2]], np.int8), [2, 2], nprobe=2)
    assert centroids.vectors.tolist() == [[1, 0], [0, 1], [-1, 0], [0, -1]]
    document = np.array([[0.8, 0.6], [0.6, 0.8], [1, 0], [0, -1]], np.float32)
    assert centroids.nearest(document).tolist() == [0, 1, 0, 3]
    assert [own.tolist() for own in centroids.of_documents([document, document[:1]])] == [[0, 1, 3], [0]]
    query = np.array([[0.8, 0.6], [0.6, 0.8]], np.float32)
    similarities, numbers = centroids.most_similar(query, 3)
    assert numbers.tolist() == [[0, 1, 3], [1, 0, 2]]
    assert similarities == pytest.approx(np.array([[0.8, 0.6, -0.6], [0.8, 0.6, -0.6]]))
    numbers, weights = centroids.of_query(query, 2)  # each less the third, which is -.6
    assert numbers.tolist() == [0, 1]
    assert weights == pytest.approx([0.8 + 0.6 + 2 * 0.6] * 2)
    assert np.array_equal(centroids.of_query(query)[1], weights)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 99))
def test_the_nearest_of_all_where_all_groups_are_looked_into(lengths: list[int], seed: int) -> None:
    centroids = some()  # of fewer groups than are looked into
    documents = [vectors(seed + i, tokens, 8) for i, tokens in enumerate(lengths)]
    expected = [np.unique((each @ centroids.vectors.T).argmax(axis=1)).tolist() for each in documents]
    assert [own.tolist() for own in centroids.of_documents(documents)] == expected
    assert [centroids.of_documents([each])[0].tolist() for each in documents] == expected


@given(st.integers(1, 20), st.integers(1, 40), st.integers(0, 99))
def test_the_most_similar_in_order(tokens: int, count: int, seed: int) -> None:
    centroids, query = some(), vectors(seed, tokens, 8)
    similarities, numbers = centroids.most_similar(query, count)
    every = query @ centroids.vectors.T
    assert numbers.tolist() == np.argsort(-every, axis=1, kind="stable")[:, :count].tolist()
    assert similarities == pytest.approx(-np.sort(-every, axis=1)[:, :count])


def test_the_nearest_groups_hold_the_nearest() -> None:
    """In groups of similar ones, what is not looked into costs next to nothing."""
    middles = vectors(0, 64, 16)
    rows = np.repeat(middles, 20, axis=0) + 0.3 * vectors(1, 64 * 20, 16)
    centroids = Centroids(np.round(90 * rows).astype(np.int8), [20] * 64)
    asked = vectors(2, 5_000, 16)
    found, every = centroids.nearest(asked), asked @ centroids.vectors.T
    assert (found == every.argmax(axis=1)).mean() > 0.95
    assert (every.max(axis=1) - every[np.arange(5_000), found]).max() < 0.1


def test_nothing_of_nothing() -> None:
    assert some().of_documents([]) == []


def test_saved_and_loaded(tmp_path: Path) -> None:
    made = Centroids(some().values, some().groups, model="abc", nprobe=7)
    made.save(tmp_path / "centroids.safetensors")
    again = Centroids.load(tmp_path / "centroids.safetensors")
    assert (again.fingerprint, again.groups, again.model, again.nprobe) == (made.fingerprint, made.groups, "abc", 7)
    assert np.array_equal(again.values, made.values)
    assert again.fingerprint != some(seed=1).fingerprint
    assert [file.name for file in tmp_path.iterdir()] == ["centroids.safetensors"]
    assert repr(again) == f"Centroids(40 of 8 dimensions, {made.fingerprint[:12]})"


def test_a_failed_save_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "centroids.safetensors"
    some().save(file)
    before = file.read_bytes()

    def fail(*_: object) -> None:
        (tmp_path / ".centroids.safetensors.unfinished").write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr("jacolbert_integrations.scoring.centroids.save_file", fail)
    with pytest.raises(OSError, match="full"):
        some(seed=1).save(file)
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
    assert file.read_bytes() == before


@pytest.mark.parametrize("damage", ["cut", "empty", "no groups", "floats", "no sum", "zero", "no nprobe"])
def test_files_that_hold_none(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "centroids.safetensors"
    some().save(file)
    groups = np.array([40], np.int32)
    match damage:
        case "cut":
            file.write_bytes(file.read_bytes()[:-7])
        case "empty":
            file.write_bytes(b"")
        case "no groups":
            save_file({"centroids": some().values}, file)
        case "floats":
            save_file({"centroids": some().vectors, "groups": groups}, file)
        case "no sum":
            save_file({"centroids": some().values, "groups": groups + 1}, file)
        case "zero":
            save_file({"centroids": 0 * some().values, "groups": groups}, file)
        case "no nprobe":
            save_file({"centroids": some().values, "groups": groups}, file)
    with pytest.raises(CorruptCheckpointError, match=r"centroids\.safetensors holds no centroids"):
        Centroids.load(file)
    with pytest.raises(InputError, match="no file of centroids"):
        Centroids.load(tmp_path / "elsewhere")


def test_what_is_asked_wrongly() -> None:
    centroids = some()
    for count in (0, 41):
        with pytest.raises(InputError, match="of 40 centroids"):
            centroids.most_similar(vectors(0, 2, 8), count)
    for nprobe in (0, 40):
        with pytest.raises(InputError, match=f"nprobe is {nprobe}, but"):
            Centroids(centroids.values, centroids.groups, nprobe=nprobe)
    wrong: TokenVectors = vectors(0, 2, 9)
    with pytest.raises(VectorError, match="8 dimensions"):
        centroids.nearest(wrong)


def test_of_which_model() -> None:
    own = ModelIdentity("mine", "a" * 64, 8, 300)
    some().check(own)
    Centroids(some().values, [40], model="a" * 64).check(own)
    with pytest.raises(ModelMismatchError, match="'mine'"):
        Centroids(some().values, [40], model="b" * 64).check(own)
    with pytest.raises(ModelMismatchError, match="has 9"):
        some().check(ModelIdentity("mine", "a" * 64, 9, 300))
