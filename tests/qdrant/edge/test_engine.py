"""Qdrant Edge: what it is known to trip over, its files, and its engine's own BM25."""

from __future__ import annotations

import json
import multiprocessing
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge
from qdrant_client import QdrantClient, models

from jacolbert_integrations import MemoryStore, Point, QdrantStore, Query
from jacolbert_integrations.errors import (
    EngineError,
    InputError,
    MissingExtraError,
    ModelMismatchError,
    VectorError,
    WriteError,
)
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.qdrant import (
    EdgeClient,
    EdgeStore,
    FixedDimensional,
    Lexical,
    MeanPooled,
    QdrantBM25,
    SearchOptions,
    WriteResult,
)
from jacolbert_integrations.qdrant.edge import collection as edge_collection
from jacolbert_integrations.qdrant.edge.models import to_edge
from jacolbert_integrations.qdrant.stages.by_words import _QDRANT_WORDS
from jacolbert_integrations.scoring.maxsim import maxsim
from jacolbert_integrations.text.squad import read_squad
from jacolbert_integrations.text.tokenization import WordSplitter

from ...conftest import JAQUAD_EXCERPT
from ...stores.samples import DIMENSION, FLOAT32, IDENTITY, QUERY, points, vectors
from ..writing import Encoder, documents, skip_unless_known, writer


def opened(path: Path, **options: Any) -> EdgeStore:
    store = EdgeStore(path, **options)
    store.bind(IDENTITY)
    return store


def test_what_was_written_is_there_after_closing(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.upsert(points(20))
        hits = store.search(QUERY, top_k=5)
    with opened(tmp_path) as store:
        assert store.count() == 20
        assert store.search(QUERY, top_k=5) == hits
    with EdgeStore(tmp_path) as store, pytest.raises(ModelMismatchError):
        store.bind(replace(IDENTITY, fingerprint="0" * 64))


def test_vectors_are_kept_as_float16(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.upsert(points(5))
        for point in points(5):
            kept = store.get([point.id])[point.id].vectors
            np.testing.assert_array_equal(kept, point.vectors.astype(np.float16).astype(np.float32))
        config = store.client.get_collection("documents").config
        assert isinstance(config.params.vectors, dict)
        assert config.params.vectors["colbert"].datatype == models.Datatype.FLOAT16


@pytest.mark.parametrize("bad", [np.full((1, DIMENSION), np.nan), np.zeros((1, DIMENSION)), np.empty((1, 0))])
def test_what_edge_takes_or_panics_at_is_refused_before(tmp_path: Path, bad: Any) -> None:
    with opened(tmp_path) as store:
        with pytest.raises(VectorError):
            store.upsert([*points(2), Point("bad", bad)])
        assert not store.exists()


def test_a_panic_is_an_error_of_ours(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What reaches the engine past the checks: it panics with something that is no Exception."""
    with opened(tmp_path) as store:
        store.upsert(points(3))
        empty_row = models.PointStruct.model_construct(id=1, vector={"colbert": [[]]}, payload={})
        with pytest.raises(EngineError, match="could not write to 'documents': chunk size must be non-zero"):
            store.client.upsert("documents", [empty_row])
        assert store.count() == 3
        assert len(store.search(QUERY, top_k=5)) == 3
    capfd.readouterr()  # the engine's own words about it


def test_one_opener(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.upsert(points(3))
        with EdgeStore(tmp_path) as second, pytest.raises(EngineError, match=r"has it open\. Close that one first"):
            second.bind(IDENTITY)
        code = (
            "import sys\nfrom jacolbert_integrations.qdrant import EdgeClient\n"
            "try: EdgeClient(sys.argv[1]).get_collection('documents')\n"
            "except Exception as error: print(type(error).__name__, error)"
        )
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("EngineError Qdrant Edge could not open")
        assert "another client, in this process or another, has it open" in done.stdout
        assert store.count() == 3
    with opened(tmp_path) as store:
        assert store.count() == 3


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.upsert(points(3))
    store.close()
    store.close()
    for act in (lambda: store.count(), lambda: store.search(QUERY, top_k=1), lambda: store.upsert(points(1))):
        with pytest.raises(EngineError, match=r"has been closed\. Open it again"):
            act()


def _write_for_ever(path: str) -> None:
    store = opened(Path(path))
    with Path(f"{path}.acknowledged").open("w") as log:
        for number in range(100_000):
            store.upsert([Point(str(number), vectors(number, 3), {"n": number})])
            log.write(f"{number}\n")
            log.flush()


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    for attempt in range(5):
        rng = random.Random(attempt)
        path = tmp_path / str(attempt)
        process = context.Process(target=_write_for_ever, args=(str(path),))
        process.start()
        log = Path(f"{path}.acknowledged")
        while not log.exists() or not log.stat().st_size:
            assert process.is_alive()
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.3))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        acknowledged = log.read_text().split("\n")[:-1]
        with opened(path) as store:
            assert store.contains(acknowledged) == set(acknowledged)
            assert store.count() - len(acknowledged) in (0, 1)
            for point_id in rng.sample(acknowledged, min(5, len(acknowledged))):
                kept = store.get([point_id])[point_id]
                np.testing.assert_allclose(kept.vectors, vectors(int(point_id), 3), atol=1e-3)
                assert kept.payload == {"n": int(point_id)}


def test_several_collections_and_aliases(tmp_path: Path) -> None:
    with EdgeClient(tmp_path) as client:
        for name in ("一", "二"):
            store = QdrantStore(client, name)
            store.bind(IDENTITY)
            store.upsert(points(3 if name == "一" else 5))
        created = models.CreateAlias(collection_name="一", alias_name="live")
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=created)])
        assert client.count("live").count == 3
        renamed = models.RenameAlias(old_alias_name="live", new_alias_name="now")
        client.update_collection_aliases([models.RenameAliasOperation(rename_alias=renamed)])
        assert [(a.alias_name, a.collection_name) for a in client.get_aliases().aliases] == [("now", "一")]
        killed = tmp_path / ".unfinished-0123456789ab"  # as a kill while a collection is made leaves it
        killed.mkdir()
        (killed / "collection.json").write_text("{}")
        assert [c.name for c in client.get_collections().collections] == ["一", "二"]
        shutil.rmtree(killed)
        with pytest.raises(EngineError, match="there is no collection '三' to give an alias to"):
            client.update_collection_aliases(
                [models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name="三", alias_name="x"))]
            )
        with pytest.raises(EngineError, match="a collection or an alias 'now' already"):
            client.create_collection("now", {"v": models.VectorParams(size=2, distance=models.Distance.DOT)})
        assert client.delete_collection("一")
        assert not client.delete_collection("一")
        assert not client.collection_exists("now")
    with EdgeClient(tmp_path) as client:
        assert [c.name for c in client.get_collections().collections] == ["二"]
        assert client.get_aliases().aliases == []
    assert sorted(file.name for file in tmp_path.iterdir()) == [".aliases.lock", "aliases.json", "二"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a:b", "x" * 256, " "])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="is no name of a collection"):
        opened(tmp_path / "folder", collection=name)
    assert list((tmp_path / "folder").iterdir()) == []


def test_options_that_edge_has_not(tmp_path: Path) -> None:
    with opened(tmp_path, shard_number=2, replication_factor=3) as store:
        with pytest.raises(InputError, match="knows no shard_number, replication_factor"):
            store.upsert(points(1))
        assert not store.exists()
    found = to_edge(models.SearchParams(quantization=models.QuantizationSearchParams(oversampling=2.0, rescore=True)))
    assert (found.quantization.oversampling, found.quantization.rescore) == (2.0, True)
    with pytest.raises(InputError, match=r"Qdrant Edge cannot do what .*flush_interval_sec=5.* asks for"):
        to_edge(models.OptimizersConfigDiff(flush_interval_sec=5))
    with pytest.raises(InputError, match="Qdrant Edge has no"):
        to_edge(models.ShardingMethod.CUSTOM)


@pytest.mark.parametrize(
    "options",
    [
        {"datatype": "turbo8"},
        {"datatype": "turbo4"},
        {"memory": "cold"},
        {"quantization_config": models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99))},
        {"quantization_config": models.TurboQuantization(
            turbo=models.TurboQuantQuantizationConfig(bits=models.TurboQuantBitSize.BITS4))},
        {"quantization_config": models.BinaryQuantization(binary=models.BinaryQuantizationConfig())},
        {"quantization_config": models.ProductQuantization(
            product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X4))},
    ],
)  # fmt: skip
def test_qdrants_own_options_reach_the_engine(tmp_path: Path, options: dict[str, Any]) -> None:
    skip_unless_known(options)
    with opened(tmp_path, vector_options=options) as store:
        store.upsert(points(30))
        assert len(store.search(QUERY, top_k=5)) == 5
        ids = [point.id for point in points(30)]
        scores = [hit.score for hit in store.score(QUERY, ids).values()]
        if "datatype" in options:  # the engine has no other vectors than these, and its own way of comparing them
            found = {hit.id: hit.score for hit in store.search(QUERY, top_k=30)}
            expected = [found[i] for i in ids]
        else:
            stored = [point.vectors for point in store.get(ids).values()]
            expected = list(maxsim([QUERY.vectors], stored)[0])
        assert scores == pytest.approx(expected, abs=5e-3)
    written = json.loads((tmp_path / "documents" / "shard" / "edge_config.json").read_text())["vectors"]["colbert"]
    assert written[next(iter(options))] is not None


def test_conditions_of_all_kinds(tmp_path: Path) -> None:
    payload = {"n": 3, "at": "2026-11-21T00:00:00Z", "where": {"lon": 139.7, "lat": 35.7}, "word": "東京都",
               "tags": ["a", "b"], "parts": [{"x": 1, "y": 2}, {"x": 3, "y": 4}], "null": None}  # fmt: skip
    here = models.GeoPoint(lon=139.7, lat=35.7)
    corners = models.GeoPoint(lon=139, lat=36), models.GeoPoint(lon=140, lat=35)
    box = models.GeoBoundingBox(top_left=corners[0], bottom_right=corners[1])
    yes: list[Any] = [
        models.FieldCondition(key="at", range=models.DatetimeRange.model_validate({"gte": "2026-11-20T00:00:00Z"})),
        models.FieldCondition(key="where", geo_radius=models.GeoRadius(center=here, radius=10)),
        models.FieldCondition(key="where", geo_bounding_box=box),
        models.FieldCondition(key="tags", values_count=models.ValuesCount(gte=2)),
        models.FieldCondition(key="word", match=models.MatchExcept(**{"except": ["京都"]})),
        models.FieldCondition(key="n", match=models.MatchAny(any=[1, 3])),
        models.FieldCondition(key="word", match=models.MatchText(text="東京都")),
        models.IsNullCondition(is_null=models.PayloadField(key="null")),
        models.HasVectorCondition(has_vector="colbert"),
        models.NestedCondition(nested=models.Nested(key="parts", filter=models.Filter(must=[
            models.FieldCondition(key="x", match=models.MatchValue(value=1)),
            models.FieldCondition(key="y", match=models.MatchValue(value=2))]))),
        models.Filter(min_should=models.MinShould(min_count=1, conditions=[
            models.FieldCondition(key="n", range=models.Range(gt=2)),
            models.FieldCondition(key="n", range=models.Range(gt=5))])),
    ]  # fmt: skip
    no: list[Any] = [
        models.FieldCondition(key="n", match=models.MatchAny(any=[])),
        models.NestedCondition(nested=models.Nested(key="parts", filter=models.Filter(must=[
            models.FieldCondition(key="x", match=models.MatchValue(value=1)),
            models.FieldCondition(key="y", match=models.MatchValue(value=4))]))),
    ]  # fmt: skip
    with opened(tmp_path) as store:
        store.upsert([Point("a", vectors(1), payload)])
        for expected, conditions in ((1, yes), (0, no)):
            for condition in conditions:
                assert store.count(filter=models.Filter(must=[condition])) == expected, condition
                assert store.count(filter=models.Filter(must=condition)) == expected, condition


def test_optimize_follows_bulk_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(EdgeClient, "optimize", lambda self, name: calls.append(name))
    with opened(tmp_path) as store:
        store.upsert(points(3))
    assert calls == ["documents"]
    with EdgeClient(tmp_path / "b") as client:
        writer(client, batch=4).write(documents(20))
    assert calls == ["documents", "documents"]


def test_the_log_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_collection, "_FLUSHED_FLOATS", 2**20)
    wide = replace(IDENTITY, dimension=128)
    with EdgeStore(tmp_path) as store:
        store.bind(wide)
        store.create()
        for number in range(60):
            matrices = np.random.default_rng(number).standard_normal((40, 100, 128)).astype(np.float32)
            store.send([Point(f"{number} {i}", matrix) for i, matrix in enumerate(matrices)])
        log = sum(file.stat().st_blocks * 512 for file in (tmp_path / "documents" / "shard" / "wal").iterdir())
        assert log < 100 * 2**20  # of 123 MB as float32, which the log keeps as more
        store.optimize()
        segments = [folder for folder in (tmp_path / "documents" / "shard" / "segments").iterdir() if folder.is_dir()]
        assert len(segments) == store.client.get_collection("documents").segments_count


def test_an_indexed_collection_ranks_as_memory_does(tmp_path: Path) -> None:
    """So many points, for so low a threshold, that optimizing builds a graph over the single vectors."""
    given = [Point(str(i), vectors(i, 4), {}, f"第{i}の文書") for i in range(2000)]
    memory = MemoryStore()
    memory.bind(IDENTITY)
    memory.upsert(given)
    indexing = models.OptimizersConfigDiff(indexing_threshold=10)
    stages = [MeanPooled(), FixedDimensional(repetitions=2)]
    with opened(tmp_path, first_stage=stages, optimizers_config=indexing, vector_options=FLOAT32) as store:
        store.upsert(given)
        assert (store.client.get_collection("documents").indexed_vectors_count or 0) >= 2000
        for number in (3, 1234):
            near = Query(given[number].vectors)
            assert store.search(near, top_k=1)[0].id == str(number)
            wanted = [hit.id for hit in memory.search(near, top_k=10)]
            assert [hit.id for hit in store.search(near, top_k=10, options=SearchOptions(exact=True))] == wanted


def test_words_by_qdrants_own_bm25(tmp_path: Path) -> None:
    passages = read_squad([JAQUAD_EXCERPT]).passages[:40]
    given = [Point(p.id, vectors(i), {}, p.text) for i, p in enumerate(passages)]
    with opened(tmp_path, first_stage=[QdrantBM25(), Lexical()]) as store:
        store.upsert(given)
        for passage in passages[:10]:
            for stage in store.first_stage:
                asked = stage.encode_query(Query(QUERY.vectors, passage.text[5:30]))
                found = store.client.query_points("documents", query=asked, using=stage.name, limit=1)
                assert (found.points[0].payload or {})["_jacolbert_id"] == passage.id
        half, full = (store.first_stage[0].encode_query(Query(QUERY.vectors, text)) for text in ("ABC12", "ＡＢＣ１２"))
        assert half == full
    with opened(tmp_path) as again:
        assert {stage.name for stage in again.first_stage} == {"bm25", "lexical"}
        assert again.search(Query(QUERY.vectors, passages[3].text), top_k=1).approximate
    local = QdrantStore(QdrantClient(":memory:"), "c", first_stage=QdrantBM25())
    local.bind(IDENTITY)
    with pytest.raises(InputError, match="local mode has no BM25"):
        local.upsert(given)
    assert not local.exists()
    local.client.close()


def test_how_many_words_qdrant_makes() -> None:
    """With k1 = b = average = 1 a word that comes once weighs 2 / (1 + words), which tells how many there are."""
    japanese: dict[str, Any] = {"language": "japanese", "tokenizer": qdrant_edge.TokenizerType.Multilingual}
    bm25 = qdrant_edge.Bm25(qdrant_edge.Bm25Config(k=1.0, b=1.0, avg_len=1.0, **japanese))
    passages = load_jsquad().passages[::5]
    theirs = [2 / min(bm25.embed_document(p.text).values) - 1 for p in passages]
    splitter = WordSplitter()
    ours = [len(splitter.split(p.text)) for p in passages]
    assert sum(theirs) / sum(ours) == pytest.approx(_QDRANT_WORDS, abs=0.01)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import jacolbert_integrations.qdrant as package

    monkeypatch.setitem(sys.modules, "qdrant_edge", None)
    for name in ("edge_store", "edge.client", "edge.collection", "edge.models", "edge.process"):
        monkeypatch.delitem(sys.modules, f"jacolbert_integrations.qdrant.{name}", raising=False)
    monkeypatch.delattr(package, "edge_store", raising=False)
    with pytest.raises(MissingExtraError, match=r"jacolbert-integrations\[edge\]"):
        package.EdgeStore  # noqa: B018


def test_damaged_files(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.upsert(points(3))
    (tmp_path / "documents" / "collection.json").write_text("{")
    with EdgeStore(tmp_path) as store, pytest.raises(EngineError, match=r"collection\.json cannot be read"):
        store.bind(IDENTITY)
    blocked = tmp_path / "a file"
    blocked.touch()
    with pytest.raises(EngineError, match="cannot be made"):
        EdgeStore(blocked)


def test_writing_with_the_writer(tmp_path: Path) -> None:
    encoder = Encoder()
    with EdgeClient(tmp_path) as client:
        assert writer(client, encoder).write(documents(50)).written == 50
    with EdgeClient(tmp_path) as client:
        assert writer(client, encoder).write(documents(60)).written == 10
    assert len(encoder.encoded) == 60


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Edge would not fail, but be ended by the operating system: it maps files that cannot grow."""
    real = shutil.disk_usage
    with EdgeClient(tmp_path) as client:
        assert writer(client).write(documents(10)).written == 10
        full = real(tmp_path)._replace(free=100 << 20)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
        with pytest.raises(WriteError, match=r"cannot be written .*100 MiB left on its disk.*Make room"):
            writer(client).write(documents(30))
        monkeypatch.setattr(shutil, "disk_usage", real)
        result = writer(client).write(documents(30))
        assert (result.written, result.unchanged) == (20, 10)
        monkeypatch.setattr(EdgeClient, "optimize", lambda *_: (_ for _ in ()).throw(EngineError("no room")))
        with pytest.raises(WriteError, match="all is written, but searches will be slow: no room") as caught:
            writer(client).write(documents(31))
        assert isinstance(caught.value.result, WriteResult)
        assert caught.value.result.written == 1
        assert writer(client).store.count() == 31
