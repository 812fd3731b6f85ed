"""Token vectors to scores: checks on vectors, exact MaxSim, MUVERA's fixed dimensional encodings, centroids.

May import: ``errors`` and ``types``. Begin with ``maxsim.py``.
"""
