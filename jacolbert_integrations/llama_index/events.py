"""LlamaIndex's callback events of several queries that are answered together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any

from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.callbacks.base import EventContext


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
    """Callback events around the work on some queries. Should it fail, they end with the exception."""
    events = QueryEvents(manager, kind, payloads)
    try:
        yield events
    except BaseException as error:  # also a cancelled task
        events.end([{EventPayload.EXCEPTION: error} for _ in payloads])
        raise
