"""What differs between the clients that a store works with: a server's, local mode's and Qdrant Edge's."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

from qdrant_client import QdrantClient

from ..stores.addresses import check_own_process, is_address
from ..stores.server_options import ServerOptions, check_server
from .servers import UNCOMPRESSED, client_arguments
from .versions import check_server_version, probe

if TYPE_CHECKING:
    from .edge.client import EdgeClient

Client: TypeAlias = "QdrantClient | EdgeClient"

_locks: WeakKeyDictionary[Client, AbstractContextManager[Any]] = WeakKeyDictionary()
_looking_up = Lock()


def is_local_mode(client: Client) -> bool:
    """Returns whether it is qdrant-client's local mode (``":memory:"`` or a path), an imitation of Qdrant in numpy."""
    if not isinstance(client, QdrantClient):
        return False
    options = client.init_options
    return options.get("location") == ":memory:" or options.get("path") is not None


def is_in_process(client: Client) -> bool:
    """Returns whether Qdrant runs in this process, so that nothing is sent over a network."""
    return not isinstance(client, QdrantClient) or is_local_mode(client)


def keeps_float16(client: Client) -> bool:
    """Returns whether the engine keeps vectors in the data type that was asked for: local mode does not."""
    return not is_local_mode(client)


def uses_grpc(client: Client) -> bool:
    """Returns whether vectors travel as binary numbers, rather than as JSON text."""
    return isinstance(client, QdrantClient) and bool(client.init_options.get("prefer_grpc"))


def sends_binary(client: Client) -> bool:
    """Returns whether vectors travel as they are, neither as text nor compressed (:data:`UNCOMPRESSED`)."""
    options = client.init_options.get("grpc_options") if uses_grpc(client) else None  # type: ignore[union-attr]
    return options is not None and options.items() >= UNCOMPRESSED.items()


def client_lock(client: Client) -> AbstractContextManager[Any]:
    """Returns the lock to hold during a request: re-entrant for a client in local mode, else one that never waits.

    qdrant-client's local mode is not safe in threads: while one thread writes, others fail, and points are lost. A
    server, and the client of Qdrant Edge, lock for themselves. Hold the lock for one request at most: not while a model
    encodes, and not in a generator that waits for its consumer.
    """
    if not is_local_mode(client):
        return nullcontext()
    with _looking_up:
        return _locks.setdefault(client, RLock())


def connect(
    location: str,
    *,
    grpc: bool = False,
    server: ServerOptions | Mapping[str, Any] | None = None,
    own_process: bool = False,
) -> Client:
    """Opens a client for a location.

    Args:
        location: The location: the address of a server; or a folder, in which Qdrant Edge runs in this process.
        grpc: Whether to talk gRPC with a server.
        server: How to reach a server beside: :class:`~jacolbert_integrations.stores.server_options.ServerOptions`, or
            some of them by name. Without it, the server's key is read from ``$QDRANT_API_KEY``.
        own_process: Whether Qdrant Edge runs in a process of its own, for an event loop that must go on meanwhile.

    Raises:
        InputError: If a server is to have a process of its own, or a folder has server options; if these cannot be
            used.
        ServerError: If the server is too old; that it does not answer is no error yet.
        MissingExtraError: If it is a folder, and Qdrant Edge is not installed.
        EngineError: If the folder cannot be used.
    """
    check_own_process(location, own_process)
    check_server(location, server)
    if is_address(location):
        options = ServerOptions.given(server, grpc=grpc)
        arguments = client_arguments(location, options)
        if options.check_compatibility:
            check_server_version(probe(arguments), location)
        return QdrantClient(**arguments)
    folder = Path(location).expanduser()
    if own_process:
        from .edge.process import EdgeProcess

        return EdgeProcess(folder)
    from .edge.client import EdgeClient

    return EdgeClient(folder)
