"""The LlamaIndex reranker: a node postprocessor, with the vectors that it keeps between queries.

May import: what LlamaIndex's four classes share (the files beside this folder). Begin with ``postprocessor.py``.
"""

from .postprocessor import JaColBERTRerank

__all__ = ["JaColBERTRerank"]
