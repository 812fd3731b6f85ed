"""How to reach a Qdrant server, beside its address: all that a location has no room for, and no secret."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import InputError
from .addresses import is_address

API_KEY = "QDRANT_API_KEY"
"""The environment variable of a server's key."""

API_KEY_FILE = "QDRANT_API_KEY_FILE"
"""The environment variable that names a file with it, as secrets come into containers."""

_HEADER_NAME = re.compile(r"[a-z0-9_.-]+")
_OWN_HEADERS = ("api-key", "user-agent", "host", "content-length", "content-type", "te")
_SOURCES = ("env:", "file:")


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How to reach a server, by the names that :class:`qdrant_client.QdrantClient` has for it.

    No value of it is a secret: those of headers, and the key, are read from the environment or from files when a client
    is opened. So it can be shown, written down and sent to other processes.

    Attributes:
        prefer_grpc: Whether to talk gRPC.
        grpc_port: The port of gRPC; that of REST is in the address.
        timeout: Seconds to wait for an answer.
        prefix: The path under which a proxy has the server's REST interface. It may stand in the address instead.
        verify: A file with the certificates of the authorities to trust, or whether to check the server's at all.
            Over gRPC it is always checked.
        headers: Sent with each request, over REST and as gRPC's metadata. By name, where the value is: ``"env:NAME"``
            for an environment variable, ``"file:PATH"`` for a file.
        api_key_file: A file with the server's key. Without it the key is in ``$QDRANT_API_KEY``, or in the file that
            ``$QDRANT_API_KEY_FILE`` names.
        check_compatibility: Whether to ask for the server's version when a client is opened, and to refuse a server
            that is too old.

    Raises:
        InputError: If a value cannot be used.
    """

    prefer_grpc: bool = False
    grpc_port: int = 6334
    timeout: float = 60  # the client's own 5 are few for a request of some megabytes
    prefix: str | None = None
    verify: bool | str = True
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    api_key_file: str | None = None
    check_compatibility: bool = True

    def __post_init__(self) -> None:
        for name in ("prefer_grpc", "check_compatibility"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} is {getattr(self, name)!r:.80}, but it is True or False.")
        _check_number("grpc_port", self.grpc_port, int, 65_535)
        _check_number("timeout", self.timeout, (int, float), 10**6)
        prefix = None if self.prefix is None else _checked_prefix(self.prefix)
        object.__setattr__(self, "prefix", prefix)
        object.__setattr__(self, "headers", _checked_headers(self.headers))
        if not isinstance(self.verify, bool):
            object.__setattr__(self, "verify", _absolute("verify", self.verify))
        if self.api_key_file is not None:
            object.__setattr__(self, "api_key_file", _absolute("api_key_file", self.api_key_file))

    @classmethod
    def given(cls, server: ServerOptions | Mapping[str, Any] | None, *, grpc: bool = False) -> ServerOptions:
        """Returns the options that an argument stands for.

        Args:
            server: Options, or some of them by name; None takes the defaults.
            grpc: Whether to talk gRPC in any case.

        Raises:
            InputError: If there is no such option, or a value cannot be used.
        """
        if server is None or isinstance(server, Mapping):
            values = dict(server or {})
            names = [each.name for each in fields(cls)]
            if unknown := [str(name) for name in values if name not in names]:
                raise InputError(f"server has no {', '.join(unknown)}. It takes {', '.join(names)}.")
            server = cls(**values)
        if not isinstance(server, ServerOptions):
            raise InputError(f"server is a {type(server).__name__}, but it is ServerOptions, or some of them by name.")
        return replace(server, prefer_grpc=True) if grpc else server

    def to_dict(self) -> dict[str, Any]:
        """Returns what differs from the defaults, as JSON-serialisable values; :meth:`given` takes it."""
        default = asdict(ServerOptions())
        return {name: value for name, value in asdict(self).items() if value != default[name]}

    def check_address(self, address: str) -> None:
        """Refuses what cannot be with a server of this address.

        Raises:
            InputError: If there are two paths, a path is to be reached over gRPC, or certificates are named for a
                server without.
        """
        path = urlsplit(address).path.strip("/")
        if path and self.prefix is not None:
            raise InputError(f"the address {address} has a path, and prefix is {self.prefix!r}. Give one of the two.")
        if self.prefer_grpc and (path or self.prefix is not None):
            raise InputError(
                f"gRPC has no paths, so that a server under {path or self.prefix!r} cannot be reached by it. Leave "
                "gRPC out, or give the address and the grpc_port at which the proxy passes gRPC on."
            )
        if self.verify is not True and address.startswith("http://"):
            raise InputError(f"verify is for https://, but the address is {address}, which has no certificate.")
        if self.prefer_grpc and self.verify is False:
            raise InputError(
                "gRPC always checks the server's certificate: with verify, name the file of its authority."
            )


def check_server(location: str, server: object) -> None:
    """Refuses server options for what is no server.

    Raises:
        InputError: If there are some, and the location is no address.
    """
    if server is not None and not is_address(location):
        raise InputError(
            f"server is for the address of a Qdrant server, but the location is {location!r:.80}. Leave it out."
        )


def key_of_server(options: ServerOptions) -> str | None:
    """Reads the key of a server: from the options' file, the environment, or the file that the environment names.

    Raises:
        InputError: If there is no such file, or it holds no key.
    """
    if options.api_key_file is not None:
        return _from_file(options.api_key_file, "the key's file")
    if key := os.environ.get(API_KEY):
        return _checked_secret(key, f"${API_KEY}")
    if path := os.environ.get(API_KEY_FILE):
        return _from_file(path, f"the file that ${API_KEY_FILE} names,")
    return None


def header_values(options: ServerOptions) -> dict[str, str]:
    """Reads the values of the headers.

    Raises:
        InputError: If one is not where the options say.
    """
    found = {}
    for name, source in options.headers.items():
        kind, _, where = source.partition(":")
        if kind == "file":
            found[name] = _from_file(where, f"the file of the header {name!r},")
        elif where in os.environ:
            found[name] = _checked_secret(os.environ[where], f"${where}, of the header {name!r},")
        else:
            raise InputError(f"the header {name!r} is read from ${where}, which is not set.")
    return found


def _from_file(path: str, what: str) -> str:
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"{what} {path} cannot be read ({reason}).") from None
    return _checked_secret(text.strip(), f"{what} {path}")


def _checked_secret(value: str, what: str) -> str:
    """Refuses what no header can hold, without showing it."""
    if not value or not value.isascii() or not value.isprintable():
        raise InputError(f"{what} is empty, or holds what no header can: it is one line of ASCII.")
    return value


def _check_number(name: str, value: object, kind: type | tuple[type, ...], most: int) -> None:
    good = isinstance(value, kind) and not isinstance(value, bool)
    if not good or not (isinstance(value, int | float) and math.isfinite(value) and 0 < value <= most):
        raise InputError(f"{name} is {value!r:.80}, but it must be a number above 0, and {most:,} at most.")


def _checked_prefix(prefix: object) -> str | None:
    parts = prefix.strip("/").split("/") if isinstance(prefix, str) else ["."]
    if any(part in ("", ".", "..") or not part.isprintable() or set(part) & set("@?#;\\ ") for part in parts):
        if isinstance(prefix, str) and not prefix.strip("/"):
            return None
        raise InputError("prefix must be a path such as 'qdrant' or 'services/qdrant', of plain characters.")
    return "/".join(parts)


def _checked_headers(headers: object) -> dict[str, str]:
    if not isinstance(headers, Mapping):
        raise InputError(f"headers is a {type(headers).__name__}, but it maps names to where their values are.")
    checked = {}
    for name, source in headers.items():
        low = name.lower() if isinstance(name, str) else ""  # as gRPC wants them; to HTTP it is the same
        if not _HEADER_NAME.fullmatch(low) or low in _OWN_HEADERS or low.startswith("grpc-") or low.endswith("-bin"):
            raise InputError(
                f"{name!r:.80} is no name of a header of yours. A key is read from ${API_KEY}, or from api_key_file."
            )
        # The value is never shown: who writes it here in plain has written a secret.
        if not isinstance(source, str) or not source.startswith(_SOURCES) or not source.partition(":")[2].strip():
            raise InputError(
                f"the header {name!r} must say where its value is: 'env:NAME' for an environment variable, 'file:PATH' "
                "for a file. Values themselves are not taken, because options are written down."
            )
        kind, _, where = source.partition(":")
        checked[low] = f"file:{_absolute('file', where)}" if kind == "file" else source
    return checked


def _absolute(name: str, path: object) -> str:
    if not isinstance(path, str | Path) or not str(path).strip() or "\0" in str(path):
        raise InputError(f"{name} is {path!r:.80}, but it must be the path of a file.")
    return str(Path(os.path.expanduser(path)).absolute())  # noqa: PTH111 - Path's fails where there is no such user
