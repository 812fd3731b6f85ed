"""LlamaIndex's index over a vector store that takes queries as text."""

from __future__ import annotations

from typing import Any

from llama_index.core import VectorStoreIndex
from llama_index.core.indices.vector_store.retrievers import VectorIndexRetriever
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # re-exported
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryResult

from ..provenance import ScoredNode
from ..results import ScoredResult
from .modes import TextsQuery

_dispatcher = get_dispatcher(__name__)


class TextIndex(VectorStoreIndex):
    """A ``VectorStoreIndex`` whose retriever loses nothing on the way to a vector store that encodes queries itself.

    LlamaIndex's own sends such a store the question alone, and not the texts that a query transform such as HyDE has
    made of it. And as soon as an index holds one index node, it searches among index nodes only. The nodes that the
    retriever of this one returns also say what scored them.

    :meth:`JaColBERTVectorStore.as_index` makes it.
    """

    def as_retriever(self, **kwargs: Any) -> TextIndexRetriever:
        """Returns a retriever over the index.

        Args:
            **kwargs: As for LlamaIndex's ``VectorIndexRetriever``, ``node_ids`` among them.
        """
        return TextIndexRetriever(
            self, **{"callback_manager": self._callback_manager, "object_map": self._object_map, **kwargs}
        )


class TextIndexRetriever(VectorIndexRetriever):
    """A ``VectorIndexRetriever`` that sends all texts of a query, and says of its nodes what scored them.

    They are :class:`~.provenance.ScoredNode`.
    """

    @_dispatcher.span
    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await self._aget_nodes_with_embeddings(query_bundle)

    def _build_vector_store_query(self, query_bundle_with_embeddings: QueryBundle) -> VectorStoreQuery:
        query = super()._build_vector_store_query(query_bundle_with_embeddings)
        return TextsQuery(**vars(query), search_strs=query_bundle_with_embeddings.embedding_strs)

    def _convert_nodes_to_scored_nodes(self, query_result: VectorStoreQueryResult) -> list[NodeWithScore]:
        nodes = super()._convert_nodes_to_scored_nodes(query_result)
        if not isinstance(query_result, ScoredResult):
            return nodes
        return [
            ScoredNode(node=node.node, score=node.score, provenance=provenance, explanation=explanation)
            for node, provenance, explanation in zip(
                nodes, query_result.provenances, query_result.explanations, strict=True
            )
        ]
