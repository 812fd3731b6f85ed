"""How well a model retrieves: JSQuAD, metrics, BM25 to compare with, and fusion of the two.

May import: ``encoding`` and ``text``. Begin with ``retrieval.py``.
"""
