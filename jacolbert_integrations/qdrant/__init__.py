"""JaColBERT in Qdrant: a multivector collection as a store, and a writer for any number of texts."""

from .retrying import Retries
from .search import SearchOptions
from .stages import FirstStage, FixedDimensional, Lexical, MeanPooled
from .store import QdrantStore
from .writer import FailedDocument, QdrantWriter, WriteResult

__all__ = [
    "FailedDocument",
    "FirstStage",
    "FixedDimensional",
    "Lexical",
    "MeanPooled",
    "QdrantStore",
    "QdrantWriter",
    "Retries",
    "SearchOptions",
    "WriteResult",
]
