"""Cells of a table as columns of text, or in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def in_columns(rows: Sequence[Sequence[str]]) -> str:
    """Sets the first cells of rows to the left of their column, and all others to the right.

    Args:
        rows: Of as many cells each, the head among them.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join([row[0].ljust(widths[0]), *[c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]])
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def in_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Makes a table of Markdown whose first column is set to the left, and all others to the right.

    Args:
        rows: Of as many cells each, the head first.
    """
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    lines.insert(1, f"|{'|'.join(['---', *['--:'] * (len(rows[0]) - 1)])}|")
    return "\n".join(lines)
