"""JaColBERT in Qdrant: a multivector collection as a :class:`MultiVectorStore`."""

from .store import QdrantStore

__all__ = ["QdrantStore"]
