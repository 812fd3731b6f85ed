"""What qdrant-client is told of a server: its address and :class:`ServerOptions`, with the secrets that they name."""

from __future__ import annotations

import math
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ..errors import InputError
from ..stores.server_options import ServerOptions, header_values, key_of_server

UNCOMPRESSED: dict[str, Any] = {"grpc.compression_enabled_algorithms_bitset": 1}
"""For ``QdrantClient(grpc_options=...)``: a server compresses all that a client takes compressed, and for token vectors
that takes ten times as long as to send them within a machine or a data centre."""


def client_arguments(address: str, options: ServerOptions) -> dict[str, Any]:
    """Returns the arguments of :class:`qdrant_client.QdrantClient`, secrets included: never show or keep them.

    Args:
        address: Of a server, checked (:func:`~jacolbert_integrations.stores.addresses.check_location`).
        options: How to reach it.

    Raises:
        InputError: If options and address do not go together, or a file or variable that they name cannot be read.
    """
    options.check_address(address)
    parts = urlsplit(address)
    arguments: dict[str, Any] = {
        "url": urlunsplit((parts.scheme, parts.netloc, "", "", "")),
        "prefix": parts.path.strip("/") or options.prefix,
        "api_key": key_of_server(options),
        "prefer_grpc": options.prefer_grpc,
        "grpc_port": options.grpc_port,
        "timeout": math.ceil(options.timeout),
        "check_compatibility": False,  # there is one of our own, in versions.py
        "grpc_options": dict(UNCOMPRESSED),
    }
    if options.headers:
        arguments["headers"] = header_values(options)
    if options.verify is False:
        arguments["verify"] = False
    elif isinstance(options.verify, str):
        # The client gives the first to httpx, for REST, and the second to gRPC.
        arguments["verify"], certificates = _trusted(options.verify)
        arguments["grpc_options"]["root_certificates"] = certificates
    return arguments


def _trusted(file: str) -> tuple[ssl.SSLContext, bytes]:
    try:
        return ssl.create_default_context(cafile=file), Path(file).read_bytes()
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else str(error)
        raise InputError(f"verify is {file}, and no certificates can be read there ({reason}).") from None
