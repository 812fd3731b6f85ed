"""Since when a Qdrant server can do what this package asks of it, and which version a server is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from qdrant_client import QdrantClient, models

from ..errors import ServerError

Version: TypeAlias = tuple[int, int, int]

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
_PATIENCE = 5  # seconds for an answer that is only for an earlier and better error


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that not every server can do.

    Attributes:
        name: What it is, for people.
        since: The first release of Qdrant with it.
    """

    name: str
    since: Version

    @property
    def release(self) -> str:
        """The first release with it, as Qdrant writes it."""
        return ".".join(map(str, self.since))


# The releases are from Qdrant's own history: the first tag whose REST and gRPC interfaces (docs/redoc/master/openapi
# .json, lib/api/src/grpc/proto) have it; of BM25, the first with src/common/inference/bm25.rs.
QUERIES = Feature("multivectors, and queries with prefetches", (1, 10, 0))
BM25 = Feature("BM25 on the server (the first stage 'bm25')", (1, 15, 2))
METADATA = Feature("metadata of collections", (1, 15, 4))
ADDED_VECTORS = Feature("vectors that are added to a collection (add_late_interaction)", (1, 18, 0))
TURBO_QUANTIZATION = Feature("TurboQuant as quantization", (1, 18, 0))
TURBO4 = Feature("the data type turbo4", (1, 19, 0))  # 1.18.2 knows its name, and panics
MEMORY = Feature("placement in memory (the option memory)", (1, 19, 0))
TURBO = Feature("the data types turbo8 and turbo16", (1, 20, 0))  # not in 1.19.0; known by the client of 1.20

FEATURES = (QUERIES, BM25, METADATA, ADDED_VECTORS, TURBO_QUANTIZATION, TURBO4, MEMORY, TURBO)
NEEDED = max((QUERIES, METADATA), key=lambda feature: feature.since)
"""The last to come of what everything here rests on: a server without it is too old."""

_DATATYPES = {"turbo4": TURBO4, "turbo8": TURBO, "turbo16": TURBO}


def parse_version(said: str | None) -> Version | None:
    """Returns what a server says of its version as numbers; None if it says something else."""
    found = _VERSION.match(said or "")
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


def server_version(client: QdrantClient) -> str | None:
    """Returns the version that a server says it is; None if it does not answer, or says none.

    Not knowing it spoils nothing, so that no error is raised: what is asked next says what is wrong.
    """
    try:
        return client.info().version
    except Exception:  # whatever there is between here and a server
        return None


def probe(arguments: Mapping[str, Any]) -> str | None:
    """Returns the version of the server that :func:`~.servers.client_arguments` describe, as :func:`server_version`.

    It has a client of its own, which waits for a few seconds only.
    """
    key = arguments.get("api_key")
    asking = {
        **arguments,
        "api_key": None,  # as a header instead: the client says of a key without TLS what the other will say anyway
        "headers": {**(arguments.get("headers") or {}), **({} if key is None else {"api-key": key})},
        "timeout": min(arguments["timeout"], _PATIENCE),
        "pool_size": 1,
        "grpc_options": dict(arguments["grpc_options"]),  # the client writes into it
    }
    client = QdrantClient(**asking)
    try:
        return server_version(client)
    finally:
        client.close()


def check_server_version(said: str | None, address: str) -> None:
    """Refuses a server on which nothing here would work.

    Args:
        said: What it says of its version; what cannot be read is passed.
        address: The server's.

    Raises:
        ServerError: If it is older than :data:`NEEDED`.
    """
    version = parse_version(said)
    if version is not None and version < NEEDED.since:
        raise ServerError(
            f"the Qdrant server at {address} is {said}, but {NEEDED.release} is the oldest that has what is needed "
            f"({NEEDED.name}). Update it. To try all the same, set check_compatibility=False in server."
        )


def check_features(said: str | None, wanted: Iterable[tuple[str, Feature]]) -> None:
    """Refuses what a server is too old for.

    Args:
        said: What it says of its version; what cannot be read is passed.
        wanted: What is asked for, each with what it takes.

    Raises:
        ServerError: If it cannot do something of it.
    """
    version = parse_version(said)
    if version is None:
        return
    for what, feature in wanted:
        if version < feature.since:
            raise ServerError(
                f"the Qdrant server is {said}, but {what} needs {feature.name}, which came with {feature.release}. "
                "Update the server, or do without."
            )


def wanted_features(options: Mapping[str, Any], *, bm25: bool = False) -> list[tuple[str, Feature]]:
    """Returns what the arguments of :meth:`QdrantClient.create_collection` ask for that not every server can do.

    Args:
        options: The arguments, ``vectors_config`` among them.
        bm25: Whether the server is to encode texts by BM25.
    """
    found = [("the record of the model", METADATA)]
    if bm25:
        found.append(("QdrantBM25", BM25))
    quantization = [("quantization_config", options.get("quantization_config"))]
    for name, params in options["vectors_config"].items():
        datatype = None if params.datatype is None else params.datatype.value
        if datatype in _DATATYPES:
            found.append((f"datatype {datatype!r} of the vectors {name!r}", _DATATYPES[datatype]))
        if getattr(params, "memory", None) is not None:
            found.append((f"memory of the vectors {name!r}", MEMORY))
        quantization.append((f"quantization_config of the vectors {name!r}", params.quantization_config))
    turbo = getattr(models, "TurboQuantization", ())
    found += [(what, TURBO_QUANTIZATION) for what, config in quantization if isinstance(config, turbo)]
    return found
