from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.errors import InputError
from jacolbert_integrations.evaluation import embeddings
from jacolbert_integrations.evaluation.embeddings import EmbeddingCache, default_folder
from jacolbert_integrations.types import Scores

TEXTS = ["東京は日本の首都である。", "富士山", "", "猫は\ud83d小さな\x00動物"]


class Counted:
    """Counts the texts that a model encodes."""

    def __init__(self, model: JaColBERT, monkeypatch: pytest.MonkeyPatch, fail_after: int | None = None) -> None:
        self.count = 0
        for name in ("encode_document", "encode_query"):
            monkeypatch.setattr(model, name, self._counting(getattr(model, name), fail_after))

    def _counting(self, encode: Any, fail_after: int | None) -> Any:
        def counted(texts: list[str], **options: Any) -> Any:
            if fail_after is not None and self.count >= fail_after:
                raise KeyboardInterrupt
            self.count += len(texts)
            return encode(texts, **options)

        return counted


@pytest.fixture
def fresh(mini: JaColBERT) -> JaColBERT:
    return JaColBERT(mini.model, name="mini")


def test_the_same_vectors_and_only_once(fresh: JaColBERT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {"document": fresh.encode_document(TEXTS), "query": fresh.encode_query(TEXTS)}
    counted = Counted(fresh, monkeypatch)
    cache = EmbeddingCache(tmp_path / "cache")
    for _ in range(2):
        for task in ("document", "query"):
            for own, other in zip(cache.encode(fresh, TEXTS, task), expected[task], strict=True):
                np.testing.assert_allclose(own, other, atol=1e-5)
                assert own.dtype == np.float32
    assert counted.count == 2 * len(TEXTS)
    cache.encode(fresh, TEXTS[:2], "document")
    assert counted.count == 2 * len(TEXTS) + 2, "other texts"


def test_a_stopped_run_goes_on(fresh: JaColBERT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "_TOGETHER", 2)
    cache = EmbeddingCache(tmp_path)
    with monkeypatch.context() as patch:
        Counted(fresh, patch, fail_after=2)
        with pytest.raises(KeyboardInterrupt):
            cache.encode(fresh, TEXTS, "document")
    counted = Counted(fresh, monkeypatch)
    assert len(cache.encode(fresh, TEXTS, "document")) == 4
    assert counted.count == 2


def test_models_do_not_share(fresh: JaColBERT, tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    pooled = JaColBERT(fresh.model, name="mini", pooling="sequential-2")
    whole, half = cache.encode(fresh, TEXTS[:1], "document")[0], cache.encode(pooled, TEXTS[:1], "document")[0]
    assert len(half) < len(whole)
    assert len(list(tmp_path.iterdir())) == 2
    renamed = JaColBERT(fresh.model, name="another name")
    cache.encode(renamed, TEXTS[:1], "document")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "empty", "other", "another kind", "nothing of it"])
def test_a_damaged_file_is_made_anew(
    fresh: JaColBERT, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = EmbeddingCache(tmp_path)
    expected = cache.encode(fresh, TEXTS, "document")
    (file,) = tmp_path.rglob("*.npz")
    content = file.read_bytes()
    if damage == "another kind":
        with file.open("wb") as opened:
            np.save(opened, np.zeros(3))
    elif damage == "other":
        np.savez(file, lengths=np.array([1]), vectors=np.zeros((1, 128), np.float32))
    else:
        file.write_bytes({"cut": content[:-40], "empty": b"", "nothing of it": b"\x93NUMPY"}[damage])
    counted = Counted(fresh, monkeypatch)
    for own, other in zip(cache.encode(fresh, TEXTS, "document"), expected, strict=True):
        np.testing.assert_array_equal(own, other)
    assert counted.count == len(TEXTS)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [file.name]


def test_where_nothing_can_be_kept(fresh: JaColBERT, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="vectors cannot be kept in"):
        EmbeddingCache(tmp_path / "file").encode(fresh, TEXTS, "query")


def test_nothing_to_encode(fresh: JaColBERT, tmp_path: Path) -> None:
    assert EmbeddingCache(tmp_path).encode(fresh, [], "query") == []


def test_the_systems_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "jacolbert-integrations" / "embeddings"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder().parts[-3:] == (".cache", "jacolbert-integrations", "embeddings")


def test_scores_are_of_their_texts_their_model_and_their_setting(
    fresh: JaColBERT, model: JaColBERT, tmp_path: Path
) -> None:
    cache, computed = EmbeddingCache(tmp_path), []

    def scores(by: JaColBERT, setting: str, queries: list[str], documents: list[str]) -> list[list[float]]:
        def compute() -> Scores:
            computed.append(setting)
            return np.full((len(queries), len(documents)), len(computed), np.float32)

        found: list[list[float]] = cache.scores(by, {"setting": setting}, queries, documents, compute).tolist()
        return found

    assert scores(fresh, "a", ["q"], ["d", "e"]) == scores(fresh, "a", ["q"], ["d", "e"]) == [[1, 1]]
    others = [(fresh, "b", ["q"], ["d", "e"]), (model, "a", ["q"], ["d", "e"]), (fresh, "a", ["r"], ["d", "e"])]
    others += [(fresh, "a", ["q"], ["e", "d"]), (fresh, "a", ["q"], ["de"])]
    assert [scores(*each)[0][0] for each in others] == [2, 3, 4, 5, 6]
    for file in tmp_path.rglob("*.npz"):
        file.write_bytes(file.read_bytes()[:-30])
    assert scores(fresh, "a", ["q"], ["d", "e"]) == [[7, 7]]
