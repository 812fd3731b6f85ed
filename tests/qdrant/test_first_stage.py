"""First stages in a Qdrant collection: candidates, then MaxSim, in one request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.conversions.conversion import RestToGrpc

from jacolbert_integrations import Condition, EdgeStore, Filter, JaColBERT, MemoryStore, Point, QdrantStore, Query
from jacolbert_integrations.errors import CollectionLayoutError, InputError, StoreFileError, VectorError
from jacolbert_integrations.evaluation.bm25 import BM25
from jacolbert_integrations.llama_index import JaColBERTRetriever
from jacolbert_integrations.qdrant import FirstStage, FixedDimensional, Lexical, MeanPooled, QdrantBM25, SearchOptions
from jacolbert_integrations.qdrant.clients import Client
from jacolbert_integrations.scoring.muvera import Muvera
from jacolbert_integrations.text.squad import QuestionSet, read_squad
from jacolbert_integrations.text.tokenization import WordSplitter
from jacolbert_integrations.types import Hits

from ..conftest import JAQUAD_EXCERPT
from ..stores.samples import DIMENSION, FLOAT32, IDENTITY, vectors

STAGES: list[list[FirstStage]] = [
    [Lexical()],
    [MeanPooled()],
    [FixedDimensional()],
    [Lexical(), FixedDimensional()],
    [MeanPooled(), Lexical(), FixedDimensional()],
]
WORDS = ["猫", "犬", "鳥", "魚", "馬", "牛"]


def texts(count: int) -> list[Point]:
    return [
        Point(f"p{i}", vectors(i, 2 + i % 5), {"n": i, "article": i // 4}, f"{WORDS[i % 6]}と{WORDS[i % 5]}の話 {i}")
        for i in range(count)
    ]


def opened(client: Client, stages: FirstStage | Sequence[FirstStage] | None, **options: Any) -> QdrantStore:
    store = QdrantStore(client, "c", first_stage=stages, **{"vector_options": FLOAT32, **options})
    store.bind(IDENTITY)
    return store


def exact(given: list[Point]) -> MemoryStore:
    memory = MemoryStore()
    memory.bind(IDENTITY)
    memory.upsert(given)
    return memory


QUERY = Query(vectors(999, 4), "猫と犬")


@pytest.mark.parametrize("stages", STAGES, ids=lambda stages: "+".join(stage.name for stage in stages))
def test_with_enough_candidates_the_answer_is_exact(client: Client, stages: list[FirstStage]) -> None:
    given = texts(40)
    store = opened(client, stages)
    assert store.upsert(given) == 40
    hits = store.search(QUERY, top_k=10)
    assert hits.approximate
    lexical_alone = [stage.name for stage in stages] == ["lexical"]
    among = [p for p in given if not lexical_alone or {"猫", "犬", "と"} & set(p.text)]
    expected = exact(among).search(QUERY, top_k=10)
    assert [hit.id for hit in hits] == [hit.id for hit in expected]
    np.testing.assert_allclose([hit.score for hit in hits], [hit.score for hit in expected], atol=1e-5)
    assert hits[0].payload == {"n": int(hits[0].id[1:]), "article": int(hits[0].id[1:]) // 4}
    without = store.search(QUERY, top_k=10, options=SearchOptions(exact=True))
    assert not without.approximate
    assert [hit.id for hit in without] == [hit.id for hit in exact(given).search(QUERY, top_k=10)]


@pytest.mark.parametrize("fusion", ["rrf", "dbsf"])
def test_candidates_are_those_of_the_first_stage(client: Client, fusion: Any) -> None:
    given = texts(60)
    store = opened(client, [MeanPooled(), FixedDimensional()])
    store.upsert(given)
    query = QUERY.vectors.mean(axis=0)
    means = np.array([query @ (mean := p.vectors.mean(axis=0)) / np.linalg.norm(mean) for p in given])
    muvera = Muvera(DIMENSION)
    center = np.concatenate([p.vectors for p in given]).mean(axis=0).round(5)
    encodings = muvera.encode_document([p.vectors - center for p in given]) @ muvera.encode_query(
        QUERY.vectors - center
    )
    best = {given[i].id for scores in (means, encodings) for i in np.argsort(-scores)[:12]}
    options = SearchOptions(candidates=12, fusion=fusion)
    hits = store.search(QUERY, top_k=8, options=options)
    assert len(hits) == 8
    assert {hit.id for hit in hits} <= best
    single = opened(client, None)
    alone = QdrantStore(client, "alone", first_stage=MeanPooled(), vector_options=FLOAT32)
    alone.bind(IDENTITY)
    alone.upsert(given)
    chosen = [given[i] for i in np.argsort(-means)[:12]]
    found = alone.search(QUERY, top_k=12, options=SearchOptions(candidates=12))
    # the thirteenth is asked for to see ties, so that there are thirteen candidates
    thirteen = [*chosen, given[int(np.argsort(-means)[12])]]
    assert [hit.id for hit in found] == [hit.id for hit in exact(thirteen).search(QUERY, top_k=12)]
    assert [stage.name for stage in single.first_stage] == ["mean", "muvera"]


@pytest.mark.parametrize("stages", STAGES, ids=lambda stages: "+".join(stage.name for stage in stages))
def test_filters_hold_in_every_stage(client: Client, stages: list[FirstStage]) -> None:
    """The candidates are of those that pass: else they would be the best of the others, and nothing be left."""
    given = texts(60)
    store = opened(client, stages)
    store.upsert(given)
    last = [hit.id for hit in exact(given).search(QUERY, top_k=60)][-4:]
    condition = Filter([Condition("n", "in", [int(point_id[1:]) for point_id in last])])
    hits = store.search(QUERY, top_k=4, filter=condition, options=SearchOptions(candidates=5))
    among = [p for p in given if p.id in last and (len(stages) > 1 or stages != [Lexical()] or "と" in p.text)]
    assert [hit.id for hit in hits] == [hit.id for hit in exact(among).search(QUERY, top_k=4)]


def test_lexical_candidates_are_bm25s(client: Client) -> None:
    questions: QuestionSet = read_squad([JAQUAD_EXCERPT])
    passages = questions.passages[:80]
    given = [Point(p.id, vectors(i, 3), {}, p.text) for i, p in enumerate(passages)]
    average = sum(len(WordSplitter().split(p.text)) for p in passages) / len(passages)
    store = opened(client, Lexical(average_words=average))
    store.upsert(given)
    bm25 = BM25([p.text for p in passages])
    for question in questions.questions[:10]:
        order = np.argsort(-bm25.score([question.text])[0], kind="stable")[:10]
        found = client.query_points(
            "c", query=store.first_stage[0].encode_query(Query(QUERY.vectors, question.text)), using="lexical", limit=10
        )
        assert {point.payload["_jacolbert_id"] for point in found.points if point.payload} == {
            passages[i].id for i in order
        }


def test_the_collection_records_its_first_stages(client: Client) -> None:
    store = opened(client, [Lexical(k1=0.9), FixedDimensional(repetitions=4)])
    store.upsert(texts(12))
    record = (client.get_collection("c").config.metadata or {})["jacolbert"]["first_stage"]
    record = json.loads(json.dumps(record))  # an older client's local mode keeps tuples
    average = (100 * 300 + sum(len(WordSplitter().split(p.text)) for p in texts(12))) / 112
    center = np.concatenate([p.vectors for p in texts(12)]).mean(axis=0).astype(float).round(5).tolist()
    assert record == [
        {"kind": "lexical", "average_words": average, "k1": 0.9, "b": 0.75},
        {"kind": "muvera", "hyperplanes": 4, "projection": 8, "repetitions": 4, "seed": 42, "center": center},
    ]
    again = opened(client, None)
    assert again.first_stage == (Lexical(average, 0.9), FixedDimensional(repetitions=4, center=tuple(center)))
    assert [h.id for h in again.search(QUERY, top_k=5)] == [h.id for h in store.search(QUERY, top_k=5)]
    assert opened(client, [FixedDimensional(repetitions=4), Lexical(k1=0.9)]).first_stage == again.first_stage
    others: list[list[FirstStage]] = [[], [Lexical()], [Lexical(k1=0.9), FixedDimensional(repetitions=5)]]
    for other in others:
        with pytest.raises(CollectionLayoutError, match=r"finds candidates by .* not by .*first_stage=None"):
            opened(client, other)


def test_qdrants_own_options_go_through(local: QdrantClient, monkeypatch: pytest.MonkeyPatch) -> None:
    quantization = models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8))
    seen: dict[str, Any] = {}
    create = local.create_collection
    monkeypatch.setattr(local, "create_collection", lambda *a, **options: seen.update(options) or create(*a, **options))
    stage = MeanPooled({"quantization_config": quantization})
    store = opened(local, [stage, Lexical(options={"index": models.SparseIndexParams(on_disk=True)})],
                   vector_options={"datatype": models.Datatype.FLOAT16}, shard_number=3)  # fmt: skip
    store.upsert(texts(3))
    assert seen["shard_number"] == 3
    assert seen["vectors_config"]["colbert"].datatype == models.Datatype.FLOAT16
    assert seen["vectors_config"]["colbert"].hnsw_config.m == 0
    assert seen["vectors_config"]["mean"].quantization_config == quantization
    assert seen["sparse_vectors_config"]["lexical"].modifier == models.Modifier.IDF
    assert seen["sparse_vectors_config"]["lexical"].index.on_disk


def test_pages_and_ties(client: Client) -> None:
    """Equal scores are in the order of their ids, and no page repeats or drops one."""
    same = vectors(5, 3)
    given = [Point(f"{i:02}", same if i % 3 else vectors(i, 3), {}, "猫の話") for i in range(30)]
    for stages in ([], [FixedDimensional()]):
        store = QdrantStore(client, f"c{len(stages)}", first_stage=stages, vector_options=FLOAT32)
        store.bind(IDENTITY)
        store.upsert(given)
        whole = [hit.id for hit in exact(given).search(QUERY, top_k=30)]
        pages = [store.search(QUERY, top_k=4, options=SearchOptions(offset=at)) for at in range(0, 32, 4)]
        assert [hit.id for page in pages for hit in page] == whole
        batch = store.search_batch([QUERY, Query(vectors(1, 2), "犬")], top_k=7)
        assert [hit.id for hit in batch[0]] == whole[:7]
        assert [hit.id for hit in batch[1]] == [h.id for h in store.search(Query(vectors(1, 2), "犬"), top_k=7)]


def test_thresholds(client: Client) -> None:
    given = texts(30)
    store = opened(client, FixedDimensional())
    store.upsert(given)
    scores = [hit.score for hit in exact(given).search(QUERY, top_k=30)]
    hits = store.search(QUERY, top_k=30, options=SearchOptions(score_threshold=(scores[4] + scores[5]) / 2))
    assert [hit.score for hit in hits] == pytest.approx(scores[:5], abs=1e-5)


def test_the_best_passage_of_each_document(client: Client) -> None:
    given = texts(40)
    for stages in ([], [MeanPooled()]):
        store = QdrantStore(client, f"c{len(stages)}", first_stage=stages, vector_options=FLOAT32)
        store.bind(IDENTITY)
        assert store.search_groups(QUERY, group_by="article", top_k=3) == []
        store.upsert(given)
        best: dict[int, str] = {}
        for hit in exact(given).search(QUERY, top_k=40):
            best.setdefault(hit.payload["article"], hit.id)
        hits = store.search_groups(QUERY, group_by="article", top_k=6)
        assert [hit.id for hit in hits] == list(best.values())[:6]
        assert hits.approximate == bool(stages)
        with pytest.raises(InputError, match="offset is 3"):
            store.search_groups(QUERY, group_by="article", top_k=3, options=SearchOptions(offset=3))


def test_bad_input(client: Client) -> None:
    with pytest.raises(InputError, match=r"'lexical' is no first stage\. There are Lexical, NearestCentroids"):
        QdrantStore(client, "c", first_stage=["lexical"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="one first stage of a kind"):
        QdrantStore(client, "c", first_stage=[Lexical(), Lexical(10)])
    for bad in ({"candidates": 0}, {"candidates": True}, {"offset": -1}, {"fusion": "sum"}):
        with pytest.raises(InputError, match=next(iter(bad))):
            SearchOptions(**bad)
    store = opened(client, Lexical())
    assert store.search(QUERY, top_k=3) == Hits()
    assert store.search_batch([QUERY], top_k=3) == [[]]
    with pytest.raises(InputError, match="point 'b' has no text, which the lexical first stage finds it by"):
        store.upsert([*texts(2), Point("b", vectors(1))])
    assert not store.exists()
    store.upsert(texts(3))
    with pytest.raises(InputError, match="the query has no text"):
        store.search(Query(QUERY.vectors), top_k=1)
    with pytest.raises(VectorError, match="the query: expected vectors of 8"):
        store.search_batch([QUERY, Query(np.ones((2, 4), np.float32), "猫")], top_k=1)
    assert store.search(Query(QUERY.vectors), top_k=3, options=SearchOptions(exact=True))


def test_a_record_of_another_release(client: Client) -> None:
    record = {**IDENTITY.to_dict(), "first_stage": [{"kind": "graph"}]}
    vector = models.VectorParams(size=DIMENSION, distance=models.Distance.DOT)
    client.create_collection("c", {"colbert": vector}, metadata={"jacolbert": record})
    with pytest.raises(StoreFileError, match="has a first stage that this release cannot read"):
        opened(client, None)


def test_nodes_bring_their_text(client: Client, mini: JaColBERT) -> None:
    from llama_index.core.schema import TextNode

    store = QdrantStore(client, "nodes", first_stage=[Lexical(), FixedDimensional()])
    retriever = JaColBERTRetriever(store, mini, similarity_top_k=1)
    retriever.insert_nodes([TextNode(text="富士山は日本で一番高い山である。"), TextNode(text="琵琶湖は日本最大の湖。")])
    assert retriever.retrieve("日本最大の湖は何か")[0].node.get_content() == "琵琶湖は日本最大の湖。"
    assert store.search(Query(mini.encode_query(["山"])[0], "山"), top_k=2).approximate


APART = Query(vectors(999, 4), "ペット")  # a word that no document has


def test_without_shared_words_all_documents_are_scored(client: Client) -> None:
    given = texts(40)
    store = opened(client, Lexical())
    store.upsert(given)
    expected = exact(given).search(APART, top_k=5)
    hits = store.search(APART, top_k=5)
    assert [hit.id for hit in hits] == [hit.id for hit in expected]
    assert not hits.approximate
    assert store.search(APART, top_k=5, options=SearchOptions(exact_limit=0)) == []
    assert store.search(APART, top_k=5, options=SearchOptions(exact_limit=39)) == []
    assert store.search_words("ペット", top_k=5) == []  # words alone stay words alone


def test_where_few_share_a_word_the_rest_is_scored(client: Client) -> None:
    given = [*texts(20), Point("rare", vectors(500, 3), {"n": 99}, "珍しい話")]
    store = opened(client, Lexical())
    store.upsert(given)
    query = Query(QUERY.vectors, "珍しい")
    few = store.search(query, top_k=1)
    assert [hit.id for hit in few] == ["rare"]
    assert few.approximate  # as many as asked for: others may be better
    hits = store.search(query, top_k=4)
    assert [hit.id for hit in hits] == [hit.id for hit in exact(given).search(query, top_k=4)]
    assert not hits.approximate
    page = store.search(query, top_k=2, options=SearchOptions(offset=2))
    assert [hit.id for hit in page] == [hit.id for hit in hits][2:]
    condition = Filter([Condition("n", "<", 3)])
    inside = store.search(query, top_k=3, filter=condition)
    assert [hit.id for hit in inside] == [hit.id for hit in exact(given).search(query, top_k=3, filter=condition)]
    least = hits[1].score
    above = store.search(query, top_k=4, options=SearchOptions(score_threshold=least - 1e-4))
    assert [hit.id for hit in above] == [hit.id for hit in hits[:2]]


def test_a_batch_looks_further_in_one_more_request(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    given = texts(40)
    store = opened(client, Lexical())
    store.upsert(given)
    asked: list[str] = []
    for name in ("query_points", "query_batch_points", "count"):
        real = getattr(client, name)

        def noted(*args: Any, _real: Any = real, _name: str = name, **options: Any) -> Any:
            asked.append(_name)
            return _real(*args, **options)

        monkeypatch.setattr(client, name, noted)
    queries = [APART, QUERY, Query(vectors(7, 3), "ねこ"), APART]
    answers = store.search_batch(queries, top_k=3)
    assert asked == ["query_batch_points", "count", "query_batch_points"]
    assert [[hit.id for hit in hits] for hits in answers] == [
        [hit.id for hit in store.search(query, top_k=3)] for query in queries
    ]
    assert [isinstance(hits, Hits) and hits.approximate for hits in answers] == [False, True, False, False]


def test_groups_look_further_too(client: Client) -> None:
    given = texts(24)
    store = opened(client, Lexical())
    store.upsert(given)
    found = store.search_groups(APART, group_by="article", top_k=3)
    assert len(found) == 3
    assert [hit.id for hit in found][:1] == [hit.id for hit in exact(given).search(APART, top_k=1)]


def test_dense_searches_leave_words_out(client: Client) -> None:
    given = [*texts(20), Point("apart", QUERY.vectors, {}, "別の話")]
    words = Query(QUERY.vectors, "猫")
    expected = [hit.id for hit in exact(given).search(words, top_k=3)]
    assert expected[0] == "apart"
    store = opened(client, Lexical())
    store.upsert(given)
    assert "apart" not in [hit.id for hit in store.search(words, top_k=3)]
    found = store.search_dense(words, top_k=3)
    assert ([hit.id for hit in found], found.approximate) == (expected, False)
    bounded = QdrantStore(client, "c", search_options=SearchOptions(exact_limit=5))
    bounded.bind(IDENTITY)
    assert bounded.search_dense(words, top_k=3).approximate
    both = QdrantStore(client, "both", first_stage=[Lexical(), MeanPooled()], vector_options=FLOAT32)
    both.bind(IDENTITY)
    both.upsert(given)
    found = both.search_dense(words, top_k=3)
    assert ([hit.id for hit in found], found.approximate) == (expected, True)


@pytest.mark.parametrize("value", [-1, 1.5, True])
def test_bad_exact_limits(value: Any) -> None:
    with pytest.raises(InputError, match="exact_limit"):
        SearchOptions(exact_limit=value)


def test_qdrants_bm25_can_be_said_over_grpc(tmp_path: Path) -> None:
    """The client turns no model of its own into a message; and in a folder the same text has the same weights."""
    stage = QdrantBM25(average_words=10.0)
    (document,) = stage.encode_points([Point("a", vectors(1, 2), {}, "港の灯台は百年前に建てられた。")])
    assert isinstance(document, models.Document)
    sent = RestToGrpc.convert_document(document)
    assert sent.options["language"].string_value == "japanese"
    assert sent.options["avg_len"].double_value == pytest.approx(4.4)
    with EdgeStore(tmp_path, first_stage=stage) as store:
        store.bind(IDENTITY)
        store.upsert([Point("a", vectors(1, 2), {}, "港の灯台"), Point("b", vectors(1, 2), {}, "駅前の書店")])
        assert [hit.id for hit in store.search_words("灯台", top_k=2)] == ["a"]
