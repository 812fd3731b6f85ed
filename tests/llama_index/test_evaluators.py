"""LlamaIndex's own evaluator of retrieval, over our retriever, reranker and vector store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.evaluation import RetrieverEvaluator
from llama_index.core.schema import TextNode

from jacolbert_integrations import JaColBERT, JaColBERTRerank, JaColBERTRetriever, JaColBERTVectorStore
from jacolbert_integrations.evaluation.benchmark import Benchmark
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.evaluation.measures import measure
from jacolbert_integrations.evaluation.systems import run_of_scores
from jacolbert_integrations.text.squad import QuestionSet

METRICS = ["hit_rate", "mrr", "precision", "recall", "ap", "ndcg"]
OURS = {"hit_rate": "Success@5", "mrr": "MRR@5", "recall": "R@5", "ap": "AP@5", "ndcg": "nDCG@5"}


@pytest.fixture(scope="module")
def benchmark() -> Benchmark:
    jsquad = load_jsquad()
    passages = jsquad.passages[:30]
    ids = {passage.id for passage in passages}
    asked = [question for question in jsquad.questions if question.passage_id in ids][:12]
    return Benchmark.of_questions("some of JSQuAD", QuestionSet(passages, asked))


@pytest.fixture(scope="module")
def nodes(benchmark: Benchmark) -> list[TextNode]:
    return [TextNode(id_=passage, text=text) for passage, text in benchmark.passages.items()]


def evaluated(retriever: BaseRetriever, benchmark: Benchmark, postprocessors: Sequence[Any] = ()) -> dict[str, float]:
    """The means of LlamaIndex's metrics over all questions."""
    evaluator = RetrieverEvaluator.from_metric_names(
        METRICS, retriever=retriever, node_postprocessors=list(postprocessors) or None
    )

    async def results() -> list[Any]:
        return [
            await evaluator.aevaluate(query=text, expected_ids=list(benchmark.qrels[query]))
            for query, text in benchmark.queries.items()
        ]

    values = [result.metric_vals_dict for result in asyncio.run(results())]
    return {name: sum(value[name] for value in values) / len(values) for name in METRICS}


@pytest.fixture(scope="module")
def expected(mini: JaColBERT, benchmark: Benchmark) -> dict[str, float]:
    """What our own measures say of the same ranking."""
    run = run_of_scores(
        "mini", mini.score(list(benchmark.queries.values()), list(benchmark.passages.values())), benchmark
    )
    measured = measure(run, benchmark.qrels, list(OURS.values()))
    return {theirs: measured.mean(ours) for theirs, ours in OURS.items()}


def test_of_the_retriever(
    mini: JaColBERT, benchmark: Benchmark, nodes: list[TextNode], expected: dict[str, float]
) -> None:
    retriever = JaColBERTRetriever.from_nodes(nodes, mini, similarity_top_k=5)
    found = evaluated(retriever, benchmark)
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["mrr"] > 0.8


def test_of_the_reranker(
    mini: JaColBERT, benchmark: Benchmark, nodes: list[TextNode], expected: dict[str, float]
) -> None:
    retriever = JaColBERTRetriever.from_nodes(nodes, mini, similarity_top_k=30)
    found = evaluated(retriever, benchmark, [JaColBERTRerank(mini, top_n=5)])
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_of_the_vector_store(
    mini: JaColBERT, benchmark: Benchmark, nodes: list[TextNode], expected: dict[str, float]
) -> None:
    vector_store = JaColBERTVectorStore(mini)
    vector_store.add(nodes)
    found = evaluated(vector_store.as_index().as_retriever(similarity_top_k=5), benchmark)
    assert {name: found[name] for name in expected} == pytest.approx(expected)
