"""Tables and colours of the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..evaluation.metrics import RetrievalMetrics
from .terminal import say

if TYPE_CHECKING:
    from ..encoding.encoder import JaColBERT
    from ..explaining import Match
    from ..qdrant import FailedDocument

_SHOWN_FAILURES = 20


def markers() -> tuple[str, str]:
    """Returns what goes around highlighted text: colours on a terminal, brackets elsewhere."""
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        return "\x1b[1;33m", "\x1b[0m"
    return "【", "】"


def matcher(model: JaColBERT) -> Callable[[str, str], list[Match]]:
    """Returns what finds the matches of a question in a text.

    With a model whose tokenizer cannot say where its tokens come from, it finds none, and says why, once.
    """
    from ..errors import NoOffsetsError
    from ..explaining import find_matches

    told = False

    def find(question: str, text: str) -> list[Match]:
        nonlocal told
        try:
            return find_matches(model, question, text)
        except NoOffsetsError as error:
            if not told:
                say(f"Nothing is marked: {error}", file=sys.stderr)
            told = True
            return []

    return find


def marked(text: str, matches: Sequence[Match], length: int) -> str:
    """Returns, in one line, the part of a harmless text that was matched most, with what was matched in it marked.

    Args:
        text: The text, without control characters: colours are put into it.
        matches: Of a question in it.
        length: Characters that there is room for.
    """
    from ..explaining import Match, content_matches, highlight, snippet

    start, end = snippet(text, matches, length)
    seen = [
        Match(max(match.start, start) - start, min(match.end, end) - start, match.similarity)
        for match in content_matches(text, matches)
        if match.start < end and match.end > start
    ]
    opening, closing = markers()
    shown = highlight(text[start:end], seen, opening=opening, closing=closing, particles=True)
    return f"{'... ' * (start > 0)}{' '.join(shown.split())}{' ...' * (end < len(text))}"


def failures(failed: Sequence[FailedDocument], problems: Sequence[FailedDocument] = (), *, skip: bool = False) -> None:
    """Prints what could not be read or written, and ends the command with an error if that was anything.

    Args:
        failed: What was not written.
        problems: What could not be read.
        skip: Whether ``problems`` are no error.

    Raises:
        WriteError: If something failed.
    """
    from ..errors import WriteError

    for document in [*problems, *failed][:_SHOWN_FAILURES]:
        say(f"not written: {document.id!r}: {document.reason}", file=sys.stderr)
    if problems and skip:
        say(f"{len(problems):,} rows or files were left out (--skip-bad-rows).", file=sys.stderr)
    count = len(failed) + (0 if skip else len(problems))
    if count:
        raise WriteError(f"{count:,} documents were not written; mend them, and run the same command again.")


def metrics_table(rows: Mapping[str, RetrievalMetrics]) -> str:
    """Formats one line per system: R@k and MRR@10."""
    depths = sorted(next(iter(rows.values())).recall)
    width = max(map(len, rows))
    lines = [f"{'':{width}}" + "".join(f"{f'R@{k}':>8}" for k in depths) + f"{'MRR@10':>9}"]
    for name, metrics in rows.items():
        values = "".join(f"{metrics.recall[k]:8.3f}" for k in depths)
        lines.append(f"{name:{width}}{values}{metrics.mrr_at_10:9.3f}")
    return "\n".join(lines)
