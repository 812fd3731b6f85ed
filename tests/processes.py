"""Processes beside the tests' own. They begin with what tests import loaded already (conftest.py), and know no more."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import pytest

Result = TypeVar("Result")


def in_another_process(function: Callable[..., Result], *arguments: Any) -> Result:
    """What a function of a module gives in a process that ends after it."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver")) as process:
        return process.submit(function, *arguments).result()


class Workers(ProcessPoolExecutor):
    """Two processes that LlamaIndex uses in place of those that it starts anew for each run, which takes seconds."""

    def __init__(self) -> None:
        super().__init__(2, mp_context=multiprocessing.get_context("forkserver"))

    def Pool(self, processes: int) -> AbstractContextManager[Workers]:
        assert processes == 2
        return nullcontext(self)

    def starmap(self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
        return [future.result() for future in [self.submit(function, *own) for own in arguments]]


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers() as workers:
        yield workers


@pytest.fixture
def two_processes(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "cpu_count", lambda: 2)  # LlamaIndex uses no more than there are
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: workers)
    monkeypatch.setattr("llama_index.core.ingestion.pipeline.ProcessPoolExecutor", lambda max_workers: workers.Pool(2))
