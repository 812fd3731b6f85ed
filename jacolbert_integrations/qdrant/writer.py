"""Any number of texts into a Qdrant collection: encoded, checked, sent, and sent again where need be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from qdrant_client import models

from ..errors import InputError
from ..stores.payload_text import TEXT_KEY
from ..text.windows import DOCUMENT_KEY, TooLong, check_too_long
from ..types import Document
from .retrying import Retries
from .store import QdrantStore
from .write_result import WriteResult
from .write_run import WriteRun, WriteSettings

if TYPE_CHECKING:
    from ..encoding.encoder import JaColBERT
    from ..encoding.parallel import EncoderPool


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
        too_long: What becomes of a document of more tokens than the model reads: ``refuse`` it, ``split`` it into
            windows of whole sentences, each a point that counts by itself and knows its document
            (:data:`~jacolbert_integrations.text.windows.DOCUMENT_KEY`), or ``cut`` it. :func:`~.points.of_documents`
            finds documents, split or not.
        text_key: Where in the payload the text is kept, for those who search, and for indexing anew with another
            model; None keeps none. A LlamaIndex node's payload has its text already.
        pool: Encodes in several processes, or on several GPUs, in place of the model itself. A larger ``batch``
            keeps all of them busy: some 1,000 documents for each.
        retries: How often what fails is sent again.
        wait: Whether Qdrant answers when points can be found, or when they are safely kept.
        ordering: Of writes in a cluster; None leaves it to Qdrant.
        show_progress_bar: None shows one after a second, on a terminal.

    Raises:
        ModelMismatchError: If the collection holds another model's vectors.
        CollectionLayoutError: If it exists and was not created by this package.
        InputError: If an argument cannot be used, or the pool is another model's.
        AccessError: If the server refuses the client.
        GaveUpError: If it does not answer.
    """

    def __init__(
        self,
        store: QdrantStore,
        model: JaColBERT,
        *,
        batch: int = 256,
        too_long: TooLong = "refuse",
        text_key: str | None = TEXT_KEY,
        pool: EncoderPool | None = None,
        retries: Retries | None = None,
        wait: bool = True,
        ordering: models.WriteOrdering | None = None,
        show_progress_bar: bool | None = None,
    ) -> None:
        if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
            raise InputError(f"batch is {batch!r}, but it must be an integer of at least 1.")
        check_too_long(too_long)
        if too_long == "split":  # windows are looked for by their document at each write
            store.indexes.setdefault(DOCUMENT_KEY, models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD))
        if pool is not None and pool.model is not model:
            raise InputError(f"the pool encodes with {pool.model!r}, not with {model!r}.")
        self.store = store
        self.model = model
        self.encoder = model if pool is None else pool
        self.batch = batch
        self.too_long = too_long
        self.text_key = text_key
        self.retries = Retries() if retries is None else retries
        self.wait = wait
        self.ordering = ordering
        self.show_progress_bar = show_progress_bar
        store.model = model
        self.retries.call(lambda: store.bind(model.identity))

    def write(self, documents: Iterable[Document], *, characters: int | None = None) -> WriteResult:
        """Writes documents.

        Args:
            documents: Any number; they are read as they are needed. Of several with one id the last stays.
            characters: How many their texts have in all, where that is known and they are no sequence: the progress bar
                then says how much time is left.

        Returns:
            How many were written, and which were not.

        Raises:
            WriteError: If the server takes nothing any more or refuses the client or the collection, its storage is
                full or read-only, or the collection was deleted meanwhile. Its ``result`` says what has been written.
        """
        settings = WriteSettings(
            store=self.store,
            model=self.model,
            encoder=self.encoder,
            batch=self.batch,
            too_long=self.too_long,
            text_key=self.text_key,
            retries=self.retries,
            wait=self.wait,
            ordering=self.ordering,
            show_progress_bar=self.show_progress_bar,
        )
        return WriteRun(settings).write(documents, characters)
