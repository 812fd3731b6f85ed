"""Which batch a device gets when: some ahead of the one that is waited for, and halves where its memory is short."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

import torch

from ..errors import DeviceMemoryError
from ..types import TokenVectors
from .batching import Batch
from .computing import Waiting

_STARTED_AHEAD = 2

_Result = TypeVar("_Result")


class Schedule:
    """Batches on their way through a device.

    While it computes some of them, the next are tokenized, and the vectors of those before are copied and pooled.

    Args:
        start: Has the device compute a batch, and returns a function that waits for the vectors.
        device: Its name, for errors.

    Attributes:
        too_large: Tokens of the first batch that the device had too little memory for; None if there was none.
    """

    def __init__(self, start: Callable[[Batch], Waiting], device: str) -> None:
        self.too_large: int | None = None
        self._start = start
        self._device = device

    def computed(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, list[TokenVectors]]]:
        """Yields each batch with its vectors; from the first that was too large on, the halves of each.

        Raises:
            DeviceMemoryError: If a half is too large as well, or one text is.
        """
        started: deque[tuple[Batch, Waiting]] = deque()
        for batch in batches:
            for each in self._started(batch):
                started.append(each)
                if len(started) > _STARTED_AHEAD:
                    yield from self._waited(*started.popleft())
        while started:
            yield from self._waited(*started.popleft())

    def _started(self, batch: Batch) -> Iterator[tuple[Batch, Waiting]]:
        for part in [batch] if self.too_large is None else batch.halves():
            waiting = self._attempt(part, partial(self._start, part))
            if waiting is None:
                yield from self._started(part)
            else:
                yield part, waiting

    def _waited(self, batch: Batch, waiting: Waiting) -> Iterator[tuple[Batch, list[TokenVectors]]]:
        vectors = self._attempt(batch, waiting)
        if vectors is None:
            for each in self._started(batch):
                yield from self._waited(*each)
        else:
            yield batch, vectors

    def _attempt(self, batch: Batch, compute: Callable[[], _Result]) -> _Result | None:
        """Returns what is computed, or None if memory is short for it: its halves may fit.

        They are computed after this has returned, since the error holds on to memory of the device.
        """
        try:
            return compute()
        except torch.OutOfMemoryError as error:
            if batch.halved or len(batch.rows) == 1:
                raise DeviceMemoryError(
                    f"{self._device} has too little memory to encode {len(batch.rows):,} texts of {batch.tokens:,} "
                    "tokens. Set batch_tokens of the model to less, load it with dtype=torch.bfloat16, or free memory "
                    "of the device."
                ) from error
        if self.too_large is None:
            self.too_large = batch.tokens
        return None
