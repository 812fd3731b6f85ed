"""What stands where LlamaIndex asks for an embedding model, and the vector store encodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding

from ...errors import UnsupportedModeError

_NAME = "encoded-by-the-vector-store"


class StoreSideEmbedding(BaseEmbedding):
    """Gives every text an embedding of no numbers, and leaves the work to a :class:`~.JaColBERTVectorStore`.

    A document of late interaction is a matrix, which no node of LlamaIndex can hold, so that the vector store encodes
    nodes when they are added. But ``VectorStoreIndex`` wants an embedding model, and loads OpenAI's if it gets none;
    and ``IngestionPipeline`` writes only nodes that have an embedding. An empty one is all that they need: nothing is
    encoded twice, processes of ``num_workers`` load no model, and what an ingestion cache keeps can never be out of
    date.

    A query's embedding has no numbers either, but knows its text, so that those who ask a vector store by an embedding
    alone, such as ``PropertyGraphIndex``, can be answered.

    It is no embedding model for anything else: whoever computes with its embeddings gets an error that says so.
    """

    model_name: str = _NAME

    @classmethod
    def class_name(cls) -> str:
        """Returns the name that LlamaIndex knows the class by."""
        return "StoreSideEmbedding"

    def _get_text_embedding(self, text: str) -> Embedding:  # noqa: ARG002 - as LlamaIndex calls it
        return NoVector()

    def _get_query_embedding(self, query: str) -> Embedding:
        return NoVector([query])

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return self._get_query_embedding(query)

    def get_agg_embedding_from_queries(
        self, queries: list[str], agg_fn: Callable[..., Embedding] | None = None
    ) -> Embedding:
        """Joins several texts that are one query: the result keeps all, unless a function of your own joins them."""
        if agg_fn is not None:
            return super().get_agg_embedding_from_queries(queries, agg_fn)
        for query in queries:
            self.get_query_embedding(query)  # with its events
        return NoVector(queries)

    async def aget_agg_embedding_from_queries(
        self, queries: list[str], agg_fn: Callable[..., Embedding] | None = None
    ) -> Embedding:
        """Does the same as :meth:`get_agg_embedding_from_queries`."""
        if agg_fn is not None:
            return await super().aget_agg_embedding_from_queries(queries, agg_fn)
        for query in queries:
            await self.aget_query_embedding(query)
        return NoVector(queries)


class NoVector(list[float]):
    """An embedding of no numbers. Some callers only pass it on, beside the text; others would compute with it.

    Args:
        texts: Of a query, what it asks. LlamaIndex gives a vector store this alone at times.

    Raises:
        UnsupportedModeError: When it is to become an array.
    """

    def __init__(self, texts: Sequence[str] = ()) -> None:
        super().__init__()
        self.texts = tuple(texts)

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise UnsupportedModeError(
            "a text's single vector was asked for, but late interaction has none. Use this embedding with a "
            "JaColBERTVectorStore, which encodes nodes and queries itself."
        )
