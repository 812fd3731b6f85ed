"""A folder of token vectors, ranked by Qdrant's own engine, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .edge.client import EdgeClient
from .edge.process import EdgeProcess
from .search import SearchOptions
from .stages import FirstStage
from .store import QdrantStore


class EdgeStore(QdrantStore):
    """Documents in a folder, in Qdrant Edge: a :class:`QdrantStore` that needs no server.

    It does all that a store on a server does, first stages, filters and float16 vectors included, and the two can be
    exchanged for one another. One store at a time has a collection open, in one process.

    Args:
        path: The folder; it is made if need be.
        collection: The collection's name; a folder has any number.
        first_stage: As of :class:`QdrantStore`.
        search_options: As of :class:`QdrantStore`.
        vector_options: As of :class:`QdrantStore`.
        own_process: Whether the engine runs in a process of its own. Qdrant Edge keeps Python's interpreter lock while
            it works: an event loop stands still meanwhile, unless this is set.
        **collection_options: ``hnsw_config``, ``optimizers_config`` and ``on_disk_payload``, as Qdrant's models.

    Raises:
        EngineError: If the folder cannot be used.
        MissingExtraError: If Qdrant Edge is not installed.
        InputError: As :class:`QdrantStore`.
    """

    def __init__(
        self,
        path: str | Path,
        collection: str = "documents",
        *,
        first_stage: FirstStage | Sequence[FirstStage] | None = None,
        search_options: SearchOptions | None = None,
        vector_options: Mapping[str, Any] | None = None,
        own_process: bool = False,
        **collection_options: Any,
    ) -> None:
        super().__init__(
            EdgeProcess(path) if own_process else EdgeClient(path),
            collection,
            first_stage=first_stage,
            search_options=search_options,
            vector_options=vector_options,
            **collection_options,
        )

    def __enter__(self) -> EdgeStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Writes everything to the disk, and releases the folder."""
        self.client.close()
