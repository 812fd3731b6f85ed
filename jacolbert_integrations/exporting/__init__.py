"""Checkpoints for other libraries and for the hub.

May import: ``encoding`` and ``checkpoints``. Begin with ``layouts.py`` (colbert-ai, PyLate, sentence-transformers);
``hub.py`` uploads what it wrote.
"""
