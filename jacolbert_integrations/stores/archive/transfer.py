"""All points of a store into an archive, and those of an archive into any store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ...errors import InputError, JaColBERTError, StoreError, WriteError
from ...types import ModelIdentity, MultiVectorStore, Payload, Point
from .. import payload_text as texts
from ..model_identity import check_identity
from .manifest import Manifest, StoredDtype
from .reading import Archive
from .writing import PART_SIZE, new_archive


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did.

    Attributes:
        manifest: What the archive holds.
        written: How many of its points the store has taken, and was then asked for.
    """

    manifest: Manifest
    written: int

    def __str__(self) -> str:
        return f"{self.written:,} of {self.manifest.points:,} points written"


def payload_text(payload: Payload) -> str:
    """Returns the text that a payload keeps under one of the usual keys; the empty string if it keeps none."""
    try:
        return texts.payload_text(payload)
    except InputError:
        return ""


def export_points(
    store: MultiVectorStore,
    path: str | Path,
    *,
    dtype: StoredDtype = "float32",
    filter: object | None = None,
    part_size: int = PART_SIZE,
    show_progress_bar: bool | None = None,
) -> Manifest:
    """Writes the points of a store into one file, which is there only once it is whole.

    The store is bound to the model that it records, so that none has to be loaded. If others write into it meanwhile,
    some of what they write is in the file, and some is not.

    Args:
        store: Where from.
        path: The file; a file that is there is replaced.
        dtype: ``"float32"`` keeps each bit; ``"float16"`` halves the file, and keeps about 3 digits of a number.
        filter: Which points: a :class:`~jacolbert_integrations.types.Filter`, or the host's own.
        part_size: Bytes of vectors, as float32, that are gathered before they are written.
        show_progress_bar: None shows one after a second, on a terminal.

    Returns:
        What the file holds.

    Raises:
        InputError: If the store does not exist yet, or an argument cannot be used.
        StoreFileError: If the file cannot be written.
        StoreError: If the store cannot be read to the end. In each case nothing unfinished is left, a file that was at
            ``path`` is as it was, and the same call can be made again.
    """
    with _asking(store):
        model = _recorded(store)
        store.bind(model)
        expected = store.count(filter=filter)
    with new_archive(path, model, dtype=dtype, part_size=part_size) as archive:
        given = 0
        with _bar("Exporting", expected, show_progress_bar) as bar:
            for point in _read(store, filter):
                archive.add(point)
                given += 1
                bar.update()
        with _asking(store):
            if given != expected == store.count(filter=filter):
                raise StoreError(
                    f"{store!r} says it has {expected:,} points, and gave {given:,}. Nothing was written to {path}."
                )
    return archive.manifest


def import_points(
    path: str | Path,
    store: MultiVectorStore,
    *,
    text: Callable[[Payload], str] = payload_text,
    show_progress_bar: bool | None = None,
) -> ImportResult:
    """Writes the points of an archive into a store, over those that have the same ids; others stay.

    The whole file is read and checked before the first point is written. A store that knows no model yet is bound to
    that of the archive. After an import that was interrupted, the same call ends as if it had not been.

    Args:
        path: The file.
        store: Where to: in memory, in Qdrant, any.
        text: Makes a point's text from its payload, where the archive has none. A lexical first stage finds points by
            it.
        show_progress_bar: None shows one after a second, on a terminal.

    Returns:
        How many points were written.

    Raises:
        StoreFileError: If the file is damaged in any way.
        ModelMismatchError: If the store holds another model's vectors, or is bound to another model.
        InputError: If the store cannot take one of the points, as one without text for a lexical first stage.
        StoreError: If the store cannot be asked which model it is of. In these four cases nothing was written.
        WriteError: If the store failed, or lacks points that it took. Its ``result`` says what had been written.

    Warns:
        QueryLengthWarning: If the archive was recorded with another query-length rule than the store.
    """
    with Archive(path) as archive:
        manifest = archive.manifest
        with _asking(store):
            _bind(store, manifest.model)
        with _bar("Checking", manifest.points, show_progress_bar) as bar:
            for points in archive.parts():
                store.checked(_with_text(points, text))
                bar.update(len(points))
        written = 0
        try:
            with _bar("Importing", manifest.points, show_progress_bar) as bar:
                for points in archive.parts():
                    _write(store, _with_text(points, text))
                    written += len(points)
                    bar.update(len(points))
            if (count := store.count()) < manifest.points:
                raise StoreError(f"at the end the store has {count:,} points.")
        except Exception as error:  # each host has its own
            result = ImportResult(manifest, written)
            raise WriteError(
                f"the import of {path} into {store!r} stopped: {_said(error)} Until then: {result}. Import again: what "
                "is there is written over.",
                result,
            ) from error
    return ImportResult(manifest, written)


def _recorded(store: MultiVectorStore) -> ModelIdentity:
    model = store.identity()
    if model is None or not store.exists():
        raise InputError(f"{store!r} does not exist yet, so there is nothing to export. Check its name.")
    return model


def _bind(store: MultiVectorStore, model: ModelIdentity) -> None:
    known = store.identity()
    if known is not None:
        check_identity(known, model, repr(store))
    store.bind(model if known is None else known)


def _read(store: MultiVectorStore, filter: object | None) -> Iterator[Point]:
    with _asking(store):
        yield from store.points(filter=filter)


@contextmanager
def _asking(store: MultiVectorStore) -> Iterator[None]:
    """Errors of the host as ours, never to be taken for those of the file."""
    try:
        yield
    except JaColBERTError:
        raise
    except Exception as error:  # each host has its own
        raise StoreError(f"{store!r} could not be read: {_said(error)} The same call can be made again.") from error


def _with_text(points: Sequence[Point], text: Callable[[Payload], str]) -> list[Point]:
    return [point if point.text else replace(point, text=text(point.payload)) for point in points]


def _write(store: MultiVectorStore, points: Sequence[Point]) -> None:
    """Writes points and asks for them.

    Raises:
        StoreError: If some are not there.
    """
    store.upsert(points)
    ids = [point.id for point in points]
    if missing := set(ids) - store.contains(ids):
        raise StoreError(f"the store took {len(ids):,} points, and lacks {len(missing):,}, such as {min(missing)!r}.")


def _said(error: Exception) -> str:
    if isinstance(error, JaColBERTError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}."


def _bar(what: str, total: int, show: bool | None) -> tqdm[Any]:
    return tqdm(
        desc=what,
        unit=" points",
        total=total,
        disable=None if show is None else not show,
        delay=1.0 if show is None else 0.0,
    )
