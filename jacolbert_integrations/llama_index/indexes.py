"""The payload keys that LlamaIndex's adapters filter by, for stores that want an index over each."""

from __future__ import annotations

from collections.abc import Mapping

from ..text.windows import DOCUMENT_KEY
from ..types import IndexedPayload, MultiVectorStore
from .nodes import OUR_KEYS, REF_DOC_KEY

RESTORED_KEY = f"{OUR_KEYS}restored"
"""The payload key of a node that was put back: the id of its document, which LlamaIndex believes to be gone."""

OUR_INDEXES: Mapping[str, str] = dict.fromkeys((REF_DOC_KEY, DOCUMENT_KEY, RESTORED_KEY), "keyword")


def add_indexes(
    store: MultiVectorStore, indexes: Mapping[str, str] | None = None, *, create_missing: bool = False
) -> None:
    """Tells a store which keys will be filtered by: ours, and a user's. A store that indexes nothing needs none.

    Args:
        store: The store.
        indexes: The user's keys, as what each is indexed.
        create_missing: Whether indexes of other keys are made, too, when a filter lacks one.

    Raises:
        InputError: If one is no index.
    """
    if isinstance(store, IndexedPayload):
        store.add_indexes({**OUR_INDEXES, **(indexes or {})}, create_missing=create_missing)
