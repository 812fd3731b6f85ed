"""Training: data, hard negatives, teachers, losses, recipes, runs, merging, and the bundled models.

May import: ``encoding``, ``checkpoints``, ``scoring``, ``text`` and ``evaluation``. Begin with ``run.py``
(:func:`~.run.train`), then ``recipes.py``.
"""
