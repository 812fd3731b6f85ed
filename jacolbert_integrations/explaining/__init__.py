"""Which characters of a document the tokens of a query matched, and how to show it.

May import: ``encoding`` and ``text``. Begin with ``matches.py``; ``locating.py`` says which characters a vector stands
for, and ``html.py`` colours a match for notebooks and pages.
"""

from .html import as_html
from .matches import Match, find_matches, highlight

__all__ = ["Match", "as_html", "find_matches", "highlight"]
