"""A store that was closed under whoever uses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import StoreError


@contextmanager
def using_store() -> Iterator[None]:
    """What a closed client says, as an error of ours. Clients have no type of error for that, only words.

    Raises:
        StoreError: If the store's client has been closed.
    """
    try:
        yield
    except RuntimeError as error:
        if "closed" not in str(error):
            raise
        raise StoreError(f"the store's client has been closed ({error}). Make a new one, and a new store.") from error
