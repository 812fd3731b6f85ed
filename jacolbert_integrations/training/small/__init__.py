"""How the bundled model of pretrained weights, jacolbert-small, is made, from its teacher's weights to its card.

May import: the rest of ``training``, and ``evaluation``. Begin with ``making.py``.
"""
