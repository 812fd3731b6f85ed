"""Qdrant Edge behind the calls of ``QdrantClient`` that this package makes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_client import models
from qdrant_client.http.models import QueryResponse

from ...errors import EngineError, InputError
from ...stores.addresses import check_collection_name
from .aliases import FILE, Aliases
from .collection import (
    BYTES_A_FLOAT,
    CONFIG,
    SHARD,
    Collection,
    bytes_on_disk,
    check_space,
    edge_config,
    engine,
    floats_of,
    plain_id,
    to_record,
    to_scored,
)
from .models import edge, to_edge, to_edge_prefetch, to_edge_query, to_edge_vector

if TYPE_CHECKING:
    from typing_extensions import Self

_UNFINISHED = ".unfinished-"
_LEFT_OVER = 3600  # seconds after which nobody is still writing what is unfinished

_CONFIG_OPTIONS = ("hnsw_config", "optimizers_config", "on_disk_payload")


class EdgeClient:
    """Collections in a folder, each one shard of Qdrant Edge: the server's engine, in this process.

    It takes and returns the models of qdrant-client, so that what is written for a server runs on it. Keywords that
    only a server has a use for (``wait``, ``ordering``, ``consistency``, ``timeout``) are taken and ignored.

    Writes go to a write-ahead log first: what was acknowledged survives a kill of the process. One client at a time has
    a collection open; another is refused with an error.

    Args:
        path: The folder; it is made if need be.

    Raises:
        EngineError: If the folder cannot be made.
        MissingExtraError: If Qdrant Edge is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._open: dict[str, Collection] = {}
        self._lock = threading.RLock()
        self._closed = False
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            raise EngineError(f"the folder {str(self.path)[:200]} cannot be made: {error}.") from None
        self._aliases = Aliases(self.path, _UNFINISHED)
        self._owner = os.getpid()
        self._remove_left_over()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Writes everything to the disk, and releases the folder. A second call does nothing."""
        if os.getpid() != self._owner:  # the engine is the other process's; its threads did not come along
            self._closed = True
            return
        with self._lock:
            self._closed = True
            while self._open:
                self._open.popitem()[1].close()

    # Collections

    def collection_exists(self, collection_name: str, **_: Any) -> bool:
        """Returns whether there is such a collection, or alias."""
        return self._folder(self._resolved(collection_name)).is_dir()

    def get_collections(self, **_: Any) -> models.CollectionsResponse:
        """Returns the names of all collections."""
        whole = (folder for folder in self.path.iterdir() if not folder.name.startswith(_UNFINISHED))
        names = sorted(folder.name for folder in whole if (folder / CONFIG).is_file())
        return models.CollectionsResponse(collections=[models.CollectionDescription(name=name) for name in names])

    def get_collection(self, collection_name: str, **_: Any) -> models.CollectionInfo:
        """Describes a collection as a server would."""
        return self._collection(collection_name).info()

    def create_collection(
        self,
        collection_name: str,
        vectors_config: dict[str, models.VectorParams] | models.VectorParams | None = None,
        sparse_vectors_config: dict[str, models.SparseVectorParams] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> bool:
        """Makes a collection, whole or not at all.

        Raises:
            InputError: If the name or an option is none for Edge.
            EngineError: If there is such a collection or alias, or it cannot be made.
        """
        unknown = [
            name for name, value in options.items() if value is not None and name not in (*_CONFIG_OPTIONS, "timeout")
        ]
        if unknown:
            raise InputError(
                f"Qdrant Edge is one shard in this process and knows no {', '.join(unknown)}. Leave that out, or use a "
                "Qdrant server."
            )
        if self.collection_exists(collection_name):
            raise EngineError(f"there is a collection or an alias {collection_name!r} already.")
        config = models.CollectionParams(
            vectors=vectors_config, sparse_vectors=sparse_vectors_config, on_disk_payload=options.get("on_disk_payload")
        )
        record = {
            "params": config.model_dump(mode="json", exclude_none=True),
            **{name: options[name].model_dump(mode="json", exclude_none=True)
               for name in _CONFIG_OPTIONS[:2] if options.get(name) is not None},
            "metadata": dict(metadata or {}),
        }  # fmt: skip
        folder = self._folder(collection_name)
        check_space(self.path)
        unfinished = self.path / f"{_UNFINISHED}{uuid.uuid4().hex[:12]}"
        try:
            with engine(f"make the collection {collection_name!r}"):
                (unfinished / SHARD).mkdir(parents=True)
                edge.EdgeShard.create(str(unfinished / SHARD), edge_config(record)).close()
                (unfinished / CONFIG).write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
                unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return True

    def delete_collection(self, collection_name: str, **_: Any) -> bool:
        """Removes a collection with all that it holds, and its aliases.

        Raises:
            EngineError: If the name is an alias, or the collection cannot be removed.
        """
        with self._lock, self._aliases.changing() as aliases:
            if collection_name in aliases:
                raise EngineError(
                    f"{collection_name!r} is an alias of {aliases[collection_name]!r}. Delete the collection by its "
                    "own name, or the alias as an alias."
                )
            folder = self._folder(collection_name)
            if not folder.is_dir():
                return False
            opened = self._open.pop(collection_name, None)
            if opened is not None:
                opened.close()
            doomed = self.path / f"{_UNFINISHED}{uuid.uuid4().hex[:12]}"
            with engine(f"delete the collection {collection_name!r}"):
                folder.rename(doomed)
                shutil.rmtree(doomed)
            for alias in [alias for alias, target in aliases.items() if target == collection_name]:
                del aliases[alias]
        return True

    def update_collection_aliases(
        self,
        change_aliases_operations: Sequence[
            models.CreateAliasOperation | models.DeleteAliasOperation | models.RenameAliasOperation
        ],
        **_: Any,
    ) -> bool:
        """Changes aliases, all of them in one step.

        Raises:
            EngineError: If an alias would name no collection.
        """
        with self._lock, self._aliases.changing() as aliases:
            for operation in change_aliases_operations:
                if isinstance(operation, models.CreateAliasOperation):
                    created = operation.create_alias
                    if not self._folder(created.collection_name).is_dir():
                        raise EngineError(f"there is no collection {created.collection_name!r} to give an alias to.")
                    aliases[self._free_for_alias(created.alias_name)] = created.collection_name
                elif isinstance(operation, models.DeleteAliasOperation):
                    aliases.pop(operation.delete_alias.alias_name, None)
                else:
                    change = operation.rename_alias
                    if change.old_alias_name not in aliases:
                        raise EngineError(f"there is no alias {change.old_alias_name!r} to rename.")
                    aliases[self._free_for_alias(change.new_alias_name)] = aliases.pop(change.old_alias_name)
        return True

    def _free_for_alias(self, name: str) -> str:
        if self._folder(name).is_dir():
            raise EngineError(f"there is a collection {name!r}, which an alias of that name would hide.")
        return name

    def get_aliases(self, **_: Any) -> models.CollectionsAliasesResponse:
        """Returns all aliases."""
        return models.CollectionsAliasesResponse(
            aliases=[
                models.AliasDescription(alias_name=alias, collection_name=target)
                for alias, target in sorted(self._aliases.read().items())
            ]
        )

    def create_payload_index(self, collection_name: str, field_name: str, field_schema: Any = None, **_: Any) -> None:
        """Makes an index over a payload key, for faster filters."""
        operation = edge.UpdateOperation.create_field_index(field_name, to_edge(field_schema))
        self._collection(collection_name).update(operation)

    def optimize(self, collection_name: str) -> None:
        """Builds what makes searches fast over what was written: a server does this by itself."""
        collection = self._collection(collection_name)
        check_space(collection.folder, bytes_on_disk(collection.folder / SHARD / "segments") // BYTES_A_FLOAT)
        with engine(f"optimize {collection_name!r}"):
            collection.shard.optimize()
            collection.shard.flush()  # lets go of the segments that were replaced, and of the log of what they hold

    # Points

    def upsert(self, collection_name: str, points: Sequence[models.PointStruct], **_: Any) -> None:
        """Writes points, replacing those of the same id."""
        found = [edge.Point(point.id, to_edge_vector(point.vector), point.payload) for point in points]
        collection = self._collection(collection_name)
        floats = sum(floats_of(point.vector) for point in points)
        collection.update(edge.UpdateOperation.upsert_points(found), floats)
        collection.flush_after(floats)

    def set_payload(self, collection_name: str, payload: Mapping[str, Any], points: Any, **_: Any) -> None:
        """Sets keys of the payload of points, by id or filter."""
        operations = edge.UpdateOperation
        self._update_selected(
            collection_name, points, operations.set_payload, operations.set_payload_by_filter, dict(payload)
        )

    def delete(self, collection_name: str, points_selector: Any, **_: Any) -> None:
        """Removes points, by id or filter."""
        operations = edge.UpdateOperation
        self._update_selected(
            collection_name, points_selector, operations.delete_points, operations.delete_points_by_filter
        )

    def retrieve(
        self, collection_name: str, ids: Sequence[Any], with_payload: Any = True, with_vectors: Any = False, **_: Any
    ) -> list[models.Record]:
        """Reads points by id; unknown ids are left out."""
        collection = self._collection(collection_name)
        with engine(f"read {collection_name!r}"):
            found = collection.shard.retrieve(list(ids), with_payload, with_vectors)
        return [to_record(record) for record in found]

    def scroll(
        self,
        collection_name: str,
        scroll_filter: models.Filter | None = None,
        limit: int = 10,
        offset: Any = None,
        with_payload: Any = True,
        with_vectors: Any = False,
        **_: Any,
    ) -> tuple[list[models.Record], Any]:
        """Reads a page of points in the order of their ids, and returns with it the offset of the next page."""
        request = edge.ScrollRequest(
            offset=offset,
            limit=limit,
            filter=to_edge(scroll_filter),
            with_payload=with_payload,
            with_vector=with_vectors,
        )
        collection = self._collection(collection_name)
        with engine(f"read {collection_name!r}"):
            found, following = collection.shard.scroll(request)
        return [to_record(record) for record in found], None if following is None else plain_id(following)

    def count(
        self, collection_name: str, count_filter: models.Filter | None = None, exact: bool = True, **_: Any
    ) -> models.CountResult:
        """Counts the points that pass a filter."""
        collection = self._collection(collection_name)
        with engine(f"count in {collection_name!r}"):
            count = collection.shard.count(edge.CountRequest(exact=exact, filter=to_edge(count_filter)))
        return models.CountResult(count=count)

    def query_points(
        self,
        collection_name: str,
        query: Any = None,
        using: str | None = None,
        prefetch: models.Prefetch | list[models.Prefetch] | None = None,
        query_filter: models.Filter | None = None,
        search_params: models.SearchParams | None = None,
        limit: int = 10,
        offset: int | None = None,
        with_payload: Any = True,
        with_vectors: Any = False,
        score_threshold: float | None = None,
        **_: Any,
    ) -> QueryResponse:
        """Finds the nearest points, or the best of the candidates of prefetches."""
        request = edge.QueryRequest(
            limit=limit,
            offset=offset,
            query=to_edge_query(query, using),
            prefetches=to_edge_prefetch(prefetch),
            with_vector=with_vectors,
            with_payload=with_payload,
            filter=to_edge(query_filter),
            score_threshold=score_threshold,
            params=to_edge(search_params),
        )
        collection = self._collection(collection_name)
        with engine(f"search {collection_name!r}"):
            found = collection.shard.query(request)
        return QueryResponse.model_construct(points=[to_scored(point) for point in found])

    def query_batch_points(
        self, collection_name: str, requests: Sequence[models.QueryRequest], **_: Any
    ) -> list[QueryResponse]:
        """Does the same as :meth:`query_points` for each of the requests."""
        batch = [
            edge.QueryRequest(
                limit=10 if request.limit is None else request.limit,
                offset=request.offset,
                query=to_edge_query(request.query, request.using),
                prefetches=to_edge_prefetch(request.prefetch),
                with_vector=request.with_vector or False,
                with_payload=bool(request.with_payload),
                filter=to_edge(request.filter),
                score_threshold=request.score_threshold,
                params=to_edge(request.params),
            )
            for request in requests
        ]
        collection = self._collection(collection_name)
        with engine(f"search {collection_name!r}"):
            found = collection.shard.query_batch(edge.QueryBatchRequest(batch))
        return [QueryResponse.model_construct(points=[to_scored(point) for point in points]) for points in found]

    def query_points_groups(
        self, collection_name: str, group_by: str, limit: int = 10, group_size: int = 3, **arguments: Any
    ) -> models.GroupsResult:
        """Finds the best points of each of the best groups in rankings of growing length: Edge has no groups."""
        wanted = limit * group_size
        while True:
            found = self.query_points(collection_name, limit=wanted, **arguments).points
            groups: dict[Any, list[models.ScoredPoint]] = {}
            for point in found:
                value = (point.payload or {}).get(group_by)
                for key in value if isinstance(value, list) else [value]:
                    if isinstance(key, str | int):
                        groups.setdefault(key, []).append(point)
            best = list(groups.items())[:limit]
            if len(found) < wanted or (len(best) == limit and all(len(hits) >= group_size for _, hits in best)):
                return models.GroupsResult(
                    groups=[models.PointGroup(id=key, hits=hits[:group_size]) for key, hits in best]
                )
            wanted *= 4

    # How collections lie in the folder

    def _update_selected(self, collection_name: str, selector: Any, by_ids: Any, by_filter: Any, *values: Any) -> None:
        if isinstance(selector, models.FilterSelector):
            selector = selector.filter
        if isinstance(selector, models.Filter):
            operation = by_filter(to_edge(selector), *values)
        else:
            operation = by_ids(
                list(selector.points if isinstance(selector, models.PointIdsList) else selector), *values
            )
        self._collection(collection_name).update(operation)

    def _collection(self, name: str) -> Collection:
        with self._lock:
            if self._closed:
                raise EngineError(f"{self!r} has been closed. Open it again.")
            name = self._resolved(name)
            if name not in self._open:
                folder = self._folder(name)
                if not folder.is_dir():
                    raise EngineError(f"there is no collection {name!r} in {self.path}.")
                self._open[name] = Collection(folder)
            return self._open[name]

    def _folder(self, name: str) -> Path:
        check_collection_name(name)
        if name.startswith((".", FILE)):
            raise InputError(f"{name!r} is a name of this folder's own files. Choose another for the collection.")
        return self.path / name

    def _resolved(self, name: str) -> str:
        self._check_owner()
        return self._aliases.read().get(name, name)

    def _check_owner(self) -> None:
        if os.getpid() != self._owner:
            raise EngineError(f"{self!r} belongs to the process that this one was forked off. Open one of its own.")

    def _remove_left_over(self) -> None:
        """Removes what killed processes left unfinished; what is young may still be written by another process."""
        for path in self.path.glob(f"{_UNFINISHED}*"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _LEFT_OVER:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
