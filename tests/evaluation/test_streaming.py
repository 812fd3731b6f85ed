from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.errors import InputError
from jacolbert_integrations.evaluation import streaming
from jacolbert_integrations.evaluation.benchmark import Benchmark
from jacolbert_integrations.evaluation.embeddings import EmbeddingCache
from jacolbert_integrations.evaluation.evaluation import Evaluation, Evaluator
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.evaluation.settings import Setting, settings_of
from jacolbert_integrations.text.squad import QuestionSet
from jacolbert_integrations.types import TokenVectors

from ..tiny_models import dense_model, save_cross_encoder

SETTINGS = settings_of(poolings=["sequential-2"], dimensions=[32], datatypes=["float16"], query_lengths=["released"])


@pytest.fixture(scope="module")
def benchmark() -> Benchmark:
    whole = load_jsquad()
    passages = whole.passages[:30]
    ids = {passage.id for passage in passages}
    questions = [question for question in whole.questions if question.passage_id in ids]
    return Benchmark.of_questions("part", QuestionSet(passages, questions))


def evaluated(benchmark: Benchmark, mini: JaColBERT, folder: Path) -> Evaluation:
    evaluator = Evaluator(benchmark, depth=8, timed=0, cache=EmbeddingCache(folder / "cache"))
    evaluator.add_model(mini, SETTINGS)
    evaluator.add_bm25(fused=False)
    evaluator.add_dense(str(folder / "dense"))
    evaluator.add_reranker(str(folder / "reranker"), candidates=4)
    return evaluator.result()


def test_in_parts_as_at_once(
    benchmark: Benchmark, mini: JaColBERT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense_model().save(str(tmp_path / "dense"))
    save_cross_encoder(tmp_path / "reranker")
    at_once = evaluated(benchmark, mini, tmp_path)
    monkeypatch.setattr(streaming, "LARGE", 10)
    monkeypatch.setattr(streaming, "_PASSAGES", 7)
    monkeypatch.setattr(streaming, "_QUERIES", 3)
    in_parts = evaluated(benchmark, mini, tmp_path)
    assert [system.name for system in in_parts.systems] == [system.name for system in at_once.systems]
    for ours, theirs in zip(in_parts.systems, at_once.systems, strict=True):
        assert ours.bytes_per_passage == pytest.approx(theirs.bytes_per_passage)
        for query, expected in theirs.run.rankings.items():
            found = ours.run.rankings[query][: len(expected)]
            assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-3)
            assert {passage for passage, _ in found[:1]} == {passage for passage, _ in expected[:1]}


def test_candidates_are_all_that_is_encoded(
    benchmark: Benchmark, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = {query: [*own, *list(benchmark.passages)[:2]] for query, own in benchmark.qrels.items()}
    candidates = {query: list(dict.fromkeys(own)) for query, own in candidates.items()}
    part = Benchmark(
        name="reranked",
        passages={**benchmark.passages, "never": "誰も読まない。"},
        queries=benchmark.queries,
        qrels=benchmark.qrels,
        candidates=candidates,
    )
    read: list[str] = []
    encode = JaColBERT.encode_document

    def recorded(self: JaColBERT, texts: list[str], **options: Any) -> list[TokenVectors]:
        read.extend(texts)
        return encode(self, texts, **options)

    monkeypatch.setattr(JaColBERT, "encode_document", recorded)
    run, vectors = streaming.late_interaction_run("mini", mini, part, Setting(), depth=10)
    assert "誰も読まない。" not in read
    assert vectors > 10
    assert {query: {passage for passage, _ in own} for query, own in run.rankings.items()} == {
        query: set(own) for query, own in candidates.items()
    }


def test_settings_of_the_whole(benchmark: Benchmark, mini: JaColBERT) -> None:
    for setting in (Setting(datatype="int8"), Setting(first_stage="mean")):
        with pytest.raises(InputError, match=f"ranked in parts, which cannot be done with {setting}"):
            streaming.late_interaction_run("mini", mini, benchmark, setting, depth=10)
