"""LlamaIndex's events of several queries that are answered together: each has its own, as if it were alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any

from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.callbacks.base import EventContext
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # re-exported
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent, RetrievalStartEvent
from llama_index.core.schema import NodeWithScore, QueryBundle, QueryType

_dispatcher = get_dispatcher(__name__)
_REPORTED = "event_added"
"""How LlamaIndex marks an exception that a callback was told of, so that no other is."""


class QueryEvents:
    """One callback event a query, side by side: none is the parent of another.

    Args:
        manager: Whom to tell.
        kind: What happens.
        payloads: What is known of each query before.
    """

    def __init__(self, manager: CallbackManager, kind: CBEventType, payloads: Sequence[dict[str, Any]]) -> None:
        self._events: list[tuple[Context, EventContext]] = []
        for payload in payloads:
            context, event = copy_context(), EventContext(manager, kind)  # starting an event changes its context
            context.run(event.on_start, payload=payload)
            self._events.append((context, event))

    def end(self, payloads: Sequence[dict[str, Any]]) -> None:
        """Ends all events with what is known of each query now; one that was ended before stays so."""
        for (context, event), payload in zip(self._events, payloads, strict=True):
            if not event.finished:
                context.run(event.on_end, payload=payload)


@contextmanager
def query_events(
    manager: CallbackManager, kind: CBEventType, payloads: Sequence[dict[str, Any]]
) -> Iterator[QueryEvents]:
    """Emits callback events around the work on some queries. If the work fails, they end with the exception."""
    events = QueryEvents(manager, kind, payloads)
    try:
        yield events
    except BaseException as error:  # also a cancelled task
        events.end([{} if hasattr(error, _REPORTED) else {EventPayload.EXCEPTION: error} for _ in payloads])
        setattr(error, _REPORTED, True)
        raise


@contextmanager
def retrieval_events(
    manager: CallbackManager, queries: Sequence[QueryType], bundles: Sequence[QueryBundle]
) -> Iterator[list[list[NodeWithScore]]]:
    """Emits for each of several queries the events and callbacks that LlamaIndex's ``retrieve`` emits for one.

    Args:
        manager: Whom to tell, beside the dispatcher's handlers.
        queries: The queries as they were asked.
        bundles: The queries as bundles.

    Yields:
        A list for the nodes of each query, to be filled.
    """
    results: list[list[NodeWithScore]] = []
    for query in queries:
        _dispatcher.event(RetrievalStartEvent(str_or_query_bundle=query))
    payloads: list[dict[str, Any]] = [{EventPayload.QUERY_STR: bundle.query_str} for bundle in bundles]
    with manager.as_trace("query"), query_events(manager, CBEventType.RETRIEVE, payloads) as events:
        yield results
        events.end([{EventPayload.NODES: nodes} for nodes in results])
    for query, nodes in zip(queries, results, strict=True):
        _dispatcher.event(RetrievalEndEvent(str_or_query_bundle=query, nodes=nodes))
