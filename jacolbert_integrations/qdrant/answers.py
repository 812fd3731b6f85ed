"""What a Qdrant server refuses, and what a client says when nobody answers, as errors of this package."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from typing import ParamSpec, TypeVar

import grpc
import httpx
from google.protobuf.message import Error as ProtobufError
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from ..errors import AccessError, JaColBERTError, ServerError, StoreError, UnreachableError
from .clients import Client, client_lock, is_local_mode

P = ParamSpec("P")
T = TypeVar("T")

DENIED: frozenset[int | str | None] = frozenset({401, 403, "UNAUTHENTICATED", "PERMISSION_DENIED"})

REFUSAL = "the Qdrant server refuses this client ({status}). Check its API key, and what that key may read and write."

_CLOSED = (
    "Cannot send a request, as the client has been closed.",  # over REST
    "Client was closed. Please create a new QdrantClient instance.",  # over gRPC
    "Cannot invoke RPC on closed channel!",
)
_NO_ANSWER = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"}
_LOST = (ConnectionError, TimeoutError, JSONDecodeError, UnicodeDecodeError, httpx.HTTPError)


@contextmanager
def answered(client: Client, what: str) -> Iterator[None]:
    """Raises this package's errors for what goes wrong between a client and its server.

    What an engine in this process raises passes through.

    Args:
        client: Any client.
        what: What is asked for, such as ``the Qdrant collection 'nodes'``.

    Raises:
        AccessError: If the server refuses the client. What it said is left out, because it may repeat the key.
        UnreachableError: If there is no answer, or none that is Qdrant's.
        ServerError: If the server refuses the request, or cannot do it.
        StoreError: If the client has been closed.
    """
    try:
        yield
    except JaColBERTError:
        raise
    except (ApiException, QdrantException, grpc.RpcError, RuntimeError, ValueError, ProtobufError, *_LOST) as error:
        if not isinstance(client, QdrantClient) or is_local_mode(client):
            raise
        found = _translated(error, f"{what} at {address_of(client)}")
        if found is None:
            raise
        if isinstance(found, ServerError | UnreachableError):
            found.args = (without_secrets(client, str(found)),)
            found.cause = error
        raise found from None


def ask(client: Client, request: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Makes one request of a client while holding its lock, and returns the answer; see :func:`answered`."""
    with client_lock(client), answered(client, "Qdrant"):
        return request(*args, **kwargs)


def address_of(client: Client) -> str:
    """Returns where a client's server is, or its folder, without anything that is secret."""
    if not isinstance(client, QdrantClient):
        return str(client.path)
    options = client.init_options
    if is_local_mode(client):
        return str(options.get("path") or ":memory:")
    place = str(options.get("url") or options.get("location") or options.get("host") or "localhost")
    scheme, separator, rest = place.rpartition("://")
    host = f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0].rstrip('/')}"
    if options.get("prefer_grpc"):
        return f"{host} (gRPC, port {options.get('grpc_port')})"
    return host if separator else f"{host}, port {options.get('port')}"


def status_of(error: BaseException) -> int | str | None:
    """Returns the HTTP status of an answer, or the name of its gRPC status; None if there was no answer."""
    if isinstance(error, UnexpectedResponse):
        return error.status_code
    if isinstance(error, grpc.RpcError):
        name: str = error.code().name
        return name
    return None


def describe(error: BaseException) -> str:
    """Returns the kind of an error and its message, on one line."""
    if isinstance(error, JaColBERTError):
        return " ".join(str(error).split())[:400]
    source = error.source if isinstance(error, ResponseHandlingException) else error
    if isinstance(source, httpx.LocalProtocolError):  # which shows the header that it will not send: the key's
        return f"{type(source).__name__}: the key or a header has characters that none can have"
    said = f"{status_of(error)}: {error.details()}" if isinstance(error, grpc.RpcError) else str(error)
    return f"{type(error).__name__.lstrip('_')}: {' '.join(said.split())[:300]}"


def cause_of(error: BaseException) -> BaseException:
    """Returns what a client raised, where :func:`answered` has put an error of this package in its place."""
    if isinstance(error, ServerError | UnreachableError) and error.cause is not None:
        return error.cause
    return error


def without_secrets(client: QdrantClient, text: str) -> str:
    """Takes out what a server repeats of what it was sent."""
    options = client.init_options
    headers = [value for name in ("headers", "metadata") for value in dict(options.get(name) or {}).values()]
    for secret in (options.get("api_key"), *headers):
        if secret:
            text = text.replace(str(secret).strip(), "***")
    return text


def _translated(error: Exception, where: str) -> StoreError | None:
    status = status_of(error)
    if status in DENIED:
        return AccessError(f"{where}: {REFUSAL.format(status=status)}")
    if str(error) in _CLOSED:
        return StoreError(f"{where}: the store's client has been closed. Make a new one, and a new store.")
    if isinstance(error, ResponseHandlingException | ConnectionError | TimeoutError | httpx.HTTPError):
        return UnreachableError(f"{where}: no answer ({describe(error)}). {_advice(error)}")
    if isinstance(error, JSONDecodeError | UnicodeDecodeError):
        return UnreachableError(f"{where}: what answers there is no Qdrant server. Check the address and the port.")
    if status in _NO_ANSWER:
        return UnreachableError(f"{where}: no answer ({describe(error)}). {_advice(error)}")
    if isinstance(error, ApiException | QdrantException | grpc.RpcError | ProtobufError):
        return ServerError(f"{where}: the server cannot do it ({describe(error)}).")
    return None


def _advice(error: Exception) -> str:
    source = error.source if isinstance(error, ResponseHandlingException) else error
    if isinstance(source, httpx.TimeoutException | TimeoutError) or status_of(error) == "DEADLINE_EXCEEDED":
        return "A client with a longer timeout may help."
    said = str(source)
    if "SSL" in said or "CERTIFICATE" in said or "TLS" in said:
        return "Check whether the address begins with https:// or http://, and the server's certificate."
    if isinstance(source, httpx.RemoteProtocolError):
        return "Is it the port of gRPC? REST has 6333, gRPC 6334, unless the server says otherwise."
    if isinstance(error, grpc.RpcError):
        return "Is the server running, and is the port that of gRPC (6334, unless the server says otherwise)?"
    return "Is the server running, and are the address and the port right?"
