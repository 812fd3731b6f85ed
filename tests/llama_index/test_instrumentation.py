"""Spans, events and callbacks: those of LlamaIndex's own retriever and postprocessors, also where something fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core import MockEmbedding, QueryBundle, VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, LlamaDebugHandler
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent, RetrievalStartEvent
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.retrievers import VectorIndexRetriever
from llama_index.core.schema import NodeWithScore, QueryType, TextNode
from llama_index.core.vector_stores import SimpleVectorStore

from jacolbert_integrations import JaColBERT, JaColBERTRerank, JaColBERTRetriever, JaColBERTVectorStore, MemoryStore
from jacolbert_integrations.errors import InputError

from .events import recorded_trace

NODES = [TextNode(id_=text, text=text) for text in ("富士山は高い。", "猫は小さい。", "東京は首都である。")]
QUERIES = ["高い山", "小さな動物"]


class StoreIsDownError(Exception):
    pass


class DownVectorStore(SimpleVectorStore):
    """A built-in vector store that cannot answer."""

    def query(self, query: Any, **kwargs: Any) -> Any:
        raise StoreIsDownError

    async def aquery(self, query: Any, **kwargs: Any) -> Any:
        raise StoreIsDownError


class DownStore(MemoryStore):
    """One of ours that cannot answer."""

    def search(self, query: Any, *, top_k: int, filter: object | None = None) -> Any:
        raise StoreIsDownError


def built_in(down: bool) -> VectorIndexRetriever:
    index = VectorStoreIndex(NODES, embed_model=MockEmbedding(embed_dim=2))
    if down:
        index = VectorStoreIndex([], embed_model=MockEmbedding(embed_dim=2))
        index._vector_store = DownVectorStore()
    return VectorIndexRetriever(index)


def ours(model: JaColBERT, down: bool) -> JaColBERTRetriever:
    return JaColBERTRetriever.from_nodes(NODES, model, store=DownStore() if down else MemoryStore())


def batch(retriever: JaColBERTRetriever, queries: Sequence[QueryType], asynchronous: bool) -> list[list[NodeWithScore]]:
    return asyncio.run(retriever.aretrieve_batch(queries)) if asynchronous else retriever.retrieve_batch(queries)


def told(debug: LlamaDebugHandler) -> list[tuple[CBEventType, list[EventPayload | str]]]:
    """Callback events in their order, and what each told of."""
    events = [event for pair in debug.get_event_pairs() for event in pair]
    return [(event.event_type, list(event.payload or {})) for event in events]


def observed(retriever: BaseRetriever, asynchronous: bool) -> tuple[list[str], list[Any], str | None]:
    """What listeners hear of a query: the dispatcher's, and the callbacks; and the error that it ended with."""
    debug = LlamaDebugHandler(print_trace_on_end=False)
    retriever.callback_manager = CallbackManager([debug])
    error = None
    with recorded_trace() as trace:
        try:
            if asynchronous:
                asyncio.run(retriever.aretrieve(QUERIES[0]))
            else:
                retriever.retrieve(QUERIES[0])
        except StoreIsDownError as raised:
            error = type(raised).__name__
    name = type(retriever).__name__
    return [line.replace(name, "Retriever") for line in trace if "Embedding" not in line], told(debug), error


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_query_is_told_of_as_by_llama_indexs_own_retriever(mini: JaColBERT, asynchronous: bool, down: bool) -> None:
    expected = observed(built_in(down), asynchronous)
    assert observed(ours(mini, down), asynchronous) == expected
    way = "a" if asynchronous else ""
    inner = ["exit Retriever._{}retrieve"] if not down else ["SpanDropEvent in Retriever._{}retrieve"]
    assert expected[0][:4] == [
        line.format(way)
        for line in (
            "enter Retriever.{}retrieve",
            "RetrievalStartEvent in Retriever.{}retrieve",
            "enter Retriever._{}retrieve in Retriever." + way + "retrieve",
            *inner,
        )
    ]
    assert expected[2] == ("StoreIsDownError" if down else None)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_batch_is_one_span_with_the_events_of_its_queries(
    mini: JaColBERT, trace: list[str], events: list[BaseEvent], asynchronous: bool
) -> None:
    retriever = ours(mini, down=False)
    asked: list[QueryType] = [QUERIES[0], QueryBundle(QUERIES[1])]
    found = batch(retriever, asked, asynchronous)
    span = f"JaColBERTRetriever.{'a' if asynchronous else ''}retrieve_batch"
    started, ended = [f"RetrievalStartEvent in {span}"] * 2, [f"RetrievalEndEvent in {span}"] * 2
    assert trace == [f"enter {span}", *started, *ended, f"exit {span}"]
    starts = [event.str_or_query_bundle for event in events if isinstance(event, RetrievalStartEvent)]
    ends = [(e.str_or_query_bundle, e.nodes) for e in events if isinstance(e, RetrievalEndEvent)]
    assert starts == asked
    assert ends == list(zip(asked, found, strict=True))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_failing_batch_is_told_of_as_a_failing_query(mini: JaColBERT, trace: list[str], asynchronous: bool) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    retriever = ours(mini, down=True)
    retriever.callback_manager = CallbackManager([debug])
    with pytest.raises(StoreIsDownError):
        batch(retriever, QUERIES, asynchronous)
    span = f"JaColBERTRetriever.{'a' if asynchronous else ''}retrieve_batch"
    started = [f"RetrievalStartEvent in {span}"] * 2
    assert trace == [f"enter {span}", *started, f"SpanDropEvent in {span}", f"drop {span}: StoreIsDownError"]
    assert told(debug) == 2 * observed(ours(mini, down=True), asynchronous)[1]


def test_a_cancelled_batch_ends_its_callbacks(mini: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    retriever = ours(mini, down=False)
    retriever.callback_manager = CallbackManager([debug])

    async def run() -> None:
        waits = asyncio.Event()

        async def forever(*_: Any) -> Any:
            waits.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(asyncio, "to_thread", forever)
        task = asyncio.ensure_future(retriever.aretrieve_batch(QUERIES))
        await waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    ends = [pair[1].payload or {} for pair in debug.get_event_pairs(CBEventType.RETRIEVE)]
    assert [type(end[EventPayload.EXCEPTION]) for end in ends] == [asyncio.CancelledError] * 2


class Traces(BaseCallbackHandler):
    """Remembers where traces begin and end."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.seen: list[str | None] = []

    def start_trace(self, trace_id: str | None = None) -> None:
        self.seen.append(trace_id)

    def end_trace(self, trace_id: str | None = None, trace_map: dict[str, list[str]] | None = None) -> None:
        self.seen.append(f"end of {trace_id}")

    def on_event_start(self, *_: Any, **__: Any) -> str:
        return ""

    def on_event_end(self, *_: Any, **__: Any) -> None:
        pass


def test_a_batch_is_one_trace_as_a_query_is(mini: JaColBERT) -> None:
    traces = Traces()
    retriever = ours(mini, down=False)
    retriever.callback_manager = CallbackManager([traces])
    retriever.retrieve(QUERIES[0])
    alone = list(traces.seen)
    traces.seen.clear()
    retriever.retrieve_batch(QUERIES)
    assert traces.seen == alone == ["query", "end of query"]


def test_callbacks_of_an_index_reach_its_retriever(mini: JaColBERT) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    store = JaColBERTVectorStore(mini)
    store.add(NODES)
    index = store.as_index(callback_manager=CallbackManager([debug]))
    found = index.as_retriever(similarity_top_k=1).retrieve(QUERIES[0])
    ((_, end),) = debug.get_event_pairs(CBEventType.RETRIEVE)
    assert (end.payload or {})[EventPayload.NODES] == found


def test_what_is_no_query_is_refused_before_anything_is_told(mini: JaColBERT, events: list[BaseEvent]) -> None:
    retriever = ours(mini, down=False)
    for bad, kind in ((["山", None], "query 2 of 2 is a NoneType"), (3, "query 1 of 1 is a int")):
        with pytest.raises(InputError, match=f"{kind}, but it must be a string or a QueryBundle"):
            retriever.retrieve_batch(bad)
    assert [event for event in events if isinstance(event, RetrievalStartEvent)] == []
    assert len(retriever.retrieve_batch(query for query in QUERIES)) == 2


@pytest.mark.parametrize("asynchronous", [False, True])
def test_reranking_has_the_spans_of_a_built_in_postprocessor_and_the_events_of_rerankers(
    mini: JaColBERT, asynchronous: bool
) -> None:
    nodes = [NodeWithScore(node=node, score=0.5) for node in NODES]
    heard: dict[str, list[str]] = {}
    for postprocessor in (SimilarityPostprocessor(), JaColBERTRerank(mini)):
        with recorded_trace() as trace:
            if asynchronous:
                asyncio.run(postprocessor.apostprocess_nodes(nodes, query_str=QUERIES[0]))
            else:
                postprocessor.postprocess_nodes(nodes, query_str=QUERIES[0])
        name = postprocessor.class_name()
        heard[name] = [line.replace(name, "Postprocessor") for line in trace]
    reranking = heard["JaColBERTRerank"]
    assert [line for line in reranking if "ReRank" not in line] == heard["SimilarityPostprocessor"] != []
    within = "in Postprocessor._postprocess_nodes"
    assert reranking[1:-1] == [f"ReRankStartEvent {within}", f"ReRankEndEvent {within}"]


def test_callbacks_of_reranking_tell_what_it_was_given_and_what_came_out(mini: JaColBERT) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    rerank = JaColBERTRerank(mini, top_n=1, callback_manager=CallbackManager([debug]))
    given = [[NodeWithScore(node=node, score=0.5) for node in NODES[first:]] for first in (0, 1)]
    found = rerank.postprocess_nodes_batch(given, QUERIES)
    pairs = debug.get_event_pairs(CBEventType.RERANKING)
    assert [pair[0].payload for pair in pairs] == [
        {
            EventPayload.NODES: own,
            EventPayload.MODEL_NAME: mini.name,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: 1,
        }
        for own, query in zip(given, QUERIES, strict=True)
    ]
    assert [pair[1].payload for pair in pairs] == [{EventPayload.NODES: own} for own in found]


def test_failing_reranking_drops_its_span_and_has_no_end(mini: JaColBERT, trace: list[str]) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    rerank = JaColBERTRerank(mini, callback_manager=CallbackManager([debug]))
    with pytest.raises(InputError, match="have no text"):
        rerank.postprocess_nodes([NodeWithScore(node=TextNode(text=" "))], query_str="山")
    span = "JaColBERTRerank._postprocess_nodes"
    assert trace == [
        f"enter {span}",
        f"ReRankStartEvent in {span}",
        f"SpanDropEvent in {span}",
        f"drop {span}: InputError",
    ]
    assert told(debug)[1] == (CBEventType.RERANKING, [EventPayload.EXCEPTION])
