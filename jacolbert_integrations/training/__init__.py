"""Training: data, hard negatives, teachers, losses, recipes, runs, merging, and two models from raw text.

May import: ``encoding``, ``checkpoints``, ``scoring``, ``text`` and ``evaluation``. Begin with ``run.py``
(:func:`~.run.train`), then ``recipes.py``.
"""
