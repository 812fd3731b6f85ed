"""What a checkpoint directory or a hub id holds: its layout, its settings, its weights. Reads, and builds no model.

May import: ``errors`` and ``query_length``. Begin with ``layouts.py``, which recognises a checkpoint by its files.
"""
