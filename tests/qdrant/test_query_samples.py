"""What queries have in common is measured where a model writes into a collection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from llama_index.core.schema import TextNode

from jacolbert_integrations import EdgeStore, JaColBERT, JaColBERTRetriever, JaColBERTVectorStore
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.qdrant import FixedDimensional, MeanPooled, QdrantWriter
from jacolbert_integrations.qdrant.query_samples import sample_queries
from jacolbert_integrations.qdrant.stages import stage_from_dict, stage_to_dict
from jacolbert_integrations.stores.measuring import ModelUsing
from jacolbert_integrations.types import Document, Point, Query, TokenVectors

from ..stores.samples import vectors

TEXTS = ["東京は日本の首都である。人口は多い。", "  ", "猫" * 100, "富士山は高い。\n日本にある。"]
BEGINNINGS = ["東京は日本の首都である。", "猫" * 60, "富士山は高い。"]


class Recorder:
    """Remembers what is encoded."""

    centroids = None

    def __init__(self) -> None:
        self.read: list[str] = []

    def encode_query(self, texts: Sequence[str], /) -> list[TokenVectors]:
        self.read.extend(texts)
        return [vectors(place, 3) for place, _ in enumerate(texts)]


def test_first_sentences_are_encoded() -> None:
    model = Recorder()
    found = sample_queries([MeanPooled(), FixedDimensional()], TEXTS, model)
    assert [text.strip() for text in model.read] == BEGINNINGS
    assert len(found) == 3
    model.read.clear()
    assert len(sample_queries([FixedDimensional()], TEXTS * 100, model)) == len(model.read) == 200


@pytest.mark.parametrize(
    "stages", [[], [MeanPooled()], [FixedDimensional(center=())], [FixedDimensional(query_center=(0.0, 1.0))]]
)
def test_nothing_is_encoded_that_nobody_asks_for(stages: list[FixedDimensional | MeanPooled]) -> None:
    model = Recorder()
    assert sample_queries(stages, TEXTS, model) == []
    assert sample_queries([FixedDimensional()], ["", " "], model) == []
    assert sample_queries([FixedDimensional()], TEXTS, None) == []
    assert model.read == []


def test_each_side_has_its_own_center() -> None:
    points = [Point(str(seed), vectors(seed, 30)) for seed in range(4)]
    queries = [vectors(seed, 3) for seed in range(10, 13)]
    stage = FixedDimensional().measured(points, queries)
    assert stage.center == pytest.approx(np.concatenate([p.vectors for p in points]).mean(axis=0), abs=1e-5)
    assert stage.query_center == pytest.approx(np.concatenate(queries).mean(axis=0), abs=1e-5)
    asked = Query(vectors(20, 5))
    plain = FixedDimensional(center=())
    assert stage.encode_query(asked) == plain.encode_query(
        Query(asked.vectors - np.asarray(stage.query_center, np.float32))
    )
    moved = [Point("0", points[0].vectors - np.asarray(stage.center, np.float32))]
    assert stage.encode_points(points[:1]) == plain.encode_points(moved)
    alone = FixedDimensional().measured(points)
    assert alone.query_center is None
    assert alone.encode_query(asked) == plain.encode_query(Query(asked.vectors - np.asarray(alone.center, np.float32)))
    for each in (stage, alone):
        assert stage_from_dict(stage_to_dict(each), "the collection") == each
    assert "query_center" not in stage_to_dict(alone)


def centers(store: EdgeStore) -> tuple[float, ...]:
    (stage,) = store.first_stage
    assert isinstance(stage, FixedDimensional)
    assert stage.query_center is not None
    return stage.query_center


@pytest.mark.parametrize("own_process", [False, True])
def test_whoever_has_a_model_measures(mini: JaColBERT, tmp_path: Path, own_process: bool) -> None:
    texts = [passage.text for passage in load_jsquad().passages[:20]]
    sampled = sample_queries([FixedDimensional()], texts, mini)
    expected = pytest.approx(np.concatenate(sampled).mean(axis=0), abs=2e-5)
    with EdgeStore(tmp_path, "writer", first_stage=FixedDimensional(), own_process=own_process) as store:
        assert isinstance(store, ModelUsing)
        assert QdrantWriter(store, mini).write(Document(str(i), text) for i, text in enumerate(texts)).written == 20
        assert centers(store) == expected
    nodes = [TextNode(id_=str(i), text=text) for i, text in enumerate(texts)]
    with EdgeStore(tmp_path, "retriever", first_stage=FixedDimensional(), own_process=own_process) as store:
        JaColBERTRetriever(store, mini).insert_nodes(nodes)
        assert centers(store) == expected
    with EdgeStore(tmp_path, "vector-store", first_stage=FixedDimensional(), own_process=own_process) as store:
        JaColBERTVectorStore(mini, store).add(nodes)
        assert centers(store) == expected
    with EdgeStore(tmp_path, "writer", first_stage=FixedDimensional(), own_process=own_process) as again:
        again.bind(mini.identity)
        assert centers(again) == expected
