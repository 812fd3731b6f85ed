"""Uses a store safely: one lock for the threads of an engine in this process, and an error for a closed client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock, RLock
from typing import Any
from weakref import WeakKeyDictionary

from ..errors import InputError, StoreError
from ..stores.measuring import ModelUsing, StoreModel
from ..types import ModelIdentity, MultiVectorStore

_SAYING_CLOSED = (
    "Cannot send a request, as the client has been closed.",  # of a server, over REST
    "Client was closed. Please create a new QdrantClient instance.",  # over gRPC
    "QdrantLocal instance is closed. Please create a new instance.",
)
_locks: WeakKeyDictionary[Any, AbstractContextManager[Any]] = WeakKeyDictionary()
_looking = Lock()


def check_store(store: object) -> MultiVectorStore:
    """Refuses what is not a store of token vectors, such as a client or a path.

    Raises:
        InputError: If it is not.
    """
    if not isinstance(store, MultiVectorStore):
        raise InputError(
            f"store is a {type(store).__name__}, but it must be a store of token vectors, such as MemoryStore(), "
            "EdgeStore(path) or QdrantStore(client, name)."
        )
    return store


def bind_store(store: MultiVectorStore, identity: ModelIdentity, model: StoreModel) -> None:
    """Tells a store its model, and gives it to a store that may want to use it.

    Raises:
        ModelMismatchError: If the store holds another model's vectors.
    """
    if isinstance(store, ModelUsing):
        store.model = model
    store.bind(identity)


@contextmanager
def using_store(store: MultiVectorStore, *, writing: bool = False) -> Iterator[None]:
    """Guards several steps on a store that belong together, within this process.

    One thread at a time uses a client whose engine runs in this process; the same thread may come in again. Those who
    use a server are not kept apart. Nothing that takes long beside the store, such as loading a model or encoding,
    belongs inside.

    Args:
        store: The store.
        writing: Whether several steps change what is stored. A store without a client, such as one in memory, is safe
            in threads by itself: only those that do this share a lock.

    Raises:
        StoreError: If the store's client has been closed. Clients have no type of error for that, only sentences.
    """
    try:
        with _lock_of(store, writing):
            yield
    except Exception as error:
        if str(error) not in _SAYING_CLOSED:
            raise
        raise StoreError(f"the store's client has been closed ({error}). Make a new one, and a new store.") from error


def _lock_of(store: MultiVectorStore, writing: bool) -> AbstractContextManager[Any]:
    """Returns the one lock of a client in this process, or of a store without a client; a server needs none."""
    client = getattr(store, "client", None)
    if _asks_a_server(client) or (client is None and not writing):
        return nullcontext()
    try:
        with _looking:
            return _locks.setdefault(store if client is None else client, RLock())
    except TypeError:  # somebody else's, of a kind that nothing can be kept for
        return nullcontext()


def _asks_a_server(client: object) -> bool:
    options = getattr(client, "init_options", None)  # of a QdrantClient; Qdrant Edge's client has none
    return options is not None and options.get("path") is None and options.get("location") != ":memory:"
