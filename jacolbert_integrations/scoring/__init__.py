"""Token vectors to scores: checks on vectors, exact MaxSim, and MUVERA's fixed dimensional encodings.

May import: ``errors`` and ``types``. Begin with ``maxsim.py``.
"""
