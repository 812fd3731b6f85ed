"""What every store of token vectors shares, and the one in memory.

May import: ``scoring`` and ``text``. Begin with the protocol, :class:`~jacolbert_integrations.types.MultiVectorStore`,
then ``memory.py``, the exact store that the others are tested against; ``archive/`` moves points between stores.
"""
