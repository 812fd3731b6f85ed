"""Tables on disk that are made once, memory-mapped, and made anew when their sources change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import MissingExtraError, TrainingDataError
from .rows import BadRow, BadRows

if TYPE_CHECKING:
    from datasets import Dataset, Features

T = TypeVar("T")

_LAYOUT = 1
_BATCH = 1000


def cached_table(
    cache_dir: str | Path,
    name: str,
    sources: Sequence[str | Path],
    settings: Mapping[str, Any],
    features: Features,
    rows: Callable[[BadRows], Iterable[Mapping[str, Any]]],
) -> tuple[Dataset, BadRows]:
    """Returns a table cached in its own folder below ``cache_dir``, with the account of the rows that are not in it.

    The folder's name holds a key of the sources' paths, sizes and times of change, so that a changed source
    makes a new one. Old ones stay until somebody deletes them. Processes may ask for a table at once, as those of
    a training run do: each makes it if none has yet, and all read that of the first to be done.

    Args:
        cache_dir: Where the folders are.
        name: What the folder's name begins with.
        sources: The files that the rows come from.
        settings: What else decides the rows.
        features: The columns.
        rows: Makes the rows; called only if there is no such table yet.

    Raises:
        TrainingDataError: If a source cannot be read.
    """
    from datasets import Dataset

    folder = Path(cache_dir) / f"{name}-{_key(sources, settings)}"
    table, account = folder / "rows.arrow", folder / "bad_rows.json"
    if not folder.is_dir():
        with _new_directory(folder) as unfinished:
            bad = BadRows()
            _write_table(unfinished / table.name, features, rows(bad))
            text = json.dumps({"rows": bad.rows, "count": bad.count, "problems": bad.problems}, ensure_ascii=False)
            (unfinished / account.name).write_text(text, encoding="utf-8")
    found, bad = json.loads(account.read_text(encoding="utf-8")), BadRows()
    bad.rows, bad.count, bad.problems = found["rows"], found["count"], [BadRow(*row) for row in found["problems"]]
    return Dataset.from_file(str(table)), bad


def without_empty_scores(table: Dataset) -> Dataset:
    """Removes the column ``scores`` if it is empty, which one row shows: either all rows have scores or none."""
    return table.remove_columns("scores") if table[0]["scores"] is None else table


def check_datasets() -> None:
    """Raises :class:`MissingExtraError` if ``datasets`` is not installed."""
    try:
        import datasets  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("datasets", "training") from error


def in_batches(items: Iterable[T], size: int = _BATCH) -> Iterator[list[T]]:
    """Yields the items in lists of ``size``, the last one perhaps shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


@contextmanager
def _new_directory(path: Path) -> Iterator[Path]:
    """Creates a directory that takes its name once it is whole, unless another process was first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as around:
        unfinished = Path(around) / path.name
        unfinished.mkdir()
        yield unfinished
        try:
            unfinished.rename(path)  # a directory that holds something is never replaced
        except OSError:
            if not path.is_dir():
                raise


def _key(sources: Sequence[str | Path], settings: Mapping[str, Any]) -> str:
    stamps = []
    for source in sources:
        try:
            state = Path(source).stat()
        except OSError as error:
            raise TrainingDataError(f"{source} cannot be read: {error.strerror or error}.") from None
        stamps.append([str(Path(source).resolve()), state.st_size, state.st_mtime_ns])
    content = json.dumps([_LAYOUT, stamps, settings], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _write_table(file: Path, features: Features, rows: Iterable[Mapping[str, Any]]) -> None:
    import pyarrow as pa

    schema = features.arrow_schema
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for batch in in_batches(rows):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))
