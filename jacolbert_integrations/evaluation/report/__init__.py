"""A comparison as one page with pictures, which needs no network.

May import: the rest of ``evaluation``, and ``explaining``. Begin with ``page.py``.
"""
