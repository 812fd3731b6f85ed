"""Qdrant Edge in a process of its own: where it works, Python's interpreter lock is held.

multiprocessing's managers and pools would do, but that they run the caller's script once more at the start, which every
application would have to guard against, and end at Ctrl-C.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import wraps
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import IO, Any, TypeAlias, TypeVar, cast
from weakref import WeakSet, finalize

from ...errors import EngineError, InputError
from .client import EdgeClient

# Modules are looked for where the process that starts this one looks for them. PYTHONPATH could not say that: Python
# itself imports encodings and others from there as it starts, and a script may lie beside a file of such a name.
_SERVE = f"import sys; sys.path[:] = sys.argv[1:]; from {__name__} import serve; serve()"
_GREETING = b"jacolbert-edge\n"  # before the first answer: whatever else is printed at the start is none
_LENGTH = struct.Struct("<Q")  # of the message that follows
_OPEN, _CLOSE = "open", "close"
_SECONDS_TO_END = 60  # for what is still to be written to the disk

_Requests: TypeAlias = "SimpleQueue[tuple[bytes, Future[bytes]] | None]"
_open: WeakSet[EdgeProcess] = WeakSet()

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
    there and comes back. It ends with this process, however that ends, and by no signal that asks it to: it lives for
    as long as it may be asked.

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
        self._closed = False
        self._asking = Lock()
        self._process = _started(self.path)
        self._requests: _Requests = SimpleQueue()
        # It alone speaks with the process, so that a KeyboardInterrupt cannot cut a message in two. A pool's thread
        # would end before those who ask at the interpreter's exit.
        Thread(target=_speak, args=(self._process, self._requests, self.path), name="qdrant-edge", daemon=True).start()
        self._end = finalize(self, _end, self._process, self._requests)
        _open.add(self)
        try:
            self._ask(_OPEN, (str(self.path),), {})
        except BaseException:
            self._let_go()
            raise

    def close(self) -> None:
        """Writes everything to the disk, releases the folder, and ends the process. A second call does nothing.

        Calls that other threads have begun are answered first.

        Raises:
            EngineError: If not everything could be written.
        """
        with self._asking:
            if self._closed:
                return
            self._closed = True
            asked = None if self._process.poll() is not None else self._put(_CLOSE, (), {})
        try:
            if asked is not None:
                _answer(asked)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._closed = True
        _open.discard(self)
        self._end()

    def _ask(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls a method of the client in the other process, and returns its result or raises its error."""
        if os.getpid() != self._owner:
            raise EngineError(f"{self!r} belongs to the process that this one was forked off. Open one of its own.")
        with self._asking:
            if self._closed:
                raise EngineError(f"{self!r} has been closed. Open it again.")
            asked = self._put(name, args, kwargs)
        return _answer(asked)

    def _put(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[bytes]:
        try:
            request = pickle.dumps((name, args, kwargs), pickle.HIGHEST_PROTOCOL)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise InputError(f"what was given to {name} cannot be sent to another process: {error}.") from error
        asked: Future[bytes] = Future()
        self._requests.put((request, asked))
        return asked

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


def _answer(asked: Future[bytes]) -> Any:
    failure, answer = pickle.loads(asked.result())
    if failure is not None:
        raise failure
    return answer


def _started(path: Path) -> subprocess.Popen[bytes]:
    if not sys.executable:
        raise EngineError(f"no process can be started for {path}: this Python does not know its own program.")
    entries = [entry for entry in sys.path if isinstance(entry, str)]  # Python looks at no others
    with suppress(OSError):  # where the working directory is gone, nothing is found in it either
        entries = [entry or str(Path.cwd()) for entry in entries]
    try:
        return subprocess.Popen(
            [sys.executable, "-c", _SERVE, *filter(None, entries)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    except OSError as error:
        raise EngineError(f"no process can be started for {path}: {error}.") from None


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def _speak(process: subprocess.Popen[bytes], requests: _Requests, path: Path) -> None:
    """Sends requests and hears their answers, one after the other, until there is None."""
    heard = _pipes(process)[1].read(len(_GREETING))
    if heard not in (_GREETING, b""):
        process.kill()
    while (asked := requests.get()) is not None:
        request, answer = asked
        try:
            if heard not in (_GREETING, b""):
                raise EngineError(
                    f"the process of Qdrant Edge for {path} began with {heard!r}. Something prints wherever this "
                    "Python is started, such as a sitecustomize. Have it print to stderr."
                )
            answer.set_result(_exchanged(process, request, path))
        except BaseException as error:
            answer.set_exception(error)
        del asked, request, answer  # they may be large, and the next may be long in coming


def _exchanged(process: subprocess.Popen[bytes], request: bytes, path: Path) -> bytes:
    requests, answers = _pipes(process)
    try:
        _send(requests, request)
        return _receive(answers)
    except BaseException as error:
        process.kill()  # what comes next could be the rest of this answer
        raise EngineError(
            f"the process of Qdrant Edge for {path} has ended (exit code {process.wait()}). What was "
            "acknowledged before is in its log. Open the folder again."
        ) from error


def _end(process: subprocess.Popen[bytes], requests: _Requests) -> None:
    """Has the process write what it holds, and end: nobody can ask any more."""
    requests.put(None)
    to_it, from_it = _pipes(process)
    with suppress(OSError):  # of what could not be sent, where it has ended
        to_it.close()
    try:
        process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    from_it.close()


def _forget_in_a_fork() -> None:
    """Lets go of other processes' ends of the pipes: those would not end for as long as somebody here has them."""
    for client in list(_open):
        client._end.detach()
        client._process.returncode = 0  # it is not for this process to wait for
        client._asking = Lock()  # some thread may have had it, which is not here
        nothing = os.open(os.devnull, os.O_RDWR)
        for pipe in _pipes(client._process):
            os.dup2(nothing, pipe.fileno(), inheritable=False)
        os.close(nothing)
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_a_fork)


def serve() -> None:
    """Runs the engine in its own process, and answers requests until the parent has gone."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # sent to a whole group; who asks may have something left to ask
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that is printed here may run into the answers
    with suppress(EOFError, OSError):
        answers.write(_GREETING)
        answers.flush()
        _, (path,), _ = pickle.loads(_receive(requests))
        try:
            client = EdgeClient(path)
        except Exception as error:
            _send(answers, _failed(error))
            return
        _send(answers, pickle.dumps((None, None)))
        with client:
            _serve(client, requests, answers)


def _serve(client: EdgeClient, requests: IO[bytes], answers: IO[bytes]) -> None:
    name = None
    while name != _CLOSE:
        try:
            name, args, kwargs = pickle.loads(_receive(requests))
        except (EOFError, OSError):
            raise
        except Exception as error:
            problem = f"what was given cannot be read by another process: {error}. Give plain values."
            _send(answers, _failed(InputError(problem)))
            continue
        try:
            answer = pickle.dumps((None, getattr(client, name)(*args, **kwargs)), pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            answer = _failed(error)
        _send(answers, answer)


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
