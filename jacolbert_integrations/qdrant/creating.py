"""The request that makes a collection, on a server that may not be able to."""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel
from qdrant_client import QdrantClient

from ..errors import ServerError
from .answers import DENIED, describe, status_of, without_secrets
from .clients import Client, is_in_process
from .retrying import REJECTED, may_pass
from .versions import METADATA, check_features, server_version, wanted_features

_SAID_OF_OPTIONS = ("hnsw_config", "quantization_config", "on_disk", "datatype", "memory")
_NO_OPTIONS = ("vectors_config", "sparse_vectors_config", "metadata")


def make_collection(client: Client, collection: str, *, bm25: bool = False, **arguments: Any) -> None:
    """Makes a collection, and on a server sees that it became what was asked for.

    Args:
        client: Any client.
        collection: Its name.
        bm25: Whether the server is to encode texts by BM25.
        **arguments: Of :meth:`QdrantClient.create_collection`, ``vectors_config`` and ``metadata`` among them.

    Raises:
        ServerError: If the server refuses it, cannot do something of it, or keeps no metadata. Then it is not there.
        Exception: What the client raises, if it may pass, or the server refuses this client.
    """
    if is_in_process(client):
        client.create_collection(collection, **arguments)
        return
    server = cast("QdrantClient", client)
    version = server_version(server)
    check_features(version, wanted_features(arguments, bm25=bm25))
    try:
        server.create_collection(collection, **arguments)
    except REJECTED as error:
        if status_of(error) in DENIED or (may_pass(error) and not _of_options(error)):
            raise
        raise ServerError(
            f"the Qdrant server{f' {version}' if version else ''} refuses the collection {collection!r} "
            f"({without_secrets(server, describe(error))}). It was asked for {_said(arguments)}."
        ) from None
    kept = server.get_collection(collection).config.metadata or {}
    if not arguments["metadata"].keys() <= kept.keys():
        server.delete_collection(collection)  # just made, and empty: nobody could write into it
        raise ServerError(
            f"the Qdrant server{f' {version}' if version else ''} keeps no {METADATA.name}, which came with "
            f"{METADATA.release} and say which model made {collection!r}. Nothing was written. Update the server."
        )


def _of_options(error: Exception) -> bool:
    """Returns whether a server cannot do what an option asks for, which may look like a fault of its own."""
    said = describe(error).lower()
    return "cannot convert" in said or "not implemented" in said


def _said(arguments: dict[str, Any]) -> str:
    """Returns what was asked for beside names and sizes, on one line."""
    said = []
    for name, params in arguments["vectors_config"].items():
        chosen = [(option, getattr(params, option, None)) for option in _SAID_OF_OPTIONS]
        said.append(f"{name} with " + (", ".join(f"{o}={_short(v)}" for o, v in chosen if v is not None) or "defaults"))
    said += [f"{o}={_short(v)}" for o, v in arguments.items() if o not in _NO_OPTIONS and v is not None]
    return "; ".join(said)


def _short(value: Any) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_none=True)
    return str(getattr(value, "value", value))[:120]
