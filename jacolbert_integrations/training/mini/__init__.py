"""How the bundled mini model is made, from raw text to its card.

May import: the rest of ``training``, and ``evaluation``. Begin with ``making.py``.
"""
