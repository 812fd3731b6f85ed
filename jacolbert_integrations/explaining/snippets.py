"""Which part of a document to show where all of it has no room."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..errors import InputError
from ..text.sentences import Span, clauses, sentences
from .matches import Match, content_matches

_ROUNDING = 1e-9
_WITHIN_CLAUSE = 0.9  # to begin at a sentence is worth so much of the best match more than in the middle of a clause,
_WITHIN_SENTENCE = 0.45  # and so much more than at a clause


def snippet(text: str, matches: Iterable[Match], length: int) -> Span:
    """Finds the part of a document that a query matched most: where the similarities of the matches sum up highest.

    It begins at a sentence, or a clause, where that leaves out no more than a match or so; at the document's beginning
    if that holds as much, or if nothing matched.

    Args:
        text: The document that the matches are of.
        matches: From :func:`~.explanation.find_matches`. Those of particles and punctuation do not count.
        length: Characters that there is room for.

    Returns:
        Where it begins and ends in the document: ``length`` characters, or fewer at the document's end.

    Raises:
        InputError: If ``length`` is below 1.
    """
    if length < 1:
        raise InputError(f"length is {length!r}, but a snippet has at least one character.")
    found = sorted(content_matches(text, matches), key=lambda match: match.start)
    if len(text) <= length or not found:
        return 0, min(length, len(text))
    costs = {match.start: _WITHIN_CLAUSE for match in found}
    costs |= {start: _WITHIN_SENTENCE for start, _ in clauses(text, 0, len(text))}
    costs |= {start: 0.0 for start, _ in sentences(text, 0, len(text))}
    starts = np.array(sorted(costs))
    sums = np.concatenate([[0.0], np.cumsum([max(match.similarity, 0.0) for match in found])])
    first, behind = (np.searchsorted([match.start for match in found], at) for at in (starts, starts + length))
    best = max(0.0, max(match.similarity for match in found))
    worth = sums[behind] - sums[first] - best * np.array([costs[start] for start in starts])
    equal = starts[worth >= worth.max() - _ROUNDING]
    filled = equal[equal + length <= len(text)]
    # of equal ones the document's beginning, else what begins nearest to the matches, unless room is left unused
    start = int(0 if equal[0] == 0 else filled[-1] if len(filled) else equal[0])
    return start, min(start + length, len(text))
