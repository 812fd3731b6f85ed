"""Opens a collection at a location that is given as a string."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..stores.server_options import ServerOptions
from .clients import connect
from .stages import stages_of_names
from .store import QdrantStore


def open_collection(
    location: str,
    collection: str,
    first_stage: Sequence[str] | None = None,
    *,
    indexes: Mapping[str, str] | None = None,
    grpc: bool = False,
    server: ServerOptions | Mapping[str, Any] | None = None,
    own_process: bool = False,
) -> QdrantStore:
    """Opens a collection that exists, or that will be created.

    Args:
        location: The location, as for :func:`~.clients.connect`.
        collection: Its name.
        first_stage: Names of first stages; None takes what the collection has.
        indexes: Payload keys by which it will be filtered, as what each is indexed, such as ``"keyword"``.
        grpc: As :func:`~.clients.connect`.
        server: As :func:`~.clients.connect`.
        own_process: As :func:`~.clients.connect`.

    Raises:
        InputError: If there is no first stage of a name, or as :func:`~.clients.connect`.
        ServerError: If the server is too old.
        MissingExtraError: As :func:`~.clients.connect`.
        EngineError: As :func:`~.clients.connect`.
    """
    stages = None if first_stage is None else stages_of_names(first_stage)
    client = connect(location, grpc=grpc, server=server, own_process=own_process)
    return QdrantStore(client, collection, first_stage=stages, indexes=indexes)
