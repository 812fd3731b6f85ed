"""How many positions a query occupies: the rules ``fixed``, ``released``, ``paper`` and ``unpadded``.

A ColBERT query is padded with [MASK] tokens that take part in MaxSim ("query augmentation").
How far it is padded changes the scores, and two dynamic rules exist for the JaColBERT models.
"""

from __future__ import annotations

from typing import Literal, get_args

from .errors import InputError

QueryLength = Literal["fixed", "released", "paper", "unpadded"]
QUERY_LENGTHS: tuple[QueryLength, ...] = get_args(QueryLength)

_STEP = 32
_MIN_MASKS = 8


def check_query_length(rule: str) -> QueryLength:
    """Returns ``rule`` if it names one of the rules.

    Raises:
        InputError: If it does not.
    """
    for known in QUERY_LENGTHS:
        if rule == known:
            return known
    raise InputError(
        f"query_length is {rule!r}, but the rules are {', '.join(map(repr, QUERY_LENGTHS))}. "
        "'released' reproduces the published JQaRA figures."
    )


def padded_query_length(length: int, rule: QueryLength, query_maxlen: int = 32) -> int:
    """Computes the number of positions of a query, [MASK] tokens included.

    Args:
        length: Tokens of the query, with [CLS], the marker and [SEP].
        rule: ``"fixed"``: always ``query_maxlen``, as in training. ``"released"``: the rule of the
            code that the JaColBERT models were released and evaluated with (the JQaRA benchmark's
            repository): the next multiple of 32, or 8 more tokens where the query exceeds a
            multiple by at most 8. ``"paper"``: section 3.5 of arXiv 2407.20750: the next multiple
            of 32, or 8 more tokens where that leaves fewer than 8 [MASK]s. ``"unpadded"``: the
            query's own tokens, and no [MASK]: not what the models were published with, but fewer
            vectors, so that queries cost less.
        query_maxlen: The length for ``"fixed"``.

    Returns:
        The padded length. It is smaller than ``length`` only for ``"fixed"``, which cuts.
    """
    if rule == "fixed":
        return query_maxlen
    if rule == "unpadded":
        return length
    multiple = -(-length // _STEP) * _STEP
    if rule == "released":
        return length + _MIN_MASKS if length % _STEP <= _MIN_MASKS else multiple
    return length + _MIN_MASKS if multiple - length < _MIN_MASKS else multiple
