"""Files of rows: read row by row with an account of the bad ones, and written whole or not at all."""

from __future__ import annotations

import gzip
import json
import logging
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, TypeVar, cast

from tqdm import tqdm

from ...errors import InputError, MissingExtraError, TrainingDataError

RowFormat = Literal["jsonl", "tsv", "parquet"]
T = TypeVar("T")

logger = logging.getLogger(__name__)

_SUFFIXES: dict[str, RowFormat] = {".jsonl": "jsonl", ".json": "jsonl", ".tsv": "tsv", ".parquet": "parquet"}
_KEPT = 1000
_SHOWN = 10
_BOM = b"\xef\xbb\xbf"


class BadRow(NamedTuple):
    """A row that cannot be used.

    Attributes:
        source: The name of its file.
        line: Its line in the file, from 1; in files without lines, its place among the rows.
        reason: What is wrong with it.
    """

    source: str
    line: int
    reason: str


class BadRows:
    """An account of rows that cannot be used. Giving one to a reader allows such rows: it skips them.

    Attributes:
        rows: How many rows have been read, good and bad.
        count: How many of them are bad.
        problems: The first 1,000 bad ones; a large file of the wrong format must not fill the memory.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.count = 0
        self.problems: list[BadRow] = []

    def __str__(self) -> str:
        shown = [f"  {source}:{line}: {reason}" for source, line, reason in self.problems[:_SHOWN]]
        more = [f"  … and {self.count - len(shown):,} more"] if self.count > len(shown) else []
        return "\n".join([f"{self.count:,} of {self.rows:,} rows cannot be used:", *shown, *more])

    def add(self, source: str, line: int, reason: str) -> None:
        """Counts a bad row, and remembers it if it is one of the first."""
        self.count += 1
        if len(self.problems) < _KEPT:
            self.problems.append(BadRow(source, line, reason))

    def take(self, other: BadRows) -> None:
        """Adds another account to this one."""
        self.rows += other.rows
        self.count += other.count
        self.problems += other.problems[: _KEPT - len(self.problems)]

    def settle(self, source: str, skipped: BadRows | None) -> None:
        """Closes the account of one source: bad rows stop the run, or are passed to the caller that allowed them.

        Raises:
            TrainingDataError: If there are bad rows and ``skipped`` is None, or no good row at all.
        """
        problems = [(line, reason) for _, line, reason in self.problems]
        if self.count and skipped is None:
            raise TrainingDataError(
                f"{source}: {self}\nCorrect or remove them. To train without them, give a BadRows as `skipped`.",
                problems,
            )
        if self.count == self.rows:
            what = str(self) if self.rows else "it is empty."
            raise TrainingDataError(f"{source} has no row to train on: {what}", problems)
        if self.count and skipped is not None:
            logger.warning("%s: %s", source, self)
            skipped.take(self)


def row_format(file: Path) -> RowFormat:
    """Returns the format that a file's suffix names; a ``.gz`` after it is ignored.

    Raises:
        InputError: If it names none.
    """
    suffix = Path(file.stem).suffix if file.suffix == ".gz" else file.suffix
    if suffix not in _SUFFIXES:
        raise InputError(
            f"{file} ends with {suffix!r}, which names no format. Name the file .jsonl or .tsv, perhaps with .gz "
            "behind it, or .parquet."
        )
    return _SUFFIXES[suffix]


def read_rows(
    file: Path, bad: BadRows, *, format: RowFormat | None = None, show_progress_bar: bool | None = None
) -> Iterator[tuple[int, Any]]:
    """Yields the rows of a file, one at a time, each with its line number.

    Lines end with a line feed and nothing else: texts may hold U+2028 and its like. Blank lines are no rows.

    Args:
        file: JSON lines, tab-separated values (each plain or gzipped), or Parquet.
        bad: Takes the rows that cannot be read.
        format: What the file is; None takes it from the suffix.
        show_progress_bar: None shows one after a second, on a terminal.

    Yields:
        The line, from 1, and what is on it: any JSON value, a list of fields, or an object.

    Raises:
        TrainingDataError: If the file cannot be opened.
    """
    format = row_format(file) if format is None else format
    try:
        if format == "parquet":
            rows = _parquet_rows(file, bad)
        else:
            stream = file.open("rb")
            rows = _line_rows(file, stream, bad, _json if format == "jsonl" else _fields)
    except OSError as error:
        raise TrainingDataError(f"{file} cannot be read: {error.strerror or error}.") from None
    yield from tqdm(
        rows,
        desc=f"Reading {file.name}",
        unit=" rows",
        disable=None if show_progress_bar is None else not show_progress_bar,
        delay=1.0 if show_progress_bar is None else 0.0,
    )


def parse_rows(
    source: str, rows: Iterable[tuple[int, Any]], parse: Callable[[Any], T], bad: BadRows
) -> Iterator[tuple[int, T]]:
    """Parses each row with ``parse``; those that it raises :class:`InputError` for go into ``bad``."""
    for line, row in rows:
        try:
            parsed = parse(row)
        except InputError as error:
            bad.add(source, line, str(error))
        else:
            yield line, parsed


@contextmanager
def whole_file(file: Path) -> Iterator[IO[bytes]]:
    """Writes a file that takes its name only once all of it has been written; gzipped if it ends with .gz."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=f".{file.name}-", dir=file.parent, delete=False) as unfinished:
        path = Path(unfinished.name)
        try:
            if file.suffix == ".gz":  # without a name and a time, so that equal contents are equal files
                with gzip.GzipFile(filename="", mode="wb", fileobj=unfinished, mtime=0) as packed:
                    yield cast("IO[bytes]", packed)
            else:
                yield cast("IO[bytes]", unfinished)
            unfinished.flush()
            os.fsync(unfinished.fileno())
        except BaseException:
            path.unlink()
            raise
    path.chmod(0o644)  # temporary files can be read by nobody else
    path.replace(file)


def write_json_rows(file: Path, rows: Iterable[Any]) -> None:
    """Writes JSON lines, whole or not at all.

    Raises:
        InputError: If a text holds half of a surrogate pair, which UTF-8 cannot.
    """
    with whole_file(file) as stream:
        for number, row in enumerate(rows, 1):
            try:
                stream.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n")
            except UnicodeEncodeError as error:
                raise InputError(f"row {number} cannot be written as UTF-8: {error}.") from None


def _line_rows(file: Path, stream: IO[bytes], bad: BadRows, parse: Callable[[str], Any]) -> Iterator[tuple[int, Any]]:
    line = 0
    with stream, ExitStack() as stack:
        lines = stack.enter_context(gzip.GzipFile(fileobj=stream)) if file.suffix == ".gz" else stream
        try:
            for line, raw in enumerate(cast("Iterable[bytes]", lines), 1):
                raw = raw.removeprefix(_BOM) if line == 1 else raw
                if not raw.strip(b"\r\n"):
                    continue
                bad.rows += 1
                try:
                    row = parse(raw.decode().removesuffix("\n"))
                except UnicodeDecodeError as error:
                    bad.add(file.name, line, f"byte {error.start} is not UTF-8. Save the file as UTF-8.")
                except InputError as error:
                    bad.add(file.name, line, str(error))
                else:
                    yield line, row
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            _add_damage(file, line + 1, error, bad)


def _parquet_rows(file: Path, bad: BadRows) -> Iterator[tuple[int, Any]]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("datasets", "training") from error
    try:
        content = parquet.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise TrainingDataError(f"{file} is no Parquet file: {error}") from None

    def rows() -> Iterator[tuple[int, Any]]:
        number = 0
        with content:
            try:
                for batch in content.iter_batches(batch_size=1000):
                    for row in batch.to_pylist():
                        number += 1
                        bad.rows += 1
                        yield number, row
            except (pa.ArrowException, OSError) as error:
                _add_damage(file, number + 1, error, bad)

    return rows()


def _add_damage(file: Path, line: int, error: Exception, bad: BadRows) -> None:
    bad.rows += 1
    bad.add(file.name, line, f"the file is damaged from here on ({error}). Make or fetch it again.")


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg} at character {error.pos}.") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a list in a list in a list …
        raise InputError(f"not JSON that can be read: {error}.") from None


def _fields(line: str) -> list[str]:
    return line.removesuffix("\r").split("\t")
