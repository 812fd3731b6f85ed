"""One run of a writer: documents are checked, encoded, sent, and sent again where need be."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from queue import Queue
from threading import Thread
from time import perf_counter
from typing import TYPE_CHECKING

from qdrant_client import models

from ..errors import AccessError, EngineError, GaveUpError, InputError, JaColBERTError, ServerError, WriteError
from ..text.windows import TooLong
from ..types import Document, Filter, Point
from .answers import describe
from .clients import client_lock, is_in_process
from .filters import to_qdrant
from .passages import Passage, passages
from .points import HASH_KEY, ID_KEY, VERSION_KEY, windows_of
from .retrying import REJECTED, Retries
from .store import QdrantStore
from .versions_of_documents import next_version, version_of
from .write_progress import WriteProgress
from .write_result import FailedDocument, WriteResult

if TYPE_CHECKING:
    from ..encoding.encoder import JaColBERT
    from ..encoding.parallel import EncoderPool
    from ..types import TokenVectors

_LOST_IN_A_ROW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSettings:
    """How a run writes.

    Attributes:
        store: Where to.
        model: Counts the tokens of documents.
        encoder: Encodes them: the model, or a pool of processes.
        batch: Documents that are encoded at a time.
        too_long: What becomes of a document of more tokens than the model reads.
        text_key: Where in the payload the text is kept; None keeps none.
        retries: How often what fails is sent again.
        wait: Whether Qdrant answers when points can be found, or when they are safely kept.
        ordering: Of writes in a cluster.
        show_progress_bar: None shows one after a second, on a terminal.
    """

    store: QdrantStore
    model: JaColBERT
    encoder: JaColBERT | EncoderPool
    batch: int
    too_long: TooLong
    text_key: str | None
    retries: Retries
    wait: bool
    ordering: models.WriteOrdering | None
    show_progress_bar: bool | None


@dataclass(frozen=True, slots=True)
class _Batch:
    """What is sent together.

    Attributes:
        points: Checked points.
        hashes: Of what each was made from, by id.
        windows: The ids of all windows that some documents have now, by document.
        replacing: The ids under which something else is stored.
        version: Of its documents; None where only one at a time can write.
        documents: The document of each of the points, by their ids.
        written: Those documents of which something has been written.
        replaced: Those of them of which something was there before.
    """

    points: list[Point] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)
    windows: dict[str, list[str]] = field(default_factory=dict)
    replacing: frozenset[str] = frozenset()
    version: int | None = None
    documents: dict[str, str] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)

    def new(self, points: Iterable[str], known: set[str]) -> int:
        """Adds the documents of points, by their ids, to those that are known, and returns how many were not."""
        before = len(known)
        known.update(self.documents[point] for point in points)
        return len(known) - before


class WriteRun:
    """One call of :meth:`.QdrantWriter.write`: what it has written, and what is on its way.

    Args:
        settings: How to write.
    """

    def __init__(self, settings: WriteSettings) -> None:
        self.settings = settings
        self.store = settings.store
        self.begun = perf_counter()
        self.written = 0
        self.windows = 0
        self.replaced = 0
        self.unchanged = 0
        self.failed: list[FailedDocument] = []
        self.lost_in_a_row = 0
        self.fatal: BaseException | None = None
        self.on_the_way: set[str] = set()
        self.created = False

    def write(self, documents: Iterable[Document], characters: int | None = None) -> WriteResult:
        """Writes documents, and returns what was written and what was not; ``characters`` is for the progress bar.

        Raises:
            WriteError: As :meth:`.QdrantWriter.write`.
        """
        # An engine in this process runs on the processor that encodes, so there is nothing to wait for.
        uploader = None if is_in_process(self.store.client) else _Uploader(self)
        try:
            source = iter(documents)
            with WriteProgress(documents, characters, self.settings.show_progress_bar) as progress:
                while self.fatal is None and (group := list(islice(source, self.settings.batch))):
                    batch = self._encode(group, progress)
                    if uploader is None:
                        self.send(batch)
                    else:
                        self.on_the_way.update(batch.hashes)
                        uploader.put(batch)
        finally:
            if uploader is not None:
                uploader.finish()
        if self.written and self.fatal is None:
            try:
                self.store.optimize()
            except EngineError as error:
                self.stop(f"all is written, but searches will be slow: {error}", error)
        if self.fatal is not None:
            if isinstance(self.fatal, WriteError):
                raise WriteError(f"{self.fatal} Until then: {self.result()}.", self.result()) from self.fatal.__cause__
            raise self.fatal
        return self.result()

    def result(self) -> WriteResult:
        """Returns what has been done until now."""
        seconds = perf_counter() - self.begun
        failed = tuple(self.failed)
        return WriteResult(self.written, self.unchanged, failed, seconds, self.replaced, self.windows)

    def _encode(self, group: Sequence[Document], progress: WriteProgress) -> _Batch:
        """Encodes those documents that are valid and not stored yet, and returns their points."""
        latest = self._passages(group)
        try:
            there = self._stored(list(latest))
        except GaveUpError as error:
            self.lost(list(latest.values()), str(error))
            return _Batch()
        except AccessError as error:
            self.stop(str(error))
            return _Batch()
        except REJECTED as error:
            self.stop(f"the server does not say what is there ({describe(error)}).", error)
            return _Batch()
        for passage_id, (other, _, _) in there.items():
            if other != passage_id:
                del latest[passage_id]
                self.failed.append(
                    FailedDocument(passage_id, f"its point is the one of the id {other!r}. Give it another id.")
                )
        fresh = {
            i: passage
            for i, passage in latest.items()
            if i not in there or there[i][1] != passage.digest or i in self.on_the_way  # about to be replaced
        }
        several = not is_in_process(self.store.client)
        if several:  # others may write the same documents: a version of one is all of its windows
            changed = {passage.document for passage in fresh.values() if passage.document is not None}
            fresh = {i: passage for i, passage in latest.items() if i in fresh or passage.document in changed}
        documents = {i: i if passage.document is None else passage.document for i, passage in latest.items()}
        self.unchanged += len(set(documents.values()) - {documents[i] for i in fresh})
        for passage_id, tokens in self._too_long(list(fresh.values())).items():
            del fresh[passage_id]
            self.failed.append(
                FailedDocument(
                    passage_id,
                    f"it has {tokens:,} tokens, but the model reads {self.settings.model.document_maxlen}. Split it, "
                    "or write with too_long='split' or 'cut'.",
                )
            )
        texts = [passage.text for passage in fresh.values()]
        given = sum(len(document.text) for document in group if isinstance(document.text, str))
        progress.passed(max(0, given - sum(map(len, texts))))
        matrices: list[TokenVectors] = []
        for start in range(0, len(texts), self.settings.batch):  # a document may have many windows
            part = texts[start : start + self.settings.batch]
            matrices += self.settings.encoder.encode_document(part, show_progress_bar=False)
            progress.encoded(part, matrices[start:])
        points = []
        for passage, vectors in zip(fresh.values(), matrices, strict=True):
            try:
                points += self.store.checked([Point(passage.id, vectors, passage.payload, passage.text)])
            except JaColBERTError as error:
                self.failed.append(FailedDocument(passage.id, str(error)))
        windows: dict[str, list[str]] = {}
        for passage in latest.values():
            if passage.document is not None:
                windows.setdefault(passage.document, []).append(passage.id)
        hashes = {point.id: latest[point.id].digest for point in points}
        version = next_version(version for _, _, version in there.values()) if several else None
        return _Batch(points, hashes, windows, frozenset(hashes).intersection(there), version, documents)

    def _passages(self, group: Sequence[Document]) -> dict[str, Passage]:
        """Splits documents into passages, by id; of documents with one id, only the last counts."""
        splitter = self.settings.model if self.settings.too_long == "split" else None
        by_document: dict[str, list[Passage]] = {}
        for place, document in enumerate(group):
            if not isinstance(document, Document):
                raise InputError(
                    f"a writer writes jacolbert_integrations.types.Document(id, text, payload), but got a "
                    f"{type(document).__name__}: {document!r:.60}."
                )
            try:
                found = passages(document, text_key=self.settings.text_key, splitter=splitter)
                by_document[document.id] = found
            except JaColBERTError as error:
                identity = document.id if isinstance(document.id, str) else f"number {place} of its batch"
                self.failed.append(FailedDocument(identity, str(error)))
        return {passage.id: passage for found in by_document.values() for passage in found}

    def _stored(self, ids: Sequence[str]) -> dict[str, tuple[str, str, int]]:
        """Returns the id, the hash and the version of the points that are stored where these ids' are to be."""
        if not ids:
            return {}

        def ask() -> list[models.Record]:
            if not self.store.exists():
                return []
            self.store.prepare()
            wanted, client = self.store.qdrant_ids(ids), self.store.client
            with client_lock(client):
                return client.retrieve(
                    self.store.collection,
                    wanted,
                    with_payload=[ID_KEY, HASH_KEY, VERSION_KEY],
                    **self.store.read_options,
                )

        found = {str(record.id): record.payload or {} for record in self.settings.retries.call(ask)}
        return {
            i: (payload.get(ID_KEY, i), payload.get(HASH_KEY, ""), version_of(payload))
            for i, key in zip(ids, self.store.qdrant_ids(ids), strict=True)
            if (payload := found.get(str(key))) is not None
        }

    def _too_long(self, found: Sequence[Passage]) -> dict[str, int]:
        if self.settings.too_long != "refuse":
            return {}
        counts = self.settings.model.document_lengths([passage.text for passage in found])
        most = self.settings.model.document_maxlen
        return {passage.id: count for passage, count in zip(found, counts, strict=True) if count > most}

    def send(self, batch: _Batch) -> None:
        """Sends points in requests that a server takes, and notes what becomes of them."""
        try:
            if batch.points:
                self._send_all(batch)
            if batch.windows and self.fatal is None:
                self._remove_old_windows(self._whole(batch.windows), versioned=batch.version is not None)
        except (AccessError, GaveUpError) as error:
            self.stop(str(error))
        except ServerError as error:
            self.stop(str(error), error)
        except (OSError, sqlite3.Error, EngineError) as error:  # points are checked before: it is no fault of theirs
            self.stop(
                f"the storage of {self.store.collection!r} cannot be written ({describe(error)}). Write again when it "
                "has space and may be written: what is there already is not written again.",
                error,
            )
        except JaColBERTError:  # InputError is a ValueError
            raise
        except REJECTED as error:
            self.stop(f"the server refuses the collection {self.store.collection!r} ({describe(error)}).", error)

    def _send_all(self, batch: _Batch) -> None:
        if not self.created:  # once: a collection that is deleted later took points with it, and is not made anew
            try:
                self.settings.retries.call(lambda: self.store.create(batch.points))
            except GaveUpError as error:
                self.lost(batch.points, str(error))
                return
            self.created = True
        for request in self.store.batches(batch.points):
            if self.fatal is None:
                self._send(request, batch)
        self.on_the_way.difference_update(batch.hashes)

    def _whole(self, windows: dict[str, list[str]]) -> dict[str, list[str]]:
        """Returns those documents of which no window failed: of the others, the old windows must stay."""
        failed = {document.id for document in self.failed}
        return {document: found for document, found in windows.items() if failed.isdisjoint(found)}

    def _remove_old_windows(self, windows: dict[str, list[str]], *, versioned: bool) -> None:
        """Removes the windows that documents had when they were longer."""
        if not windows:
            return
        if versioned:
            with contextlib.suppress(GaveUpError):
                self.settings.retries.call(lambda: self.store.remove_older(list(windows)))
            return
        kept = self.store.qdrant_ids([window for found in windows.values() for window in found])
        old = models.Filter(must=to_qdrant(Filter([windows_of(windows)])), must_not=models.HasIdCondition(has_id=kept))
        with contextlib.suppress(GaveUpError):  # they are found again when the documents are written again
            self.settings.retries.call(lambda: self.store.delete(filter=old))

    def _send(self, points: list[Point], batch: _Batch) -> None:
        settings = self.settings
        try:
            settings.retries.call(
                lambda: self.store.send(
                    points,
                    hashes=batch.hashes,
                    version=batch.version,
                    wait=settings.wait,
                    ordering=settings.ordering,
                )
            )
        except GaveUpError as error:
            self.lost(points, str(error))
        except REJECTED as error:
            if not settings.retries.call(self.store.exists):
                self.stop(
                    f"the Qdrant collection {self.store.collection!r} was deleted while it was written to. Write again "
                    "to make it anew.",
                    error,
                )
            elif len(points) > 1:  # one of them is at fault, or they are too many: the others need not suffer
                half = len(points) // 2
                for part in (points[:half], points[half:]):
                    if self.fatal is None:
                        self._send(part, batch)
            else:
                self.failed.append(FailedDocument(points[0].id, describe(error)))
        else:
            self.windows += len(points)
            self.written += batch.new([point.id for point in points], batch.written)
            self.replaced += batch.new([point.id for point in points if point.id in batch.replacing], batch.replaced)
            self.lost_in_a_row = 0

    def lost(self, points: Sequence[Point | Passage], reason: str) -> None:
        """Notes documents that no try could write; after some batches of them in a row, gives up."""
        self.failed += [FailedDocument(point.id, reason) for point in points]
        self.lost_in_a_row += 1
        if self.lost_in_a_row >= _LOST_IN_A_ROW:
            self.stop(
                f"{_LOST_IN_A_ROW} requests in a row failed after all retries ({reason}). Write again when the server "
                "answers: what is there already is not sent again."
            )

    def stop(self, reason: str, cause: BaseException | None = None) -> None:
        """Ends the run with an error, unless it has ended."""
        if self.fatal is None:
            self.fatal = WriteError(reason)
            self.fatal.__cause__ = cause


class _Uploader:
    """Sends in a thread of its own, one batch behind the encoding."""

    def __init__(self, run: WriteRun) -> None:
        self.run = run
        self.queue: Queue[_Batch | None] = Queue(maxsize=1)
        self.thread = Thread(target=self._send_all, name="jacolbert-writer", daemon=True)
        self.thread.start()

    def put(self, batch: _Batch) -> None:
        self.queue.put(batch)

    def finish(self) -> None:
        self.queue.put(None)
        self.thread.join()

    def _send_all(self) -> None:
        for batch in self._received():
            if self.run.fatal is None:
                try:
                    self.run.send(batch)
                except BaseException as error:  # raised again where write was called
                    self.run.fatal = error

    def _received(self) -> Iterator[_Batch]:
        while (item := self.queue.get()) is not None:
            yield item
