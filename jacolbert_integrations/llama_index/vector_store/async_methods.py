"""The async forms of a vector store's methods, written once."""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)


class ThreadedVectorStore(BasePydanticVectorStore):
    """A vector store whose async methods are the others, in a thread: LlamaIndex's own would block the event loop."""

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Does the same as :meth:`delete`, in a thread.

        Raises:
            InputError: As :meth:`delete`.
        """
        await asyncio.to_thread(self.delete, ref_doc_id, **delete_kwargs)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Does the same as :meth:`delete_nodes`, in a thread.

        Raises:
            InputError: As :meth:`delete_nodes`.
            UnsupportedFilterError: As :meth:`delete_nodes`.
        """
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Does the same as :meth:`get_nodes`, in a thread.

        Raises:
            UnsupportedFilterError: As :meth:`get_nodes`.
        """
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def aclear(self) -> None:
        """Does the same as :meth:`clear`, in a thread."""
        await asyncio.to_thread(self.clear)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Does the same as :meth:`query`, in a thread.

        Raises:
            InputError: As :meth:`query`.
            UnsupportedModeError: As :meth:`query`.
            UnsupportedFilterError: As :meth:`query`.
        """
        return await asyncio.to_thread(self.query, query, **kwargs)
