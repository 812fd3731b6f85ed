"""JaColBERT in LlamaIndex: a vector store, a retriever, a reranker and a splitter, and nodes for a writer.

May import: everything but ``qdrant``, ``training``, ``evaluation`` and ``cli``; other stores are opened by ``places``.
Each of the four classes has a folder; the files beside the folders are what they share. Begin with ``nodes.py`` (nodes
and payloads), then the folder of a class.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Loaded when first used: a process of an ingestion pipeline that embeds nothing itself need not import torch.
_HOMES = {
    "JaColBERTRerank": ".rerank.postprocessor",
    "JaColBERTRetriever": ".retriever.retriever",
    "JaColBERTSentenceSplitter": ".splitter.node_parser",
    "JaColBERTVectorStore": ".vector_store.store",
    "Provenance": ".provenance",
    "ScoredNode": ".provenance",
    "StoreSideEmbedding": ".vector_store.embedding",
    "TextIndex": ".vector_store.index",
    "VectorCache": ".rerank.vector_cache",
    "to_documents": ".nodes",
}

__all__ = [
    "JaColBERTRerank",
    "JaColBERTRetriever",
    "JaColBERTSentenceSplitter",
    "JaColBERTVectorStore",
    "Provenance",
    "ScoredNode",
    "StoreSideEmbedding",
    "TextIndex",
    "VectorCache",
    "to_documents",
]

if TYPE_CHECKING:
    from .nodes import to_documents
    from .provenance import Provenance, ScoredNode
    from .rerank.postprocessor import JaColBERTRerank
    from .rerank.vector_cache import VectorCache
    from .retriever.retriever import JaColBERTRetriever
    from .splitter.node_parser import JaColBERTSentenceSplitter
    from .vector_store.embedding import StoreSideEmbedding
    from .vector_store.index import TextIndex
    from .vector_store.store import JaColBERTVectorStore


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return list(__all__)
