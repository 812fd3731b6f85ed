"""JaColBERT in Qdrant: a multivector collection as a store, and a writer for any number of texts.

May import: ``stores``, ``encoding``, ``scoring`` and ``text``. Begin with ``store.py``, then ``stages/`` (first
stages) and ``writer.py``.
"""

from typing import TYPE_CHECKING, Any

from .adopting import AdoptResult, add_late_interaction
from .points import of_documents
from .reindexing import ReindexResult, move_alias, reindex
from .retrying import Retries
from .search import SearchOptions
from .serving import AliasSearch
from .stages import FirstStage, FixedDimensional, Lexical, MeanPooled, NearestCentroids, QdrantBM25
from .store import QdrantStore
from .write_result import FailedDocument, WriteResult
from .writer import QdrantWriter

if TYPE_CHECKING:
    from .edge.client import EdgeClient
    from .edge.process import EdgeProcess
    from .edge_store import EdgeStore

__all__ = [
    "AdoptResult",
    "AliasSearch",
    "EdgeClient",
    "EdgeProcess",
    "EdgeStore",
    "FailedDocument",
    "FirstStage",
    "FixedDimensional",
    "Lexical",
    "MeanPooled",
    "NearestCentroids",
    "QdrantBM25",
    "QdrantStore",
    "QdrantWriter",
    "ReindexResult",
    "Retries",
    "SearchOptions",
    "WriteResult",
    "add_late_interaction",
    "move_alias",
    "of_documents",
    "reindex",
]


def __getattr__(name: str) -> Any:
    # Qdrant Edge is an extra, imported where it is asked for.
    if name == "EdgeStore":
        from .edge_store import EdgeStore

        return EdgeStore
    if name == "EdgeClient":
        from .edge.client import EdgeClient

        return EdgeClient
    if name == "EdgeProcess":
        from .edge.process import EdgeProcess

        return EdgeProcess
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
