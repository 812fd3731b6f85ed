from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.errors import InputError
from jacolbert_integrations.evaluation.benchmark import Benchmark
from jacolbert_integrations.evaluation.bm25 import BM25
from jacolbert_integrations.evaluation.embeddings import EmbeddingCache
from jacolbert_integrations.evaluation.first_stages import Words, best
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.evaluation.late_interaction import LateInteraction
from jacolbert_integrations.evaluation.settings import STAGE_NAMES, Setting
from jacolbert_integrations.evaluation.systems import run_of_scores
from jacolbert_integrations.qdrant import NearestCentroids
from jacolbert_integrations.scoring.muvera import Muvera
from jacolbert_integrations.text.squad import QuestionSet
from jacolbert_integrations.types import Point, Query


@pytest.fixture(scope="module")
def benchmark() -> Benchmark:
    whole = load_jsquad()
    passages = whole.passages[:20]
    ids = {passage.id for passage in passages}
    return Benchmark.of_questions("part", QuestionSet(passages, [q for q in whole.questions if q.passage_id in ids]))


def late_interaction(model: JaColBERT, benchmark: Benchmark, cache: EmbeddingCache | None = None) -> LateInteraction:
    texts, queries = list(benchmark.passages.values()), list(benchmark.queries.values())
    return LateInteraction(model, benchmark, words=lambda: Words(BM25(texts), queries), cache=cache)


def test_ranks_as_the_model_does(mini: JaColBERT, benchmark: Benchmark) -> None:
    run = run_of_scores("mini", late_interaction(mini, benchmark).scores(Setting()), benchmark)
    for query, text in list(benchmark.queries.items())[:5]:
        expected = mini.rank(text, list(benchmark.passages.values()))
        assert [score for _, score in run.rankings[query]] == pytest.approx([hit.score for hit in expected], abs=1e-4)
        assert [benchmark.passages[passage] for passage, _ in run.rankings[query]] == [
            hit.payload["text"] for hit in expected
        ]


@pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")
def test_settings_are_what_a_model_so_made_gives(mini: JaColBERT, benchmark: Benchmark, tmp_path: Path) -> None:
    own = late_interaction(mini, benchmark)
    pooled = Setting(pooling="hierarchical-2")
    pooling = late_interaction(JaColBERT(mini.model, name="mini", pooling="hierarchical-2"), benchmark)
    np.testing.assert_allclose(own.scores(pooled), pooling.scores(Setting()), atol=1e-4)
    assert own.vectors_per_passage(pooled) == pooling.vectors_per_passage(Setting())
    fixed = JaColBERT.from_pretrained("jacolbert-mini", query_length="fixed")
    by_rule = Setting(query_length="fixed")
    np.testing.assert_allclose(own.scores(by_rule), late_interaction(fixed, benchmark).scores(Setting()), atol=1e-4)
    assert {len(vectors) for vectors in own.queries("fixed")} == {32}
    cached = [late_interaction(mini, benchmark, EmbeddingCache(tmp_path)).scores(by_rule) for _ in range(2)]
    np.testing.assert_allclose(cached[0], own.scores(by_rule), atol=1e-4)
    np.testing.assert_array_equal(cached[0], cached[1])


def test_a_first_stage_leaves_candidates_alone(mini: JaColBERT, benchmark: Benchmark) -> None:
    own = late_interaction(mini, benchmark)
    exact = own.scores(Setting())
    for name in STAGE_NAMES:
        stage = own.first_stage_scores(name)
        found = own.scores(Setting(first_stage=name, candidates=3))
        assert (np.isfinite(found).sum(axis=1) == 3).all()
        np.testing.assert_array_equal(found[np.isfinite(found)], exact[np.isfinite(found)])
        for row, scores in enumerate(stage):
            assert set(np.flatnonzero(np.isfinite(found[row]))) == set(np.argsort(-scores, kind="stable")[:3])
        np.testing.assert_array_equal(own.scores(Setting(first_stage=name, candidates=20)), exact)
        assert own.bytes_per_passage(Setting(first_stage=name)) > own.bytes_per_passage(Setting())


def test_first_stages_are_those_of_a_store(mini: JaColBERT, benchmark: Benchmark) -> None:
    own = late_interaction(mini, benchmark)
    texts, queries = list(benchmark.passages.values()), list(benchmark.queries.values())
    np.testing.assert_allclose(own.first_stage_scores("lexical"), BM25(texts).score(queries))
    documents, asked = own.documents, own.queries()
    cosine = np.array([[_cosine(q.mean(axis=0), d.mean(axis=0)) for d in documents] for q in asked])
    np.testing.assert_allclose(own.first_stage_scores("mean"), cosine, atol=1e-5)
    common = np.concatenate(documents).mean(axis=0)
    muvera = Muvera(128)
    encoded = muvera.encode_document([d - common for d in documents])
    expected = np.stack([encoded @ muvera.encode_query(q - common) for q in asked])
    np.testing.assert_allclose(own.first_stage_scores("muvera"), expected, rtol=1e-4, atol=1e-3)
    assert mini.centroids is not None
    stage = NearestCentroids(mini.centroids)
    points: list[Any] = stage.encode_points([Point(str(i), each) for i, each in enumerate(documents)])
    having = Counter(number for point in points for number in point.indices)
    weights = [dict(zip(q.indices, q.values, strict=True)) for q in map(stage.encode_query, map(Query, asked))]  # type: ignore[union-attr]
    idf = {n: np.log1p((len(points) - df + 0.5) / (df + 0.5)) for n, df in having.items()}
    by_hand = [[sum(w.get(n, 0.0) * idf[n] for n in point.indices) for point in points] for w in weights]
    np.testing.assert_allclose(own.first_stage_scores("centroids"), by_hand, rtol=1e-4, atol=1e-5)


def test_a_model_without_centroids(model: JaColBERT, benchmark: Benchmark) -> None:
    with pytest.raises(InputError, match="brings no centroids"):
        late_interaction(model, benchmark).scores(Setting(first_stage="centroids"))


def test_sizes_and_times(mini: JaColBERT, benchmark: Benchmark) -> None:
    own = late_interaction(mini, benchmark)
    vectors = own.vectors_per_passage(Setting())
    assert own.bytes_per_passage(Setting()) == vectors * 512
    assert own.bytes_per_passage(Setting(datatype="int8", dimension=64)) == vectors * 64
    assert own.bytes_per_passage(Setting(first_stage="mean")) == vectors * 512 + 512
    assert own.milliseconds(Setting(), 2) > 0
    assert own.milliseconds(Setting(first_stage="mean", candidates=2, dimension=64), 2) > 0


def test_normalised_scores_are_means(mini: JaColBERT, benchmark: Benchmark) -> None:
    own = late_interaction(mini, benchmark)
    counts = np.array([[len(vectors)] for vectors in own.queries()])
    np.testing.assert_allclose(own.normalized(Setting()) * counts, own.scores(Setting()), rtol=1e-5)


def test_best_breaks_ties_by_order() -> None:
    found = best(np.array([[1, 2, 2, 2], [3, 1, 1, 0]], np.float32), 2)
    assert found.tolist() == [[False, True, True, False], [True, True, False, False]]


def _cosine(a: np.ndarray[tuple[int], np.dtype[np.float32]], b: np.ndarray[tuple[int], np.dtype[np.float32]]) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
