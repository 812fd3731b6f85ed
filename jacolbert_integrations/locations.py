"""Opens the store at a location that is given as a string, of whichever kind it is.

This is the one module between the stores and the adapters: it imports an adapter only when a location of that kind is
opened, so that a caller with a string needs to know nothing of the library behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import InputError
from .stores.addresses import MEMORY, check_location, check_own_process
from .stores.server_options import ServerOptions, check_server
from .types import MultiVectorStore


def open_store(
    location: str | Path,
    collection: str,
    first_stage: Sequence[str] | None = None,
    *,
    indexes: Mapping[str, str] | None = None,
    grpc: bool = False,
    server: ServerOptions | Mapping[str, Any] | None = None,
    own_process: bool = False,
) -> MultiVectorStore:
    """Opens what is at a location. It has to be bound to its model before use.

    Args:
        location: The location: ``":memory:"``; a folder, in which Qdrant Edge runs in this process; or the
            address of a Qdrant server, whose key is read from ``$QDRANT_API_KEY``.
        collection: The collection's name. Memory has only one.
        first_stage: How a new collection finds candidates for MaxSim, by name: ``"centroids"``, ``"lexical"``,
            ``"bm25"``, ``"muvera"``, ``"mean"``. None takes what a collection has, and makes a new one without.
        indexes: Payload keys by which it will be filtered, as what each is indexed, such as ``"keyword"``.
        grpc: Whether to talk gRPC with a server.
        server: How to reach a server beside (ports, time, certificates, headers): see :class:`ServerOptions`, of which
            a mapping gives some by name.
        own_process: Whether Qdrant Edge runs in a process of its own, for an event loop that must go on meanwhile.

    Raises:
        InputError: If it is no location, there is no such first stage, or what is no folder is to have its own process,
            or what is no server has server options.
        ServerError: If the server is too old.
        MissingExtraError: If it is a folder, and Qdrant Edge is not installed.
        EngineError: If the folder cannot be used.
    """
    location = check_location(location)
    check_own_process(location, own_process)
    check_server(location, server)
    if location == MEMORY:
        if first_stage:
            raise InputError(
                f"first_stage is {list(first_stage)}, but every search in memory is exact. Give a folder or the "
                "address of a Qdrant server as the location, or leave first_stage out."
            )
        from .stores.memory import MemoryStore  # here, because it brings torch

        return MemoryStore()
    from .qdrant.opening import open_collection

    return open_collection(
        location, collection, first_stage, indexes=indexes, grpc=grpc, server=server, own_process=own_process
    )
