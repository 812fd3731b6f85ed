"""How the location of a store is written: ``":memory:"``, a folder, or the address of a Qdrant server.

Such a string is called a location here. It can be kept in a description or a configuration file, so it never holds a
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
"""The location of a :class:`~jacolbert_integrations.stores.memory.MemoryStore`."""


def check_location(location: object) -> str:
    """Refuses what is no location, and an address with a secret in it, because locations are written down.

    Args:
        location: A string, or a folder as a :class:`~pathlib.Path`.

    Raises:
        InputError: If it is empty, looks like the address of a server but is none, or holds a user, a password, a
            query or parameters.
    """
    if isinstance(location, Path):
        location = str(location)
    if not isinstance(location, str) or not location.strip() or "\0" in location:
        raise InputError(
            f"location is {location!r:.80}, but it is {MEMORY!r}, a folder, or the address of a Qdrant server."
        )
    if is_address(location):
        _check_address(location)
    elif _LIKE_AN_ADDRESS.match(location):
        raise InputError(
            "the location looks like the address of a server, and would be taken for a folder. An address begins with "
            "http:// or https://, in small letters; a folder of such a name is './...'."
        )
    return location


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


def check_own_process(location: str, own_process: bool) -> None:
    """Refuses a process of its own to what has none here.

    Raises:
        InputError: If the location is to have one, and is no folder.
    """
    if own_process and (location == MEMORY or is_address(location)):
        raise InputError(
            f"own_process is for Qdrant Edge, which runs in a folder, but the location is {location!r}. Give a folder, "
            "or leave own_process out."
        )


def is_address(location: str) -> bool:
    """Returns whether a location is a server's address."""
    return location.startswith(("http://", "https://"))


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
