"""Waiting for what other threads or an event loop do: for the thing itself, however long it takes, and for no time."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from functools import wraps
from types import TracebackType
from typing import Any, TypeVar

from .conftest import PATIENCE

Result = TypeVar("Result")


class FreeLoop:
    """An event loop, and functions that wait, whenever they are called, until it has gone on meanwhile."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """What is called and awaited in the loop."""

        async def within() -> Result:
            self._loop, self._thread = asyncio.get_running_loop(), threading.current_thread()
            return await call()

        return asyncio.run(within())

    def goes_on(self, what: str) -> None:
        """Returns when the loop has gone on since this was called, which it cannot if it waits for who calls it."""
        assert self._loop is not None
        assert threading.current_thread() is not self._thread, f"{what} is called in the event loop itself"
        went_on = threading.Event()
        self._loop.call_soon_threadsafe(went_on.set)
        assert went_on.wait(PATIENCE), f"{what} holds up the event loop"

    def waiting(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """The function, called when the loop has gone on."""

        @wraps(real)
        def call(*arguments: Any, **options: Any) -> Any:
            self.goes_on(real.__name__)
            self.calls.append(real.__name__)
            return real(*arguments, **options)

        return call


class WatchedLock:
    """A lock in the place of another: it says that somebody has to wait for it, and who waits is next."""

    def __init__(self) -> None:
        self.somebody_waits = threading.Event()
        self._changed = threading.Condition()
        self._threads: deque[int] = deque()  # the first has it
        self._depth = 0

    def __enter__(self) -> None:
        thread = threading.get_ident()
        with self._changed:
            if thread not in self._threads:
                self._threads.append(thread)
            if self._threads[0] != thread:
                self.somebody_waits.set()
                self._changed.wait_for(lambda: self._threads[0] == thread)
            self._depth += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._changed:
            self._depth -= 1
            if not self._depth:
                self._threads.popleft()
                self._changed.notify_all()
