"""A model and a store that are opened when they are first needed, bound to each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import RLock

from ...encoding.encoder import JaColBERT
from ...encoding.sources import ModelSource
from ...types import MultiVectorStore
from ..indexes import add_indexes
from ..stores import bind_store, using_store


class Connection:
    """The model and the store of a vector store. Its copies share it, so that what one opens or closes all have.

    Safe in threads.

    Args:
        source: Loads the model.
        open_store: Opens the store.
        model: The model, if it is loaded.
        store: The store, if it is open.
        indexes: Keys that will be filtered by, as what each is indexed.
        create_missing_indexes: Whether indexes of other keys are made, too, when a filter lacks one.
    """

    def __init__(
        self,
        source: ModelSource,
        open_store: Callable[[], MultiVectorStore],
        model: JaColBERT | None = None,
        store: MultiVectorStore | None = None,
        *,
        indexes: Mapping[str, str] | None = None,
        create_missing_indexes: bool = False,
    ) -> None:
        self._source = source
        self._open_store = open_store
        self._model = model
        self._store = store
        self._indexes = indexes
        self._create_missing_indexes = create_missing_indexes
        self._bound = False
        self._opening = RLock()  # is taken before a store's own lock, and never while that is held

    @property
    def model(self) -> JaColBERT:
        """The model, loaded if need be.

        Raises:
            CheckpointError: If it is not there.
            ModelMismatchError: If other weights are there now than its description says.
        """
        with self._opening:
            if self._model is None:
                self._model = self._source.load()
            return self._model

    @property
    def store(self) -> MultiVectorStore:
        """The store, opened and bound to the model if need be.

        Raises:
            ModelMismatchError: If it was filled by another model.
            StoreError: If it cannot be opened.
        """
        with self._opening:
            if self._store is None:
                self._store = self._open_store()
            if not self._bound:
                identity = self.model.identity
                add_indexes(self._store, self._indexes, create_missing=self._create_missing_indexes)
                with using_store(self._store):
                    bind_store(self._store, identity, self.model)
                self._bound = True
            return self._store

    @property
    def open_store(self) -> MultiVectorStore | None:
        """The store as it is: None if it is not open."""
        return self._store

    @contextmanager
    def using(self, *, writing: bool = False) -> Iterator[MultiVectorStore]:
        """Yields the store for several steps that belong together (:func:`~..stores.using_store`).

        If it is closed while this thread waits for the lock, it is opened again.

        Raises:
            ModelMismatchError: If it was filled by another model.
            StoreError: If it cannot be opened, or the client of a server is closed meanwhile.
        """
        while True:
            store = self.store
            with using_store(store, writing=writing):
                if store is self._store:  # and stays so: closing its client needs the lock
                    yield store
                    return

    def take(self, store: MultiVectorStore | None) -> None:
        """Takes a store that was opened elsewhere; it is bound when it is first used."""
        with self._opening:
            self._store, self._bound = store, False

    def close(self) -> None:
        """Closes the store's client, as soon as nobody uses the store. It is opened again when it is needed."""
        with self._opening:
            opened, self._store, self._bound = self._store, None, False
            if opened is not None:
                with using_store(opened):
                    getattr(opened, "client").close()  # noqa: B009 - what kind of client is not known here
