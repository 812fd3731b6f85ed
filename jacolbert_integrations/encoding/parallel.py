"""Documents encoded by several processes at once: one for each GPU, or several on a CPU."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections.abc import Sequence
from math import ceil
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from multiprocessing.util import get_temp_dir
from threading import RLock, Thread
from types import TracebackType
from typing import Any

import numpy as np
import torch
from sentence_transformers import MultiVectorEncoder
from tqdm import tqdm

from ..errors import InputError, WorkerError
from ..types import TokenVectors
from .devices import check_device
from .encoder import JaColBERT
from .transformer import Task, check_texts

_MOST_TEXTS_OF_A_CHUNK = 256
_MOST_CPU_PROCESSES = 4


class EncoderPool:
    """A pool of sentence-transformers' in whose processes a model encodes as it does here.

    Start it with ``with``, and call :meth:`encode_document` in place of the model's own. It takes some seconds
    until the processes have loaded what they need, so use one pool for all of a corpus. As every program that
    starts processes, a script needs ``if __name__ == "__main__":``.

    The CPU threads that torch may use here are divided among the processes. They get the weights by shared memory,
    of which a container needs as much (Docker's ``--shm-size``); those on the CPU use that one copy. They end with
    the pool, and with this process however it ends.

    Args:
        model: The model, as it is when the pool starts.
        devices: A process for each, such as ``["cuda:0", "cuda:1"]`` or ``["cpu", "cpu"]``. None takes every GPU,
            or without one as many processes on the CPU as torch has threads, at most 4.
        chunk_size: Texts that a process gets at a time. None gives each a quarter of its share, at most 256.

    Attributes:
        model: The model.
        devices: One for each process.

    Raises:
        InputError: If a device is none, or there is no such GPU; or if ``chunk_size`` is below 1.
    """

    def __init__(
        self, model: JaColBERT, devices: Sequence[str] | None = None, *, chunk_size: int | None = None
    ) -> None:
        if chunk_size is not None and (not isinstance(chunk_size, int) or chunk_size < 1):
            raise InputError(f"chunk_size is {chunk_size!r}, but it must be an integer of at least 1, or None.")
        self.model = model
        self.devices = tuple(_default_devices() if devices is None else _checked(devices))
        self.chunk_size = chunk_size
        self._pipeline: _PoolPipeline | None = None
        self._pool: dict[Any, Any] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r}, devices={list(self.devices)})"

    def __enter__(self) -> EncoderPool:
        """Starts the processes.

        Raises:
            InputError: If the pool is running already, or the model cannot be sent to another process.
        """
        if self._pool is not None:
            raise InputError("this pool is running already.")
        get_temp_dir()  # ours, which the processes then share: their own would be left behind when they are ended
        device = self.model.model.device
        self._pipeline = _PoolPipeline.of(self.model, max(1, torch.get_num_threads() // len(self.devices)))
        try:
            self._pool = self._pipeline.start_multi_process_pool(list(self.devices))
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise InputError(f"the model {self.model.name!r} cannot be sent to another process: {error}.") from error
        finally:
            self.model.model.to(device)  # sentence-transformers leaves it on the CPU
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes; what they are doing is lost."""
        pool, self._pool = self._pool, None
        if pool is not None:
            for process in pool["processes"]:
                process.kill()  # one that hangs would not heed the SIGTERM that sentence-transformers sends
            MultiVectorEncoder.stop_multi_process_pool(pool)

    def encode_document(self, texts: Sequence[str], *, show_progress_bar: bool | None = None) -> list[TokenVectors]:
        """Encodes documents as token vectors, as :meth:`JaColBERT.encode_document` does.

        They differ from its vectors by rounding alone, as they come from other batches. After any error but an
        :class:`InputError` the pool is closed, so that nothing of this call can get into the next.

        Args:
            texts: The documents.
            show_progress_bar: None shows one after a second, on a terminal.

        Returns:
            A (tokens, dimension) float32 array a document, in the order of the texts.

        Raises:
            InputError: If ``texts`` is one string, or holds something other than strings, or the pool is not running.
            WorkerError: If a process has died.

        Warns:
            TruncationWarning: Once, if documents were longer than the model reads.
        """
        if isinstance(texts, str):
            raise InputError(f"expected a list of texts, but got one string; write [{texts!r:.40}].")
        texts = list(texts)
        check_texts(texts)
        if self._pool is None or self._pipeline is None:
            raise InputError("this pool is not running. Encode inside of `with EncoderPool(model) as pool:`.")
        return self._encode(texts, self._pipeline, self._pool, show_progress_bar)

    def _encode(
        self, texts: list[str], pipeline: _PoolPipeline, pool: dict[Any, Any], show_progress_bar: bool | None
    ) -> list[TokenVectors]:
        try:
            if (death := self._death()) is not None:
                raise death
            pipeline.bar = tqdm(
                total=len(texts),
                desc="Encoding documents",
                disable=None if show_progress_bar is None else not show_progress_bar,
                delay=1.0 if show_progress_bar is None else 0.0,
            )
            with pipeline.bar:
                chunk_size = self._chunk_size(len(texts))
                encoded: Any = pipeline.encode(texts, pool=pool, chunk_size=chunk_size, show_progress_bar=False)
        except BaseException as error:
            if isinstance(error, (EOFError, OSError)):  # a result of one that is just dying
                wait([process.sentinel for process in pool["processes"]], timeout=10.0)
            death = self._death()
            self.close()
            if death is not None and isinstance(error, Exception) and not isinstance(error, WorkerError):
                raise death from error
            raise
        cut, pipeline.cut = pipeline.cut, 0
        self.model._warn_of_cuts(cut, len(texts), "document")
        return list(encoded)

    def _chunk_size(self, texts: int) -> int:
        if self.chunk_size is not None:
            return self.chunk_size
        # small enough that no process waits long for the last one, and that few results are in shared memory
        return max(1, min(_MOST_TEXTS_OF_A_CHUNK, ceil(texts / len(self.devices) / 4)))

    def _death(self) -> WorkerError | None:
        """Returns the error that says which processes have died, or None."""
        processes = [] if self._pool is None else self._pool["processes"]
        dead = [
            f"the process {process.pid} on {device} (exit code {process.exitcode})"
            for device, process in zip(self.devices, processes, strict=True)
            if not process.is_alive()
        ]
        if not dead:
            return None
        return WorkerError(
            f"{', '.join(dead)} of {len(self.devices)} in the pool died before the work was done, so the call gives no "
            "vectors. If it ended by itself, its own message is on stderr; exit code -9 is most often a lack of "
            "memory. The pool is closed: start a new one, and encode again."
        )


class _PoolPipeline(MultiVectorEncoder):
    """A pipeline as sentence-transformers' pools take it: sent to each process, and called there.

    Their own loop would cut batches by texts, and send each matrix by a file descriptor of its own, which are 1,024
    to most processes. This one encodes as :class:`JaColBERT` does, and sends the rows of a chunk as one block. What
    goes through the queue is then smaller than what a pipe takes at once, so that a process that is killed cannot
    leave half a message, for whose other half the reader would wait for ever.
    """

    jacolbert: JaColBERT
    threads: int
    usual_device: str
    worker: _WorkerModel
    sent: torch.Tensor
    """Kept, since a process that is being started gets its file descriptor."""
    bar: Any = None
    cut: int = 0

    @classmethod
    def of(cls, model: JaColBERT, threads: int) -> _PoolPipeline:
        """Builds the pipeline of a model for a pool; it shares the modules."""
        own = cls.__new__(cls)
        own.__dict__.update(model.model.__dict__)
        own.jacolbert = model
        own.threads = threads
        own.usual_device = model.model.device.type
        return own

    def __reduce__(self) -> Any:
        # By shared memory: of what fills a pipe, the start of the next process would wait until this one had read it.
        state = {name: value for name, value in self.__dict__.items() if name != "sent"}
        self.sent = torch.frombuffer(bytearray(ForkingPickler.dumps(state)), dtype=torch.uint8)
        return _unpickled, (self.sent,)

    @classmethod
    def _multi_process_worker(cls, target_device: str, model: Any, input_queue: Any, results_queue: Any) -> None:
        Thread(target=_end_with_parent, daemon=True).start()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, who then ends this process
        torch.set_num_threads(model.threads)
        tqdm.set_lock(RLock())  # its own is shared between processes, and would be left behind when this one is ended
        model.worker = _WorkerModel(model.jacolbert, target_device, model.usual_device)
        super()._multi_process_worker(target_device, model, input_queue, results_queue)

    def _inference(self, inputs: list[str], **_: Any) -> Any:
        """Encodes texts in a process of the pool: returns all rows, how many each text has, and how many were cut."""
        vectors = self.worker.encode_document(inputs, show_progress_bar=False)
        cut, self.worker.cut = self.worker.cut, 0
        return [torch.from_numpy(np.concatenate(vectors)), torch.tensor([len(matrix) for matrix in vectors]), cut]

    def _get_worker_result(self, pool: Any, poll_interval: float = 1.0) -> Any:  # type: ignore[override]
        """Copies the matrices of a chunk into memory of the caller's process."""
        chunk, result = super()._get_worker_result(pool, poll_interval)
        if isinstance(result, Exception):
            return chunk, result
        rows, lengths, cut = result
        self.cut += cut
        self.bar.update(len(lengths))
        return chunk, [matrix.copy() for matrix in np.split(rows.numpy(), np.cumsum(lengths.numpy())[:-1])]


class _WorkerModel(JaColBERT):
    """A model in a process of a pool. It counts the texts that it cuts: the caller warns of all of them once."""

    def __init__(self, model: JaColBERT, device: str, usual_device: str) -> None:
        self.__dict__.update(model.__dict__)
        self.model.to(device)
        if self.model.device.type != usual_device:  # batches of another size suit it
            self.batch_tokens = JaColBERT(self.model).batch_tokens
        self.cut = 0

    def _warn_of_cuts(self, cut: int, total: int, task: Task) -> None:  # noqa: ARG002 - the caller's interface
        self.cut += cut


def _unpickled(block: torch.Tensor) -> _PoolPipeline:
    pipeline = _PoolPipeline.__new__(_PoolPipeline)
    pipeline.__dict__.update(pickle.loads(block.numpy().tobytes()))
    return pipeline


def _end_with_parent() -> None:
    """Ends a process of a pool when its caller was killed: it would wait for texts for ever, and keep its memory."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _default_devices() -> list[str]:
    gpus = torch.cuda.device_count()
    return [f"cuda:{i}" for i in range(gpus)] or ["cpu"] * min(_MOST_CPU_PROCESSES, torch.get_num_threads())


def _checked(devices: Sequence[str]) -> list[str]:
    if isinstance(devices, str) or not devices:
        raise InputError(
            f"devices is {devices!r}, but it must be a list such as ['cuda:0', 'cuda:1'] or ['cpu', 'cpu']."
        )
    return [check_device(name) for name in devices]
