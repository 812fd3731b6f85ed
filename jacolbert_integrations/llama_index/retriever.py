"""Late interaction as an ordinary LlamaIndex retriever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from llama_index.core import Settings
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.ingestion import run_transformations
from llama_index.core.schema import BaseNode, Document, NodeWithScore, QueryBundle, TransformComponent

from ..encoder import JaColBERT
from ..memory import MemoryStore
from ..types import MultiVectorStore
from ..vectors import check_top_k
from .nodes import check_nodes, to_node, to_point, to_store_filter


class JaColBERTRetriever(BaseRetriever):
    """Ranks the nodes of a store by exact MaxSim with the query.

    Args:
        store: Where the nodes are; it is bound to the model.
        model: The model that made, or will make, their vectors.
        similarity_top_k: How many nodes to return.
        filters: LlamaIndex's ``MetadataFilters``, or the store's own filter object.
        **kwargs: As for LlamaIndex's ``BaseRetriever`` (``callback_manager``, ``objects``, ...).

    Raises:
        ModelMismatchError: If the store was filled by another model.
        InputError: If ``similarity_top_k`` is below 1.
    """

    def __init__(
        self,
        store: MultiVectorStore,
        model: JaColBERT,
        *,
        similarity_top_k: int = 2,
        filters: object | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.similarity_top_k = similarity_top_k
        self.filters = filters
        self._store = store
        self._model = model
        store.bind(model.identity)

    @classmethod
    def from_nodes(
        cls,
        nodes: Sequence[BaseNode],
        model: JaColBERT,
        *,
        store: MultiVectorStore | None = None,
        show_progress: bool | None = None,
        **kwargs: Any,
    ) -> JaColBERTRetriever:
        """Indexes nodes and returns the retriever over them.

        Args:
            nodes: Nodes with text.
            model: Encodes them and the queries.
            store: Where to put them; None keeps them in memory.
            show_progress: None shows a bar after a second, on a terminal.
            **kwargs: As for the constructor.

        Raises:
            InputError: If a node has no text or an id comes twice; then nothing is stored.
        """
        retriever = cls(MemoryStore() if store is None else store, model, **kwargs)
        retriever.insert_nodes(nodes, show_progress=show_progress)
        return retriever

    @classmethod
    def from_documents(
        cls,
        documents: Sequence[Document],
        model: JaColBERT,
        *,
        transformations: list[TransformComponent] | None = None,
        show_progress: bool | None = None,
        **kwargs: Any,
    ) -> JaColBERTRetriever:
        """Splits documents into nodes, indexes them, and returns the retriever over them.

        Args:
            documents: The documents.
            model: Encodes their nodes and the queries.
            transformations: How to split; None takes LlamaIndex's ``Settings.transformations``.
            show_progress: None shows a bar after a second, on a terminal.
            **kwargs: As for :meth:`from_nodes` and the constructor.
        """
        steps = Settings.transformations if transformations is None else transformations
        nodes = run_transformations(list(documents), steps, show_progress=bool(show_progress))
        return cls.from_nodes(nodes, model, show_progress=show_progress, **kwargs)

    @property
    def store(self) -> MultiVectorStore:
        """Where the nodes are."""
        return self._store

    @property
    def similarity_top_k(self) -> int:
        """How many nodes to return."""
        return self._similarity_top_k

    @similarity_top_k.setter
    def similarity_top_k(self, value: int) -> None:
        check_top_k(value)
        self._similarity_top_k = value

    def insert_nodes(self, nodes: Sequence[BaseNode], *, show_progress: bool | None = None) -> None:
        """Adds nodes, replacing those of the same id.

        Raises:
            InputError: If a node has no text or an id comes twice; then nothing is stored.
        """
        texts = check_nodes(nodes)
        vectors = self._model.encode_document(texts, show_progress_bar=show_progress)
        self._store.upsert([to_point(node, matrix) for node, matrix in zip(nodes, vectors, strict=True)])

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self._store.search(
            self._model.query(query_bundle.query_str),
            top_k=self.similarity_top_k,
            filter=to_store_filter(self.filters),
        )
        return [NodeWithScore(node=to_node(hit.payload), score=hit.score) for hit in hits]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)
