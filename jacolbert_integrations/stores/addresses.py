"""How the location of a store is written: ``":memory:"``, a folder, or the address of a Qdrant server.

Such a string is called a place here. It can be kept in a description or a configuration file, so it never holds a
secret.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import InputError

_LIKE_AN_ADDRESS = re.compile(r"\s*(?:[a-z][a-z0-9+.-]+://|[\w.-]+:\d+(?:[/?#;]|$))", re.IGNORECASE)

_NOT_IN_NAMES = re.compile('[<>:"/\\\\|?*\x00-\x1f\x7f-\x9f\ud800-\udfff]')
_NAME_BYTES = 255

MEMORY = ":memory:"
"""The place of a :class:`~jacolbert_integrations.stores.memory.MemoryStore`."""


def check_place(place: object) -> str:
    """Refuses what is no place, and an address with a secret in it, because places are written down.

    Args:
        place: A string, or a folder as a :class:`~pathlib.Path`.

    Raises:
        InputError: If it is empty, looks like the address of a server but is none, or holds a user, a password, a
            query or parameters.
    """
    if isinstance(place, Path):
        place = str(place)
    if not isinstance(place, str) or not place.strip() or "\0" in place:
        raise InputError(f"place is {place!r:.80}, but it is {MEMORY!r}, a folder, or the address of a Qdrant server.")
    if is_address(place):
        _check_address(place)
    elif _LIKE_AN_ADDRESS.match(place):
        raise InputError(
            "the place looks like the address of a server, and would be taken for a folder. An address begins with "
            "http:// or https://, in small letters; a folder of such a name is './...'."
        )
    return place


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        host, _ = (parts.hostname or "").partition(";")[0], parts.port
    except ValueError:
        host = ""
    if set("@?#;") & set(address):  # whatever they stand for: a secret could be behind each of them
        raise InputError(
            f"the address{f' of {host}' if host else ''} holds a user, a password, a query or parameters. Leave them "
            "out: the key of a server is read from $QDRANT_API_KEY."
        )
    if not host or any(character.isspace() for character in address):
        raise InputError(f"{address!r:.80} is no address of a server, such as 'http://localhost:6333'.")


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
    """Returns whether a location is a server's address."""
    return place.startswith(("http://", "https://"))


def check_collection_name(name: object) -> str:
    r"""Refuses what is not the name of a collection in every Qdrant, in a folder and on a server alike.

    Raises:
        InputError: If it is not a string of 1 to 255 bytes, consists of dots and blanks, or holds a control character,
            a lone surrogate, or one of ``< > : " / \ | ? *``.
    """
    good = isinstance(name, str) and bool(name.strip(" .")) and not _NOT_IN_NAMES.search(name)
    if not good or len(str(name).encode("utf-8", "surrogatepass")) > _NAME_BYTES:
        raise InputError(
            f"{name!r:.300} is no name of a collection: that has 1 to {_NAME_BYTES} bytes, and none of "
            '< > : " / \\ | ? * or control characters.'
        )
    return str(name)
