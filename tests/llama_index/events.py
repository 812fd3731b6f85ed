"""What LlamaIndex's dispatcher tells those who listen: events, and spans that are entered, left and dropped."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import llama_index.core.instrumentation as instrument
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.span import BaseSpan
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler

_RANDOM = len("-00000000-0000-0000-0000-000000000000")  # what a span's id ends with


class Events(BaseEventHandler):
    events: list[BaseEvent] = []  # noqa: RUF012 - a pydantic field

    @classmethod
    def class_name(cls) -> str:
        return "Events"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        self.events.append(event)


class TracedEvents(BaseEventHandler):
    trace: list[str] = []  # noqa: RUF012 - a pydantic field

    @classmethod
    def class_name(cls) -> str:
        return "TracedEvents"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        self.trace.append(f"{type(event).__name__} in {str(event.span_id)[:-_RANDOM]}")


class TracedSpans(BaseSpanHandler[BaseSpan]):
    trace: list[str] = []  # noqa: RUF012 - a pydantic field

    @classmethod
    def class_name(cls) -> str:
        return "TracedSpans"

    def new_span(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any | None = None,
        parent_span_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> BaseSpan:
        parent = f" in {parent_span_id[:-_RANDOM]}" if parent_span_id else ""
        self.trace.append(f"enter {id_[:-_RANDOM]}{parent}")
        return BaseSpan(id_=id_, parent_id=parent_span_id)

    def prepare_to_exit_span(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any | None = None,
        result: Any | None = None,
        **kwargs: Any,
    ) -> BaseSpan:
        self.trace.append(f"exit {id_[:-_RANDOM]}")
        return self.open_spans[id_]

    def prepare_to_drop_span(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any | None = None,
        err: BaseException | None = None,
        **kwargs: Any,
    ) -> BaseSpan:
        self.trace.append(f"drop {id_[:-_RANDOM]}: {type(err).__name__}")
        return self.open_spans[id_]


@contextmanager
def recorded_events() -> Iterator[list[BaseEvent]]:
    """The events that are sent meanwhile."""
    handler, root = Events(), instrument.get_dispatcher()  # type: ignore[attr-defined]
    root.add_event_handler(handler)
    try:
        yield handler.events
    finally:
        root.event_handlers.remove(handler)


@contextmanager
def recorded_trace() -> Iterator[list[str]]:
    """Events and spans in the order in which they come, by name."""
    events, spans, root = TracedEvents(), TracedSpans(), instrument.get_dispatcher()  # type: ignore[attr-defined]
    trace = events.trace = spans.trace  # one for both
    root.add_event_handler(events)
    root.add_span_handler(spans)
    try:
        yield trace
    finally:
        root.event_handlers.remove(events)
        root.span_handlers.remove(spans)
