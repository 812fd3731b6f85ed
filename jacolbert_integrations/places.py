"""Where documents are kept, named by a string, so that it can be written down and opened again elsewhere.

This is the one module of the core that knows of an adapter, and only when a place is opened: whoever holds a name needs
no word of the library behind it, and two adapters go on meeting through the protocol.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from .errors import InputError
from .types import MultiVectorStore

_LIKE_AN_ADDRESS = re.compile(r"\s*(?:[a-z][a-z0-9+.-]+://|[\w.-]+:\d+(?:[/?#;]|$))", re.IGNORECASE)

MEMORY = ":memory:"
"""The place of a :class:`~jacolbert_integrations.stores.memory.MemoryStore`."""


def check_place(place: str) -> str:
    """Refuses what is no place, and an address with a secret in it, because places are written down.

    Raises:
        InputError: If it is empty, looks like the address of a server but is none, or holds a user, a password or a
            query.
    """
    if not isinstance(place, str) or not place.strip():
        raise InputError(f"place is {place!r}, but it is {MEMORY!r}, a folder, or the address of a Qdrant server.")
    if is_address(place):
        parts = urlsplit(place)
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise InputError(
                f"the address of {parts.hostname} holds a user, a password or a query. Leave it out: the key of a "
                "server is read from $QDRANT_API_KEY."
            )
    elif _LIKE_AN_ADDRESS.match(place):
        raise InputError(
            "the place looks like the address of a server, and would be taken for a folder. An address begins with "
            "http:// or https://, in small letters; a folder of such a name is './...'."
        )
    return place


def check_own_process(place: str, own_process: bool) -> None:
    """Refuses a process of its own to what has none here.

    Raises:
        InputError: If the place is to have one, and is no folder.
    """
    if own_process and (place == MEMORY or is_address(place)):
        raise InputError(
            f"own_process is for Qdrant Edge, which runs in a folder, but the place is {place!r}. Give a folder, or "
            "leave own_process out."
        )


def is_address(place: str) -> bool:
    """Whether a place is a server's."""
    return place.startswith(("http://", "https://"))


def open_store(
    place: str,
    collection: str,
    first_stage: Sequence[str] | None = None,
    *,
    keywords: Sequence[str] = (),
    grpc: bool = False,
    own_process: bool = False,
) -> MultiVectorStore:
    """Opens what is at a place. It has to be bound to its model before use.

    Args:
        place: ``":memory:"``; a folder, in which Qdrant Edge runs in this process; or the address of a Qdrant server,
            whose key is read from ``$QDRANT_API_KEY``.
        collection: The collection's name. Memory has but one.
        first_stage: How a new collection finds candidates for MaxSim, by name: ``"lexical"``, ``"bm25"``, ``"muvera"``,
            ``"mean"``. None takes what a collection has, and makes a new one without.
        keywords: Payload keys by which it will be filtered often, as strings.
        grpc: Whether to talk gRPC with a server.
        own_process: Whether Qdrant Edge runs in a process of its own, for an event loop that must go on meanwhile.

    Raises:
        InputError: If it is no place, there is no such first stage, or what is no folder is to have its own process.
        MissingExtraError: If it is a folder, and Qdrant Edge is not installed.
        EngineError: If the folder cannot be used.
    """
    check_place(place)
    check_own_process(place, own_process)
    if place == MEMORY:
        if first_stage:
            raise InputError(
                f"first_stage is {list(first_stage)}, but every search in memory is exact. Give a folder or the "
                "address of a Qdrant server as the place, or leave first_stage out."
            )
        from .stores.memory import MemoryStore  # here, because it brings torch

        return MemoryStore()
    from .qdrant.opening import open_collection

    return open_collection(place, collection, first_stage, keywords=keywords, grpc=grpc, own_process=own_process)
