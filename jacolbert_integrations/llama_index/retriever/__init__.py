"""The LlamaIndex retriever, with how it is copied, described in plain values, and given nodes.

May import: what LlamaIndex's four classes share (the files beside this folder) and ``splitter``. Begin with
``retriever.py``.
"""

from .retriever import JaColBERTRetriever

__all__ = ["JaColBERTRetriever"]
