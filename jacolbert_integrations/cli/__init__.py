"""The ``jacolbert`` command: one small file for each subcommand.

May import: everything else, inside the functions that run, so that ``--help`` is fast. Begin with ``main.py``.
"""
