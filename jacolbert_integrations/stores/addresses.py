"""How the location of a store is written: ``":memory:"``, a folder, or the address of a Qdrant server.

Such a string is called a place here. It can be kept in a description or a configuration file, so it never holds a
secret.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ..errors import InputError

_LIKE_AN_ADDRESS = re.compile(r"\s*(?:[a-z][a-z0-9+.-]+://|[\w.-]+:\d+(?:[/?#;]|$))", re.IGNORECASE)

_NOT_IN_NAMES = re.compile('[<>:"/\\\\|?*\x00-\x1f\x7f-\x9f\ud800-\udfff]')
_NAME_BYTES = 255

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
