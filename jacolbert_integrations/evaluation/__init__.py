"""How well systems retrieve, and what that costs: benchmarks, measures, baselines, settings, tables and a report.

May import: ``encoding``, ``explaining``, ``scoring`` and ``text``. Begin with ``evaluation.py``.
"""
