"""One checkpoint out of several: averages, SLERP and greedy soups.

May import: ``encoding`` and ``checkpoints``. Begin with ``averages.py``.
"""
