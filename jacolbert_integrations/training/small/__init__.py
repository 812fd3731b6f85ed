"""How jacolbert-small is made, from pretrained weights to its card.

May import: the rest of ``training``, and ``evaluation``. Begin with ``making.py``.
"""
