"""Training examples from files, Arrow tables and tuples of ids.

May import: ``errors``, ``text`` and ``..records``. Begin with ``examples.py``; ``layouts.py`` lists the forms of rows.
"""
