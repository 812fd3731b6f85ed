"""What whoever uses a store has to see to: a client that was closed, and threads that meet in one engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock, RLock
from typing import Any
from weakref import WeakKeyDictionary

from ..errors import StoreError
from ..types import MultiVectorStore

_locks: WeakKeyDictionary[Any, AbstractContextManager[Any]] = WeakKeyDictionary()
_looking = Lock()


@contextmanager
def using_store(store: MultiVectorStore) -> Iterator[None]:
    """What a closed client says, as an error of ours. Clients have no type of error for that, only words.

    Args:
        store: Where its engine runs in this process, one thread at a time uses it: qdrant-client's local mode loses
            points otherwise.

    Raises:
        StoreError: If the store's client has been closed.
    """
    try:
        with _lock_of(store):
            yield
    except RuntimeError as error:
        if "closed" not in str(error):
            raise
        raise StoreError(f"the store's client has been closed ({error}). Make a new one, and a new store.") from error


def _lock_of(store: MultiVectorStore) -> AbstractContextManager[Any]:
    """Of a client in this process the one lock; a server, and a store without a client, see to themselves."""
    client = getattr(store, "client", None)
    if client is None or _asks_a_server(client):
        return nullcontext()
    try:
        with _looking:
            return _locks.setdefault(client, RLock())
    except TypeError:  # somebody else's client, of a kind that nothing can be kept for
        return nullcontext()


def _asks_a_server(client: object) -> bool:
    options = getattr(client, "init_options", None)  # of a QdrantClient; Qdrant Edge's client has none
    return options is not None and options.get("path") is None and options.get("location") != ":memory:"
