"""A collection indexed anew, for another model or other settings, while the old one answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from qdrant_client import models

from ..errors import InputError
from ..stores.addresses import check_collection_name
from ..stores.payload_text import TextReader, text_reader
from ..text.windows import DOCUMENT_KEY, SPAN_KEY, Span
from ..types import Document, Filter
from .answers import ask
from .clients import Client, client_lock
from .filters import to_qdrant
from .points import ID_KEY, from_payload, native_id, qdrant_id, windows_of
from .retrying import Retries
from .store import QdrantStore
from .write_result import FailedDocument
from .writer import QdrantWriter

if TYPE_CHECKING:
    from ..encoding.encoder import JaColBERT

_PAGE = 256
_MOST_ROUNDS = 10  # of a collection that others never stop writing to


@dataclass(frozen=True, slots=True)
class ReindexResult:
    """What was done.

    Attributes:
        written: Points that were encoded and written.
        unchanged: Points that an earlier run had written already.
        removed: Points of an earlier run whose originals have been deleted since.
        failed: What could not be written, each with the reason.
        replaced: The collection that the alias pointed at before; None if it was not moved, or is new.
        moved: Whether the alias points at the new collection now.
        seconds: How long it took.
    """

    written: int
    unchanged: int
    removed: int
    failed: tuple[FailedDocument, ...]
    replaced: str | None
    moved: bool
    seconds: float

    def __str__(self) -> str:
        alias = "the alias points at it now" if self.moved else "no alias was moved"
        return (
            f"{self.written:,} points written in {self.seconds:.1f} s, {self.unchanged:,} unchanged, {self.removed:,} "
            f"removed, {len(self.failed):,} failed; {alias}"
        )


def reindex(
    source: Client,
    collection: str,
    target: QdrantStore,
    model: JaColBERT,
    *,
    alias: str | None = None,
    text: str | TextReader | None = None,
    too_long: Literal["refuse", "split", "cut"] = "refuse",
    batch: int = _PAGE,
    retries: Retries | None = None,
    show_progress_bar: bool | None = None,
) -> ReindexResult:
    """Reads the texts of any collection, and writes them into a new one.

    Payloads are copied as they are, with the ids. The old collection is only read, and answers all the time. Then the
    alias is moved, in one step, if all that is in the old collection is in the new one. What is written to the old one
    meanwhile is copied in further rounds, until one finds nothing new, or after ten; what comes after that is not.

    A run that was killed is begun again with the same arguments, and encodes only what is missing.

    Args:
        source: The client of the collection to read.
        collection: Its name, or an alias.
        target: The new collection: its own name, first stages and options.
        model: What encodes.
        alias: The name under which applications search, on the target's client; it is made if it does not exist. None
            moves none.
        text: The payload's key of the text, or a function that finds it. None looks where this package, LlamaIndex,
            LangChain and fastembed keep it; of a LlamaIndex node it is what LlamaIndex embeds.
        too_long: As of :class:`QdrantWriter`.
        batch: Points that are read, and encoded, at a time.
        retries: How often what fails is asked for again.
        show_progress_bar: None shows one after a second, on a terminal.

    Returns:
        What was done. If something failed, the alias has not been moved.

    Raises:
        InputError: If there is no such collection, source and target are the same, or the alias is a collection's name.
        ModelMismatchError: If the target holds another model's vectors.
        WriteError: As :meth:`QdrantWriter.write`.
        GaveUpError: If the source cannot be read.
    """
    begun = perf_counter()
    retries = Retries() if retries is None else retries
    _check(source, collection, target, alias)
    reader = text_reader(text)
    writer = QdrantWriter(
        target,
        model,
        batch=batch,
        too_long=too_long,
        text_key=None,  # payloads stay as they are, so that the text is where it was
        retries=retries,
        show_progress_bar=show_progress_bar,
    )
    copy = _Copy(source, collection, reader, batch, retries, splits=too_long == "split")
    written = unchanged = 0
    for _ in range(_MOST_ROUNDS):
        result = writer.write(copy.documents())
        failed = (*copy.failed, *result.failed)
        if written == 0 and unchanged == 0:
            unchanged = result.unchanged
        written += result.written
        if result.written == 0 or failed:  # nothing has come to the old collection since the last round
            break
    removed = copy.remove_what_is_gone(target) if target.exists() else 0
    replaced = None
    moved = alias is not None and not failed and target.exists()
    if moved and alias is not None:
        replaced = move_alias(target.client, alias, target.collection)
    return ReindexResult(written, unchanged, removed, failed, replaced, moved, perf_counter() - begun)


def move_alias(client: Client, alias: str, collection: str) -> str | None:
    """Moves an alias to a collection in one step, so that no search falls between the old collection and the new.

    Args:
        client: Any client.
        alias: The alias; it is made if there is none.
        collection: What it is to mean.

    Returns:
        What it meant before, if that was something else.

    Raises:
        InputError: If there is no such collection, or one that has the alias's name.
    """
    check_collection_name(alias)
    with client_lock(client):
        before = alias_target(client, alias)
        if before is None:
            _check_free(client, alias)
        if not ask(client, client.collection_exists, collection):
            raise InputError(f"there is no collection {collection!r} for the alias {alias!r} to mean.")
        changes: list[Any] = []
        if before is not None:
            changes.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)))
        created = models.CreateAlias(collection_name=collection, alias_name=alias)
        ask(client, client.update_collection_aliases, [*changes, models.CreateAliasOperation(create_alias=created)])
    return None if before == collection else before


def alias_target(client: Client, alias: str) -> str | None:
    """Returns the collection that an alias names; None if there is no such alias."""
    aliases = ask(client, client.get_aliases).aliases
    return next((a.collection_name for a in aliases if a.alias_name == alias), None)


def _check(source: Client, collection: str, target: QdrantStore, alias: str | None) -> None:
    if not ask(source, source.collection_exists, collection):
        raise InputError(f"there is no collection {collection!r} to read.")
    same = source is target.client
    if same and target.collection in (collection, alias_target(source, collection)):
        raise InputError(f"{target.collection!r} is what is read: give the new collection a name of its own.")
    if alias is not None:
        check_collection_name(alias)
        if alias == target.collection:
            raise InputError(f"the alias {alias!r} must not be the new collection's own name.")
        if alias_target(target.client, alias) is None:
            _check_free(target.client, alias)


def _check_free(client: Client, alias: str) -> None:
    """Refuses an alias that is no alias yet, and the name of a collection."""
    if ask(client, client.collection_exists, alias):
        raise InputError(
            f"{alias!r} is a collection, and no alias. Qdrant has no two things of one name: delete or copy that "
            "collection first, or let applications search under another name."
        )


class _Copy:
    """Reads a collection, as often as is needed."""

    def __init__(
        self, client: Client, collection: str, reader: TextReader, page: int, retries: Retries, *, splits: bool
    ) -> None:
        self.client = client
        self.collection = collection
        self.reader = reader
        self.page = page
        self.retries = retries
        self.splits = splits
        self.failed: list[FailedDocument] = []

    def documents(self) -> Iterator[Document]:
        self.failed.clear()
        offset: Any = None
        while True:
            records, offset = self._scroll(self.client, self.collection, offset)
            for record in records:
                point_id, payload = from_payload(record.id, record.payload)
                try:
                    yield Document(point_id, self.reader(payload), payload)
                except InputError as error:
                    self.failed.append(FailedDocument(point_id, str(error)))
            if offset is None:
                return

    def remove_what_is_gone(self, target: QdrantStore) -> int:
        """Removes points that an earlier run copied, and that have been deleted since."""
        removed = 0
        offset: Any = None
        while True:
            records, offset = self._scroll(target.client, target.collection, offset)
            gone = self._gone([from_payload(record.id, record.payload) for record in records])
            target.delete(gone)
            removed += len(gone)
            if offset is None:
                return removed

    def _gone(self, copies: list[tuple[str, dict[str, Any]]]) -> list[str]:
        """Returns the ids of copies whose original is gone, be it a point of the same id or the text of a window."""
        names = {name for i, payload in copies for name in (i, payload.get(DOCUMENT_KEY)) if isinstance(name, str)}
        keys = [key for name in names for key in {qdrant_id(name), native_id(name)}]
        records = self.retries.call(
            partial(ask, self.client, self.client.retrieve, self.collection, keys, with_payload=[ID_KEY, SPAN_KEY])
        )
        originals = dict(from_payload(record.id, record.payload) for record in records)
        missing = [(i, payload) for i, payload in copies if i not in originals]
        windows = self._windows({payload[DOCUMENT_KEY] for _, payload in missing if DOCUMENT_KEY in payload})
        # A document that is whole there has windows here only if it was split on the way.
        whole = {i for i, payload in originals.items() if self.splits and SPAN_KEY not in payload}
        return [i for i, payload in missing if not _is_window(payload, whole, windows)]

    def _windows(self, documents: set[str]) -> dict[str, list[Span]]:
        """Returns the windows of documents in the collection, if documents were split."""
        found: dict[str, list[Span]] = {}
        condition = to_qdrant(Filter([windows_of(documents)]))
        offset: Any = None
        while documents:
            records, offset = self._scroll(self.client, self.collection, offset, condition)
            for record in records:
                payload = record.payload or {}
                found.setdefault(payload[DOCUMENT_KEY], []).append(payload[SPAN_KEY])
            if offset is None:
                break
        return found

    def _scroll(
        self, client: Client, collection: str, offset: Any, condition: models.Filter | None = None
    ) -> tuple[list[models.Record], Any]:
        read = partial(client.scroll, collection, condition, with_payload=True, with_vectors=False)
        return self.retries.call(partial(ask, client, read, limit=self.page, offset=offset))


def _is_window(copy: dict[str, Any], whole: set[str], windows: dict[str, list[Span]]) -> bool:
    """Returns whether a copy is a window of a text that still exists: of a whole document, or of a longer window."""
    document = copy.get(DOCUMENT_KEY)
    if document is None:
        return False
    start, end = copy[SPAN_KEY]
    return document in whole or any(first <= start and end <= last for first, last in windows.get(document, ()))
