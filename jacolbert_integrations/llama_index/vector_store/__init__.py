"""The LlamaIndex vector store: its index, its query modes, and what it writes, undoes and persists.

May import: what LlamaIndex's four classes share (the files beside this folder) and ``splitter``. Begin with
``store.py``, then ``modes.py``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .store import JaColBERTVectorStore

__all__ = ["JaColBERTVectorStore"]


def __getattr__(name: str) -> Any:
    # Loaded when first used: embedding.py beside it must not bring torch into processes that embed nothing.
    if name == "JaColBERTVectorStore":
        from .store import JaColBERTVectorStore

        return JaColBERTVectorStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
