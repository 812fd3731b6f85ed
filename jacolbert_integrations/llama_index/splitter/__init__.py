"""The LlamaIndex node parser that fills chunks with whole Japanese sentences, and when it is the default.

May import: ``encoding`` and ``text``. Begin with ``node_parser.py``.
"""

from .node_parser import JaColBERTSentenceSplitter

__all__ = ["JaColBERTSentenceSplitter"]
