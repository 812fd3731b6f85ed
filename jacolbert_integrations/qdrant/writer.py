"""Any number of texts into a Qdrant collection: encoded, checked, sent, and sent again where need be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from queue import Queue
from threading import Thread
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse
from tqdm import tqdm

from ..errors import InputError, JaColBERTError, WriteError
from ..types import Document, Point
from .points import HASH_KEY, batches, is_local, qdrant_id
from .retrying import GaveUpError, Retries
from .store import QdrantStore

if TYPE_CHECKING:
    from ..encoder import JaColBERT

_LOST_IN_A_ROW = 3


@dataclass(frozen=True, slots=True)
class FailedDocument:
    """A document that was not written.

    Attributes:
        id: Its id.
        reason: What was wrong with it, or what the server said.
    """

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What a writer did.

    Attributes:
        written: Documents that were sent and acknowledged.
        unchanged: Documents that were there already, of the same text and payload.
        failed: Documents that were not written, each with the reason.
        seconds: How long it took.
    """

    written: int
    unchanged: int
    failed: tuple[FailedDocument, ...]
    seconds: float

    def __str__(self) -> str:
        rate = self.written / self.seconds if self.seconds else 0.0
        first = f" (the first, {self.failed[0].id!r}: {self.failed[0].reason})" if self.failed else ""
        return (
            f"{self.written:,} documents written in {self.seconds:.1f} s ({rate:.0f} a second), "
            f"{self.unchanged:,} unchanged, {len(self.failed):,} failed{first}"
        )


class QdrantWriter:
    """Writes documents of any number: what is there already and has not changed is not encoded again.

    Only some batches are in memory at a time. While one is encoded, the one before is on its way to
    the server. A run that was killed and is started again with the same documents ends with the same
    points as one that was not: ids are made from the documents' own, and each point has a hash of what
    it was made from. Several processes may write into one collection at once.

    Args:
        store: Where to. Its collection is made with the first batch.
        model: What encodes.
        batch: Documents that are encoded at a time.
        too_long: What becomes of a document of more tokens than the model reads: ``refuse`` it, or ``cut`` it.
        retries: How often what fails is sent again.
        wait: Whether Qdrant answers when points can be found, or when they are safely kept.
        ordering: Of writes in a cluster; None leaves it to Qdrant.
        show_progress_bar: None shows one after a second, on a terminal.

    Raises:
        ModelMismatchError: If the collection holds another model's vectors.
        CollectionLayoutError: If it exists and is none of ours.
        InputError: If ``batch`` is below 1.
    """

    def __init__(
        self,
        store: QdrantStore,
        model: JaColBERT,
        *,
        batch: int = 256,
        too_long: Literal["refuse", "cut"] = "refuse",
        retries: Retries | None = None,
        wait: bool = True,
        ordering: models.WriteOrdering | None = None,
        show_progress_bar: bool | None = None,
    ) -> None:
        if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
            raise InputError(f"batch is {batch!r}, but it must be an integer of at least 1.")
        if too_long not in ("refuse", "cut"):
            raise InputError(f"too_long is {too_long!r}, but it must be 'refuse' or 'cut'.")
        self.store = store
        self.model = model
        self.batch = batch
        self.too_long = too_long
        self.retries = Retries() if retries is None else retries
        self.wait = wait
        self.ordering = ordering
        self.show_progress_bar = show_progress_bar
        store.bind(model.identity)

    def write(self, documents: Iterable[Document]) -> WriteResult:
        """Writes documents.

        Args:
            documents: Any number; they are read as they are needed. Of several with one id the last stays.

        Returns:
            How many were written, and which were not.

        Raises:
            WriteError: If the server takes nothing any more, or the collection was deleted meanwhile. Its
                ``result`` says what has been written.
        """
        return _Run(self).write(documents)


class _Run:
    """One call of :meth:`QdrantWriter.write`."""

    def __init__(self, writer: QdrantWriter) -> None:
        self.writer = writer
        self.store = writer.store
        self.begun = perf_counter()
        self.written = 0
        self.unchanged = 0
        self.failed: list[FailedDocument] = []
        self.lost_in_a_row = 0
        self.fatal: BaseException | None = None
        self.on_the_way: set[str] = set()
        self.created = False

    def write(self, documents: Iterable[Document]) -> WriteResult:
        show = self.writer.show_progress_bar
        bar = tqdm(
            desc="Writing to Qdrant",
            unit=" documents",
            disable=None if show is None else not show,
            delay=1.0 if show is None else 0.0,
            total=len(documents) if isinstance(documents, Sequence) else None,
        )
        # Local mode is of one thread, and encodes on the same processor that it runs on.
        uploader = None if is_local(self.store.client) else _Uploader(self)
        try:
            source = iter(documents)
            while self.fatal is None and (group := list(islice(source, self.writer.batch))):
                points, hashes = self._encode(group)
                if points and uploader is None:
                    self.send(points, hashes)
                elif points and uploader is not None:
                    self.on_the_way.update(hashes)
                    uploader.put(points, hashes)
                bar.update(len(group))
        finally:
            if uploader is not None:
                uploader.finish()
            bar.close()
        if self.fatal is not None:
            if isinstance(self.fatal, WriteError):
                raise WriteError(f"{self.fatal} Until then: {self.result()}.", self.result()) from self.fatal.__cause__
            raise self.fatal
        return self.result()

    def result(self) -> WriteResult:
        return WriteResult(self.written, self.unchanged, tuple(self.failed), perf_counter() - self.begun)

    def _encode(self, group: Sequence[Document]) -> tuple[list[Point], dict[str, str]]:
        """The points of those documents that are good, and not there yet; with their hashes."""
        latest: dict[str, tuple[Document, str]] = {}
        for place, document in enumerate(group):
            try:
                latest[document.id] = (document, self._hash(document))
            except JaColBERTError as error:
                identity = document.id if isinstance(document.id, str) else f"number {place} of its batch"
                self.failed.append(FailedDocument(identity, str(error)))
        try:
            there = self._stored_hashes(list(latest))
        except GaveUpError as error:
            self.lost([document for document, _ in latest.values()], str(error))
            return [], {}
        fresh = {
            i: document
            for i, (document, digest) in latest.items()
            if there.get(i) != digest or i in self.on_the_way  # what is there is about to be replaced
        }
        self.unchanged += len(latest) - len(fresh)
        long = self._too_long(list(fresh.values()))
        for document_id, tokens in long.items():
            del fresh[document_id]
            self.failed.append(
                FailedDocument(
                    document_id,
                    f"it has {tokens:,} tokens, but the model reads {self.writer.model.document_maxlen}. Split it, or "
                    "write with too_long='cut'.",
                )
            )
        matrices = self.writer.model.encode_document([d.text for d in fresh.values()], show_progress_bar=False)
        points = []
        for document, vectors in zip(fresh.values(), matrices, strict=True):
            try:
                points += self.store.checked([Point(document.id, vectors, document.payload, document.text)])
            except JaColBERTError as error:
                self.failed.append(FailedDocument(document.id, str(error)))
        return points, {point.id: latest[point.id][1] for point in points}

    def _hash(self, document: Document) -> str:
        if not isinstance(document.id, str) or not document.id:
            raise InputError(f"the id {document.id!r} is no non-empty string.")
        if not isinstance(document.text, str) or not document.text.strip():
            raise InputError("it has no text, so there is nothing to find it by.")
        try:
            content = json.dumps([document.text, dict(document.payload)], sort_keys=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"its payload is not JSON-serialisable: {error}.") from None
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def _stored_hashes(self, ids: Sequence[str]) -> dict[str, str]:
        if not ids:
            return {}

        def ask() -> list[models.Record]:
            if not self.store.exists():
                return []
            wanted: list[models.ExtendedPointId] = [qdrant_id(i) for i in ids]
            return self.store.client.retrieve(self.store.collection, wanted, with_payload=[HASH_KEY])

        found = {str(record.id): (record.payload or {}).get(HASH_KEY, "") for record in self.writer.retries.call(ask)}
        return {i: found[qdrant_id(i)] for i in ids if qdrant_id(i) in found}

    def _too_long(self, documents: Sequence[Document]) -> dict[str, int]:
        if self.writer.too_long == "cut":
            return {}
        counts = self.writer.model.document_lengths([document.text for document in documents])
        most = self.writer.model.document_maxlen
        return {d.id: count for d, count in zip(documents, counts, strict=True) if count > most}

    def send(self, points: list[Point], hashes: dict[str, str]) -> None:
        """Sends points in requests that a server takes, and notes what becomes of them."""
        if not self.created:  # once: a collection that is deleted later took points with it, and is not made anew
            try:
                self.writer.retries.call(lambda: self.store.create(points))
            except GaveUpError as error:
                self.lost(points, str(error))
                return
            self.created = True
        for request in batches(points):
            if self.fatal is None:
                self._send(request, hashes)
        self.on_the_way.difference_update(hashes)

    def _send(self, points: list[Point], hashes: dict[str, str]) -> None:
        writer = self.writer
        try:
            writer.retries.call(
                lambda: self.store.send(points, hashes=hashes, wait=writer.wait, ordering=writer.ordering)
            )
        except GaveUpError as error:
            self.lost(points, str(error))
        except (UnexpectedResponse, ValueError) as error:
            if not writer.retries.call(self.store.exists):
                self.fatal = WriteError(
                    f"the Qdrant collection {self.store.collection!r} was deleted while it was written to. Write again "
                    "to make it anew."
                )
                self.fatal.__cause__ = error
            elif len(points) > 1:  # one of them is at fault: the others need not suffer
                for point in points:
                    self._send([point], hashes)
            else:
                self.failed.append(FailedDocument(points[0].id, " ".join(str(error).split())))
        else:
            self.written += len(points)
            self.lost_in_a_row = 0

    def lost(self, points: Sequence[Point | Document], reason: str) -> None:
        """Notes documents that no try could write; after some batches of them in a row, gives up."""
        self.failed += [FailedDocument(point.id, reason) for point in points]
        self.lost_in_a_row += 1
        if self.lost_in_a_row == _LOST_IN_A_ROW:
            self.fatal = WriteError(
                f"{_LOST_IN_A_ROW} requests in a row failed after all retries ({reason}). Write again when the server "
                "answers: what is there already is not sent again."
            )


class _Uploader:
    """Sends in a thread of its own, one batch behind the encoding."""

    def __init__(self, run: _Run) -> None:
        self.run = run
        self.queue: Queue[tuple[list[Point], dict[str, str]] | None] = Queue(maxsize=1)
        self.thread = Thread(target=self._send_all, name="jacolbert-writer", daemon=True)
        self.thread.start()

    def put(self, points: list[Point], hashes: dict[str, str]) -> None:
        self.queue.put((points, hashes))

    def finish(self) -> None:
        self.queue.put(None)
        self.thread.join()

    def _send_all(self) -> None:
        for points, hashes in self._received():
            if self.run.fatal is None:
                try:
                    self.run.send(points, hashes)
                except BaseException as error:  # raised again where write was called
                    self.run.fatal = error

    def _received(self) -> Iterator[tuple[list[Point], dict[str, str]]]:
        while (item := self.queue.get()) is not None:
            yield item
