"""A real Qdrant server to test against: ``make test-server QDRANT_URL=http://localhost:6333``.

The tests of the stores, the writer, filters, archives and LlamaIndex's adapters then run against it, too: over REST,
over gRPC, and in collections in strict mode. Their collections have names of their own, and are removed.
"""

from __future__ import annotations

import functools
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest
from qdrant_client import QdrantClient, models

from jacolbert_integrations import QdrantStore
from jacolbert_integrations.qdrant import servers
from jacolbert_integrations.qdrant.servers import UNCOMPRESSED
from jacolbert_integrations.stores.server_options import ServerOptions

URL = "JACOLBERT_TEST_SERVER"
GRPC_PORT = "JACOLBERT_TEST_GRPC_PORT"

WAYS = ["server-rest", "server-grpc", "server-strict"] if os.environ.get(URL) else []
"""Parameters of fixtures; none where there is no server."""

STRICT = models.StrictModeConfig(
    enabled=True,
    unindexed_filtering_retrieve=False,
    unindexed_filtering_update=False,
    max_query_limit=500,
    upsert_max_batchsize=20,
    search_max_batchsize=10,
    condition_max_size=50,
    filter_max_conditions=400,
)


class OwnNames(QdrantClient):
    """A client for which each collection has a name of its own on the server: it is put into what is sent.

    Vectors are kept as float32 where nothing else is asked for, so that scores are those of the other stores.

    Args:
        strict: Whether collections are made in strict mode.
        prefix: What all names begin with; None makes one up.
        **options: As of the client.
    """

    def __init__(self, *, strict: bool, prefix: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._given = options
        self._prefix = prefix or f"test-{uuid.uuid4().hex[:12]}-"
        self._strict = strict
        self.http.client.add_middleware(self._renamed)
        remote: Any = self._client
        if options["prefer_grpc"]:
            for kind in ("points", "collections"):
                getattr(remote, f"_init_grpc_{kind}_client")()
                pool = getattr(remote, f"_grpc_{kind}_client_pool")
                setattr(remote, f"_grpc_{kind}_client_pool", [_RenamingStub(stub, self._own) for stub in pool])

    def again(self) -> OwnNames:
        """Another client, for which collections have the same names."""
        options = {**self._given, "grpc_options": dict(UNCOMPRESSED)}  # the client has written into its own
        return OwnNames(strict=self._strict, prefix=self._prefix, **options)

    def _own(self, name: str) -> str:
        return name if name.startswith(self._prefix) else self._prefix + name

    def _renamed(self, request: httpx.Request, send: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
        start, separator, rest = request.url.raw_path.partition(b"/collections/")
        name, slash, rest = rest.partition(b"/")
        if separator and name not in (b"", b"aliases"):
            own = self._own(unquote(name.decode())).encode()
            request.url = request.url.copy_with(raw_path=start + separator + quote(own).encode() + slash + rest)
        return send(request)

    def create_collection(self, collection_name: str, vectors_config: Any = None, **options: Any) -> bool:  # type: ignore[override]
        if isinstance(vectors_config, dict):
            vectors_config = {
                name: params.model_copy(update={"datatype": None})
                if params.datatype is models.Datatype.FLOAT16
                else params
                for name, params in vectors_config.items()
            }
        if self._strict:
            options.setdefault("strict_mode_config", STRICT)
        return super().create_collection(collection_name, vectors_config, **options)

    def get_collections(self, **options: Any) -> models.CollectionsResponse:
        names = [found.name for found in super().get_collections(**options).collections]
        own = [name.removeprefix(self._prefix) for name in names if name.startswith(self._prefix)]
        return models.CollectionsResponse(collections=[models.CollectionDescription(name=name) for name in own])

    def get_aliases(self, **options: Any) -> models.CollectionsAliasesResponse:
        aliases = [
            models.AliasDescription(
                alias_name=found.alias_name.removeprefix(self._prefix),
                collection_name=found.collection_name.removeprefix(self._prefix),
            )
            for found in super().get_aliases(**options).aliases
            if found.alias_name.startswith(self._prefix)
        ]
        return models.CollectionsAliasesResponse(aliases=aliases)

    def update_collection_aliases(self, change_aliases_operations: Any, **options: Any) -> bool:  # type: ignore[override]
        changed = []
        for operation in change_aliases_operations:
            (field,) = type(operation).model_fields
            values = {name: self._own(value) for name, value in dict(getattr(operation, field)).items()}
            changed.append(type(operation)(**{field: values}))
        return super().update_collection_aliases(changed, **options)

    def clean_up(self) -> None:
        """Removes all that was made."""
        for found in self.get_collections().collections:
            self.delete_collection(found.name)


class _RenamingStub:
    """A stub of gRPC that renames collections in what it sends."""

    def __init__(self, stub: Any, own: Callable[[str], str]) -> None:
        self._stub = stub
        self._own = own

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._stub, name)

        def call(request: Any, **options: Any) -> Any:
            for message in (request, *getattr(request, "query_points", ())):
                if getattr(message, "collection_name", ""):
                    message.collection_name = self._own(message.collection_name)
            return method(request, **options)

        return call


@contextmanager
def opened(way: str) -> Iterator[QdrantClient]:
    """A client of the server, whose collections are removed at the end.

    Args:
        way: One of :data:`WAYS`.
    """
    client = OwnNames(strict=way == "server-strict", **_arguments(way))
    with pytest.MonkeyPatch.context() as patch:
        if way == "server-strict":  # tests filter by keys of their own
            patch.setattr(QdrantStore, "__init__", _with_missing_indexes(QdrantStore.__init__))
        try:
            yield client
        finally:
            client.clean_up()
            client.close()


def _with_missing_indexes(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def changed(self: QdrantStore, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **{"create_missing_indexes": True, **kwargs})

    return changed


def check_reachable() -> None:
    """Fails, rather than skips, where the server does not answer, over REST or over gRPC."""
    for way in ("server-rest", "server-grpc"):
        client = QdrantClient(**_arguments(way, timeout=10))
        try:
            client.get_collections()
        except Exception as error:
            said = " ".join(str(error).split())
            raise pytest.UsageError(f"{os.environ[URL]} cannot be reached ({way}): {said:.300}") from None
        finally:
            client.close()


def _arguments(way: str, **options: Any) -> dict[str, Any]:
    port = int(os.environ.get(GRPC_PORT) or 6334)
    return servers.client_arguments(
        os.environ[URL], ServerOptions(prefer_grpc=way == "server-grpc", grpc_port=port, **options)
    )
