"""How a retriever is copied, and what of it goes to another process."""

from __future__ import annotations

import pickle
from copy import copy, deepcopy
from typing import TYPE_CHECKING, Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager

from ...encoding.encoder import JaColBERT
from ...encoding.sources import ModelSource
from ...errors import StoreError
from ...types import MultiVectorStore
from ..stores import bind_store

if TYPE_CHECKING:
    from typing_extensions import Self


class CopyableRetriever(BaseRetriever):
    """A retriever whose copies use the same model, store and objects, with options of their own.

    A pickle says where the model is loaded from, and holds the store, if that can be pickled. Callbacks stay behind.
    """

    filters: object | None
    _model: JaColBERT
    _store: MultiVectorStore

    def __copy__(self) -> Self:
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        copied.object_map = dict(self.object_map)
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = copy(self)
        copied.filters = deepcopy(self.filters, memo)
        return copied

    def __getstate__(self) -> dict[str, Any]:
        try:
            store = pickle.dumps(self._store)
        except Exception as error:
            raise StoreError(
                f"the retriever cannot be pickled, because its store cannot ({error}). Send retriever.to_dict() "
                "instead, and call from_dict there with a store of that process."
            ) from error
        dropped = ("_model", "_store", "callback_manager")
        state = {name: value for name, value in self.__dict__.items() if name not in dropped}
        return {**state, "_source": ModelSource.of(self._model), "_pickled_store": store}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        self._model = state.pop("_source").load()
        self._store = pickle.loads(state.pop("_pickled_store"))
        self.callback_manager = CallbackManager()
        self.__dict__.update(state)
        bind_store(self._store, self._model.identity, self._model)
