"""Texts to token vectors: the model, how it is loaded and saved, batches, processes, and token pooling.

May import: ``text``, ``checkpoints`` and ``scoring``. Begin with ``encoder.py`` (:class:`~.encoder.JaColBERT`), then
``loading.py`` and ``transformer.py``.
"""
