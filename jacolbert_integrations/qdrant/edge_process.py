"""Qdrant Edge in a process of its own: where it works, Python's interpreter lock is held."""

from __future__ import annotations

import os
import pickle
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import wraps
from pathlib import Path
from threading import Lock
from typing import IO, Any, TypeVar, cast
from weakref import finalize

from ..errors import EngineError, InputError
from .edge_client import EdgeClient

_SERVE = f"from {__name__} import serve; serve()"
_LENGTH = struct.Struct("<Q")  # of the message that follows
_SECONDS_TO_END = 60  # for what is still to be written to the disk

F = TypeVar("F", bound=Callable[..., Any])


def _forwarded(method: F) -> F:
    @wraps(method)
    def forward(self: EdgeProcess, *args: Any, **kwargs: Any) -> Any:
        return self._ask(method.__name__, args, kwargs)

    return cast("F", forward)


class EdgeProcess(EdgeClient):
    """An :class:`EdgeClient` whose engine runs in a process of its own.

    While that searches or writes, this process's event loop and its other threads go on; and should the operating
    system end the engine, this process lives. The price is a second Python with its memory, and copies of what goes
    there and comes back. It ends with this process, however that ends.

    Safe in threads: one call is answered after the other. A process that is forked off this one must open its own.

    Args:
        path: As of :class:`EdgeClient`.

    Raises:
        EngineError: As :class:`EdgeClient`, or if the process cannot be started.
        MissingExtraError: If Qdrant Edge is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._owner = os.getpid()
        self._closing = Lock()
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path),
            "PYTHONSAFEPATH": "1",  # else a file in the working directory could hide a module
        }
        command = [sys.executable, "-c", _SERVE, str(self.path)]
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        except OSError as error:
            raise EngineError(f"no process can be started for {self.path}: {error}.") from None
        self._end = finalize(self, _end, self._process)
        # This thread alone speaks with the process: a KeyboardInterrupt cannot cut a message in two.
        self._speaker = ThreadPoolExecutor(1, thread_name_prefix="qdrant-edge")
        try:
            self._ask("__repr__", (), {})  # or why it could not be made
        except BaseException:
            self._let_go()
            raise

    def close(self) -> None:
        """Writes everything to the disk, lets go of the folder, and ends the process. A second call does nothing."""
        with self._closing:
            try:
                if self._end.alive and self._process.poll() is None:
                    self._ask("close", (), {})
            finally:
                self._let_go()

    def _let_go(self) -> None:
        self._speaker.shutdown()
        self._end()

    def _ask(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a method of the other process's client returns, or raises."""
        if os.getpid() != self._owner:
            raise EngineError(f"{self!r} belongs to the process that this one was forked off. Open one of its own.")
        try:
            request = pickle.dumps((name, args, kwargs), pickle.HIGHEST_PROTOCOL)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise InputError(f"what was given to {name} cannot be sent to another process: {error}.") from error
        try:
            asked = self._speaker.submit(self._exchange, request)
        except RuntimeError:  # it has been shut down
            raise EngineError(f"{self!r} has been closed. Open it again.") from None
        failure, answer = asked.result()
        if failure is not None:
            raise failure
        return answer

    def _exchange(self, request: bytes) -> Any:
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        try:
            _send(requests, request)
            return pickle.loads(_receive(answers))
        except (OSError, EOFError, ValueError):
            raise EngineError(
                f"the process of Qdrant Edge for {self.path} has ended (exit code {self._process.wait()}). What was "
                "acknowledged before is in its log. Open the folder again."
            ) from None

    collection_exists = _forwarded(EdgeClient.collection_exists)
    get_collections = _forwarded(EdgeClient.get_collections)
    get_collection = _forwarded(EdgeClient.get_collection)
    create_collection = _forwarded(EdgeClient.create_collection)
    delete_collection = _forwarded(EdgeClient.delete_collection)
    update_collection_aliases = _forwarded(EdgeClient.update_collection_aliases)
    get_aliases = _forwarded(EdgeClient.get_aliases)
    create_payload_index = _forwarded(EdgeClient.create_payload_index)
    optimize = _forwarded(EdgeClient.optimize)
    upsert = _forwarded(EdgeClient.upsert)
    set_payload = _forwarded(EdgeClient.set_payload)
    delete = _forwarded(EdgeClient.delete)
    retrieve = _forwarded(EdgeClient.retrieve)
    scroll = _forwarded(EdgeClient.scroll)
    count = _forwarded(EdgeClient.count)
    query_points = _forwarded(EdgeClient.query_points)
    query_batch_points = _forwarded(EdgeClient.query_batch_points)
    query_points_groups = _forwarded(EdgeClient.query_points_groups)


def serve() -> None:
    """What the other process does: it answers for as long as somebody can ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks; this one ends after it
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that is printed here may run into the answers
    try:
        client = EdgeClient(sys.argv[1])
    except Exception as error:
        _send(answers, _failed(error))
        return
    with client:
        while True:
            try:
                _send(answers, _outcome(client, _receive(requests)))
            except (EOFError, OSError):
                return


def _outcome(client: EdgeClient, request: bytes) -> bytes:
    try:
        name, args, kwargs = pickle.loads(request)
        return pickle.dumps((None, getattr(client, name)(*args, **kwargs)), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> bytes:
    try:
        message = pickle.dumps((error, None))
        pickle.loads(message)  # some errors go in, and do not come out again
    except Exception:
        message = pickle.dumps((EngineError(f"{type(error).__name__}: {error}"), None))
    return message


def _send(file: IO[bytes], message: bytes) -> None:
    file.write(_LENGTH.pack(len(message)))
    file.write(message)
    file.flush()


def _receive(file: IO[bytes]) -> bytes:
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    message = file.read(length)
    if len(message) < length:
        raise EOFError
    return message


def _end(process: subprocess.Popen[bytes]) -> None:
    """Has the process write what it holds, and end: nobody can ask any more."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(OSError):  # of what could not be sent, where it has ended
        process.stdin.close()
    try:
        process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
