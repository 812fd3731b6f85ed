"""TREC's files: judgments (qrels) and what a system found (runs)."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from ..errors import InputError
from .benchmark import Qrels
from .rankings import Run, ranked


def read_qrels(
    file: str | Path, *, queries: Container[str] | None = None, passages: Container[str] | None = None
) -> dict[str, dict[str, int]]:
    """Reads judgments: a query, anything (TREC's iteration), a passage and a grade in each line.

    Args:
        file: UTF-8, columns apart by white space.
        queries: Those that there are; None takes any.
        passages: Those that there are; None takes any.

    Returns:
        Ids of queries to ids of passages to grades. Grades below 0, by which TREC marks spam, are kept.

    Raises:
        InputError: If the file cannot be read, holds none, or a line is none, or of a query or a passage that is not
            there; it names the line.
    """
    qrels: dict[str, dict[str, int]] = {}
    for where, (query, _, passage, grade) in _rows(Path(file), ("query", "iteration", "passage", "grade")):
        for what, identity, known in (("query", query, queries), ("passage", passage, passages)):
            if known is not None and identity not in known:
                raise InputError(f"{where} is a judgment of the {what} {identity!r}, but there is no such {what}.")
        own = qrels.setdefault(query, {})
        if passage in own:
            raise InputError(f"{where}: the query {query!r} has a judgment of the passage {passage!r} already.")
        try:
            own[passage] = int(grade)
        except ValueError:
            raise InputError(f"{where}: the grade is {grade!r}, but it must be a whole number.") from None
    if not qrels:
        raise InputError(f"{file} holds no judgments.")
    return qrels


def read_run(file: str | Path, *, name: str | None = None) -> Run:
    """Reads what a system found: query, ``Q0``, passage, rank, score and the run's name in each line.

    Scores decide the ranking, as for trec_eval, and not the column of ranks; equal scores rank by the passages' ids.

    Args:
        file: UTF-8, columns apart by white space.
        name: What tables call it; None takes the last column.

    Raises:
        InputError: If the file cannot be read, holds nothing, or a line is none; it names the line.
    """
    found: dict[str, dict[str, float]] = {}
    given = ""
    columns = ("query", "Q0", "passage", "rank", "score", "run")
    for where, (query, _, passage, _, score, tag) in _rows(Path(file), columns):
        given = tag
        own = found.setdefault(query, {})
        if passage in own:
            raise InputError(f"{where}: the passage {passage!r} was found for the query {query!r} already.")
        own[passage] = _score(score, where)
    if not found:
        raise InputError(f"{file} is an empty run.")
    return Run(given if name is None else name, {query: ranked(own.items()) for query, own in found.items()})


def write_qrels(file: str | Path, qrels: Qrels) -> None:
    """Writes judgments as :func:`read_qrels` reads them, whole or not at all.

    Raises:
        InputError: If an id is empty or has white space in it, or the file cannot be written.
    """
    _write(
        Path(file),
        ((query, "0", passage, str(grade)) for query, own in qrels.items() for passage, grade in own.items()),
    )


def write_run(file: str | Path, run: Run) -> None:
    """Writes a run as :func:`read_run` reads it, whole or not at all.

    White space in the run's name becomes ``_``.

    Raises:
        InputError: If an id is empty or has white space in it, or the file cannot be written.
    """
    name = "_".join(run.name.split()) or "run"
    _write(
        Path(file),
        (
            (query, "Q0", passage, str(rank), repr(score), name)
            for query, ranking in run.rankings.items()
            for rank, (passage, score) in enumerate(ranking, 1)
        ),
    )


def _rows(file: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                cells = line.split()
                if not cells:
                    continue
                where = f"{file}, line {number}"
                if len(cells) != len(columns):
                    raise InputError(
                        f"{where} has {len(cells)} columns, but {len(columns)} are expected: {' '.join(columns)}."
                    )
                yield where, cells
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8: {error.reason} at byte {error.start}.") from None


def _score(text: str, where: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise InputError(f"{where}: the score is {text!r}, but it must be a finite number.")
    return score


def _write(file: Path, rows: Iterable[tuple[str, ...]]) -> None:
    lines = []
    for row in rows:
        if any(cell.split() != [cell] for cell in row):
            raise InputError(
                f"{row} cannot be written: TREC's columns are apart by white space, so no id may have any."
            )
        lines.append(" ".join(row) + "\n")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{file.name}-", dir=file.parent) as folder:
            unfinished = Path(folder) / file.name
            unfinished.write_text("".join(lines), encoding="utf-8")
            unfinished.replace(file)
    except UnicodeEncodeError as error:
        raise InputError(f"{file} cannot be written as UTF-8: {error}.") from None
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}.") from None
