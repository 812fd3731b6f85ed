"""Where a score comes from, which characters of a document the tokens of a query matched, and how to show it.

May import: ``encoding`` and ``text``. Begin with ``explanation.py``; ``locating.py`` says which token a vector is of,
``matches.py`` marks what was matched, ``snippets.py`` cuts it out, ``table.py`` and ``html.py`` show it on terminals
and pages.
"""

from .explanation import Contribution, Explanation, explain, find_matches
from .html import as_html, explanation_as_html
from .locating import Token
from .matches import Match, content_matches, highlight
from .snippets import snippet
from .table import as_table

__all__ = [
    "Contribution",
    "Explanation",
    "Match",
    "Token",
    "as_html",
    "as_table",
    "content_matches",
    "explain",
    "explanation_as_html",
    "find_matches",
    "highlight",
    "snippet",
]
