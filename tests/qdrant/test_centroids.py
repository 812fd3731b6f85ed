"""Candidates by centroids: found without a shared word, by each engine, and refused where they are missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import models

from jacolbert_integrations import Condition, EdgeStore, Filter, JaColBERT, Point, Query
from jacolbert_integrations.errors import (
    CollectionLayoutError,
    InputError,
    ModelMismatchError,
    StoreError,
)
from jacolbert_integrations.qdrant import Lexical, NearestCentroids, QdrantStore, QdrantWriter, SearchOptions
from jacolbert_integrations.qdrant.clients import Client
from jacolbert_integrations.qdrant.stages import stage_from_dict, stage_to_dict, stages_of_names
from jacolbert_integrations.scoring.centroids import Centroids
from jacolbert_integrations.types import Document, Hit

from ..scoring.test_centroids import some
from ..stores.samples import DIMENSION, FLOAT32, IDENTITY, vectors
from .test_first_stage import exact

OWN = some(200, DIMENSION)
QUERY = Query(vectors(999, 4))
"""Without a text."""


def made(count: int = 40) -> list[Point]:
    return [Point(f"p{i}", vectors(i, 2 + i % 5), {"n": i}) for i in range(count)]


def sharing(number: int) -> set[str]:
    """Those of so many that share a centroid with the query."""
    asked = OWN.of_query(QUERY.vectors, 4)[0]
    return {p.id for p in made(number) if np.isin(OWN.of_documents([p.vectors])[0], asked).any()}


def opened(client: Client, stage: NearestCentroids | None, **options: SearchOptions) -> QdrantStore:
    store = QdrantStore(client, "c", first_stage=stage, vector_options=FLOAT32, **options)  # type: ignore[arg-type]
    store.bind(IDENTITY)
    return store


def answer(hits: Sequence[Hit]) -> list[tuple[str, object]]:
    return [(hit.id, pytest.approx(hit.score, abs=1e-5)) for hit in hits]


def test_candidates_and_then_maxsim(client: Client) -> None:
    store = opened(client, NearestCentroids(OWN), search_options=SearchOptions(exact_limit=0))
    store.upsert(made())
    every = exact(made()).search(QUERY, top_k=40)
    wanted = sharing(40)
    assert 0 < len(wanted) < 40
    found = store.search(QUERY, top_k=40)
    assert found.approximate
    assert answer(found) == [(hit.id, hit.score) for hit in every if hit.id in wanted]
    odd = store.search(QUERY, top_k=40, filter=Filter([Condition("n", ">", 19)]))
    assert [hit.id for hit in odd] == [hit.id for hit in every if hit.id in wanted and int(hit.id[1:]) > 19]
    assert answer(store.search_dense(QUERY, top_k=40)) == [(hit.id, hit.score) for hit in found]
    best = found[0].id
    store.delete([best])
    assert best not in {hit.id for hit in store.search(QUERY, top_k=40)}


def test_few_candidates_are_those_of_most_weight(client: Client) -> None:
    """The IDF is that of Qdrant: ln(1 + (n - df + .5) / (df + .5))."""
    store = opened(client, NearestCentroids(OWN), search_options=SearchOptions(exact_limit=0, candidates=1))
    store.upsert(made())
    own = OWN.of_documents([p.vectors for p in made()])
    having = np.bincount(np.concatenate(own), minlength=len(OWN))
    idf = np.log1p((40 - having + 0.5) / (having + 0.5))
    for seed in range(900, 910):
        numbers, weights = OWN.of_query(vectors(seed, 3), 4)
        scores = [sum(w * idf[n] for n, w in zip(numbers, weights, strict=True) if n in each) for each in own]
        (hit,) = store.search(Query(vectors(seed, 3)), top_k=1, options=SearchOptions(exact_limit=0, candidates=2))[:1]
        best_two = np.argsort(scores)[::-1][:2].tolist()
        assert hit.id in {f"p{i}" for i in best_two}


def test_beside_words(client: Client) -> None:
    store = QdrantStore(client, "c", first_stage=[NearestCentroids(OWN), Lexical()], vector_options=FLOAT32)
    store.bind(IDENTITY)
    store.upsert([Point(p.id, p.vectors, p.payload, text=f"猫 {p.id}") for p in made()])
    found = store.search(Query(QUERY.vectors, "猫"), top_k=5)
    assert [hit.id for hit in found] == [hit.id for hit in exact(made()).search(QUERY, top_k=5)]
    alone = store.search(QUERY, top_k=5, options=SearchOptions(stages=["centroids"]))
    every = exact(made()).search(QUERY, top_k=40)
    assert [hit.id for hit in alone] == [hit.id for hit in every if hit.id in sharing(40)][:5]


def test_what_a_collection_records(client: Client) -> None:
    opened(client, NearestCentroids(OWN, nprobe=3)).upsert(made(3))
    again = opened(client, None)
    (stage,) = again.first_stage
    assert isinstance(stage, NearestCentroids)
    assert (stage.nprobe, stage.fingerprint, stage.centroids) == (3, OWN.fingerprint, None)
    for use in (lambda: again.search(QUERY, top_k=1), lambda: again.upsert(made(4)[3:])):
        with pytest.raises(StoreError, match=f"fingerprint {OWN.fingerprint[:12]}, which are not at hand"):
            use()
    assert again.count() == 3
    exactly = again.search(QUERY, top_k=3, options=SearchOptions(exact=True))
    assert len(exactly) == 3
    for own in (NearestCentroids(OWN, nprobe=3), NearestCentroids(nprobe=3)):  # the latter searches once it has a model
        assert opened(client, own).exists()
    assert opened(client, NearestCentroids(OWN, nprobe=3)).search(QUERY, top_k=3) == exactly
    for other in (NearestCentroids(some(200, DIMENSION, seed=1), nprobe=3), NearestCentroids(OWN)):
        with pytest.raises(CollectionLayoutError, match="finds candidates by"):
            opened(client, other)


def test_centroids_of_another_model(client: Client) -> None:
    theirs = Centroids(OWN.values, OWN.groups, model="0" * 64)
    with pytest.raises(ModelMismatchError, match="jacolbert centroids"):
        opened(client, NearestCentroids(theirs))
    with pytest.raises(ModelMismatchError, match="9 dimensions"):
        opened(client, NearestCentroids(some(200, 9)))


def test_a_model_without_centroids_leaves_nothing(client: Client, model: JaColBERT) -> None:
    assert model.centroids is None
    store = QdrantStore(client, "c", first_stage=NearestCentroids())
    writer = QdrantWriter(store, model)
    with pytest.raises(InputError, match="the model brings none"):
        writer.write([Document("a", "猫が好きです。")])
    assert not store.exists()


def test_wrong_numbers() -> None:
    for nprobe in (0, True, 1.5):
        with pytest.raises(InputError, match="nprobe is"):
            NearestCentroids(OWN, nprobe=nprobe)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="only 200 centroids"):
        NearestCentroids(OWN, nprobe=200)
    with pytest.raises(InputError, match="are wanted"):
        NearestCentroids(OWN, fingerprint="0" * 64)


def test_as_a_record() -> None:
    assert stages_of_names(["centroids"]) == [NearestCentroids()]
    stage = NearestCentroids(OWN, options={"index": models.SparseIndexParams(on_disk=True)})
    record = stage_to_dict(stage)
    assert record == {"kind": "centroids", "nprobe": 4, "fingerprint": OWN.fingerprint}
    assert stage_from_dict(record, "the collection") == stage
    assert stage.sparse_params().index == models.SparseIndexParams(on_disk=True)


@pytest.mark.parametrize("own_process", [False, True])
def test_a_model_that_brings_its_own(mini: JaColBERT, tmp_path: Path, own_process: bool) -> None:
    texts = ["富士山は日本で最も高い山である。", "大阪城は豊臣秀吉が築いた。", "琵琶湖は滋賀県にある湖である。"]
    with EdgeStore(tmp_path, first_stage=NearestCentroids(), own_process=own_process) as store:
        assert QdrantWriter(store, mini).write(Document(str(i), text) for i, text in enumerate(texts)).written == 3
        assert mini.centroids is not None
        assert store.first_stage == (NearestCentroids(mini.centroids),)
    with EdgeStore(tmp_path, own_process=own_process) as again:
        QdrantWriter(again, mini)
        assert [hit.id for hit in again.search(mini.query("ふじさん"), top_k=1)] == ["0"]
