"""Which batch a device gets when, on a device that counts what it has and runs out of memory where it is told to."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from jacolbert_integrations.encoding.batching import Batch
from jacolbert_integrations.encoding.scheduling import Schedule
from jacolbert_integrations.encoding.transformer import Encoded
from jacolbert_integrations.errors import DeviceMemoryError
from jacolbert_integrations.types import TokenVectors


def batch_of(*rows: int) -> Batch:
    return Batch(list(rows), [Encoded([1, row, 2], 3, cut=False) for row in rows], padded=False)


class Device:
    """Answers with the rows of a batch; room is how many texts it can start, or wait for, at a time."""

    def __init__(self, start_room: int = 100, wait_room: int = 100) -> None:
        self.rooms = {"start": start_room, "wait": wait_room}
        self.events: list[tuple[str, list[int]]] = []

    def __call__(self, batch: Batch) -> Callable[[], list[TokenVectors]]:
        self._do("start", batch)

        def wait() -> list[TokenVectors]:
            self._do("wait", batch)
            return [np.full((1, 1), row, np.float32) for row in batch.rows]

        return wait

    def _do(self, what: str, batch: Batch) -> None:
        self.events.append((what, batch.rows))
        if len(batch.rows) > self.rooms[what]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def answered(schedule: Schedule, batches: Iterator[Batch]) -> list[int]:
    """Returns the rows in the order in which their vectors come, having checked that they are theirs."""
    rows = []
    for batch, vectors in schedule.computed(batches):
        assert [int(matrix[0, 0]) for matrix in vectors] == batch.rows
        rows += batch.rows
    return rows


def test_two_are_started_before_the_first_is_waited_for() -> None:
    device = Device()
    assert answered(Schedule(device, "gpu"), (batch_of(i) for i in range(5))) == [0, 1, 2, 3, 4]
    assert [what for what, _ in device.events] == ["start"] * 3 + ["wait", "start"] * 2 + ["wait"] * 3


def test_the_next_are_made_while_the_device_computes() -> None:
    device = Device()
    made: list[int] = []

    def making() -> Iterator[Batch]:
        for i in range(5):
            made.append(i)
            yield batch_of(i)

    computed = Schedule(device, "gpu").computed(making())
    next(computed)
    assert made == [0, 1, 2]


@pytest.mark.parametrize(("start_room", "wait_room"), [(2, 100), (100, 2), (2, 2)])
def test_halves_from_the_first_that_was_too_large_on(start_room: int, wait_room: int) -> None:
    device = Device(start_room, wait_room)
    schedule = Schedule(device, "gpu")
    batches = [batch_of(0), *(batch_of(*range(i, i + 4)) for i in range(1, 25, 4)), batch_of(25)]
    assert sorted(answered(schedule, iter(batches))) == list(range(26))
    assert schedule.too_large == 12
    failed = [rows for _, rows in device.events if len(rows) > 2]
    if start_room == 2:  # one was too large, and no other of its size was tried
        assert failed == [[1, 2, 3, 4]]
    else:  # as were the two that had been started by then
        assert failed == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]


@pytest.mark.parametrize(("start_room", "wait_room"), [(1, 100), (100, 1)])
def test_a_half_that_is_too_large_is_an_error(start_room: int, wait_room: int) -> None:
    schedule = Schedule(Device(start_room, wait_room), "cuda:0")
    with pytest.raises(DeviceMemoryError, match="cuda:0 has too little memory to encode 2 texts of 6 tokens"):
        answered(schedule, iter([batch_of(1, 2, 3, 4)]))


@pytest.mark.parametrize(("start_room", "wait_room"), [(0, 100), (100, 0)])
def test_one_text_that_is_too_large_is_an_error(start_room: int, wait_room: int) -> None:
    with pytest.raises(DeviceMemoryError, match="to encode 1 texts of 3 tokens"):
        answered(Schedule(Device(start_room, wait_room), "gpu"), iter([batch_of(1)]))


def test_what_failed_is_let_go_before_its_halves_are_computed() -> None:
    class Held:
        """What a failed attempt has in the memory of the device."""

    held: list[weakref.ref[Held]] = []

    def start(batch: Batch) -> Callable[[], list[TokenVectors]]:
        assert [each() for each in held] == [None] * len(held)
        memory = Held()
        held.append(weakref.ref(memory))
        if len(batch.rows) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return lambda: [np.full((1, 1), row, np.float32) for row in batch.rows]

    assert answered(Schedule(start, "gpu"), iter([batch_of(1, 2)])) == [1, 2]
    assert len(held) == 3


def test_after_another_error_nothing_is_left() -> None:
    device, kept = Device(), list[weakref.ref[Callable[[], list[TokenVectors]]]]()

    def start(batch: Batch) -> Callable[[], list[TokenVectors]]:
        if len(kept) == 2:
            raise RuntimeError("the device is gone")
        wait = device(batch)
        kept.append(weakref.ref(wait))
        return wait

    threads = threading.active_count()
    with pytest.raises(RuntimeError, match="the device is gone"):
        answered(Schedule(start, "gpu"), (batch_of(i) for i in range(5)))
    gc.collect()
    assert [each() for each in kept] == [None, None]
    assert threading.active_count() == threads
