"""Japanese late-interaction retrieval with JaColBERT, for LlamaIndex and Qdrant."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Loaded when first used: importing the package must not import torch.
_HOMES = {
    "Condition": ".types",
    "EdgeStore": ".qdrant",
    "Filter": ".types",
    "Hit": ".types",
    "JaColBERT": ".encoding.encoder",
    "JaColBERTError": ".errors",
    "JaColBERTRerank": ".llama_index",
    "JaColBERTRetriever": ".llama_index",
    "JaColBERTSentenceSplitter": ".llama_index",
    "JaColBERTVectorStore": ".llama_index",
    "MemoryStore": ".stores.memory",
    "MultiVectorStore": ".types",
    "Point": ".types",
    "QdrantStore": ".qdrant",
    "QdrantWriter": ".qdrant",
    "Query": ".types",
    "maxsim": ".scoring.maxsim",
}

__all__ = [
    "Condition",
    "EdgeStore",
    "Filter",
    "Hit",
    "JaColBERT",
    "JaColBERTError",
    "JaColBERTRerank",
    "JaColBERTRetriever",
    "JaColBERTSentenceSplitter",
    "JaColBERTVectorStore",
    "MemoryStore",
    "MultiVectorStore",
    "Point",
    "QdrantStore",
    "QdrantWriter",
    "Query",
    "maxsim",
]

if TYPE_CHECKING:
    from .encoding.encoder import JaColBERT
    from .errors import JaColBERTError
    from .llama_index import JaColBERTRerank, JaColBERTRetriever, JaColBERTSentenceSplitter, JaColBERTVectorStore
    from .qdrant import EdgeStore, QdrantStore, QdrantWriter
    from .scoring.maxsim import maxsim
    from .stores.memory import MemoryStore
    from .types import Condition, Filter, Hit, MultiVectorStore, Point, Query


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
