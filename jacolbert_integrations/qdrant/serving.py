"""Searches under an alias that may be moved to another model's collection at any time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import InputError, ModelMismatchError
from ..stores.model_identity import check_vectors
from ..types import Hits
from .clients import Client
from .reindexing import alias_target
from .schema import read_record
from .search import SearchOptions
from .store import QdrantStore

if TYPE_CHECKING:
    from ..encoding.encoder import JaColBERT


class AliasSearch:
    """Searches by text under an alias, each time with the model that made the collection behind it.

    Give it the old model and the new one before :func:`~.reindexing.reindex` moves the alias: no search fails, and none
    compares vectors of one model with those of the other.

    Args:
        client: Any client.
        alias: The alias, or a collection's name.
        models: Those that collections behind the alias may have been made by.
        search_options: How it is searched, unless a search says otherwise.

    Raises:
        InputError: If there is no model.
    """

    def __init__(
        self,
        client: Client,
        alias: str,
        models: Sequence[JaColBERT],
        *,
        search_options: SearchOptions | None = None,
    ) -> None:
        if not models:
            raise InputError("an AliasSearch needs one model at least.")
        self.client = client
        self.alias = alias
        self.models = list(models)
        self.search_options = search_options
        self._opened: dict[str, tuple[QdrantStore, JaColBERT]] = {}

    def search(
        self, text: str, *, top_k: int, filter: object | None = None, options: SearchOptions | None = None
    ) -> Hits:
        """Encodes a text and searches with it, as :meth:`QdrantStore.search` does.

        Raises:
            ModelMismatchError: If none of the models has made the collection.
            InputError: As :meth:`QdrantStore.search`.
            UnsupportedFilterError: As :meth:`QdrantStore.search`.
        """
        while True:
            collection = self._target()
            opened = self._of(collection)
            if opened is not None:
                store, model = opened
                hits = store.search(model.query(text), top_k=top_k, filter=filter, options=options)
            else:
                hits = Hits()
            if hits or self._target() == collection:  # else the alias has moved, and the old one may be deleted
                return hits

    def _target(self) -> str:
        return alias_target(self.client, self.alias) or self.alias

    def _of(self, collection: str) -> tuple[QdrantStore, JaColBERT] | None:
        if collection in self._opened:
            return self._opened[collection]
        recorded = read_record(self.client, collection)
        if recorded is None:
            return None
        where = f"the Qdrant collection {collection!r}"
        for model in self.models:
            try:
                check_vectors(recorded.identity, model.identity, where)
            except ModelMismatchError as error:
                mismatch = error
                continue
            store = QdrantStore(self.client, collection, search_options=self.search_options)
            store.model = model
            store.bind(model.identity)
            self._opened[collection] = store, model
            return store, model
        raise mismatch
