"""New versions of nodes take the place of old ones, or all stays as it was."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext

from llama_index.core.schema import BaseNode

from ...types import Filter, MultiVectorStore, Point, WithIds
from ..indexes import RESTORED_KEY
from ..selection import document_of, having, of_nodes
from ..writing import replace_in
from .connection import Connection
from .undo import RecentlyDeleted

_logger = logging.getLogger(__name__)


def documents_of(nodes: Iterable[BaseNode]) -> list[str]:
    """Returns the ids of the nodes' documents, each once."""
    return list(dict.fromkeys(map(document_of, nodes)))


def replace_nodes(
    nodes: Sequence[BaseNode],
    encode: Callable[[Sequence[BaseNode]], list[Point]],
    connection: Connection,
    deleted: RecentlyDeleted,
) -> None:
    """Writes nodes, and removes what they take the place of; if they cannot be written, all is as it was.

    Args:
        nodes: The nodes.
        encode: Makes points of them.
        connection: To the store.
        deleted: Holds the old versions that were deleted a moment ago; those of these nodes' documents are put back if
            something fails, and forgotten otherwise.
    """
    documents = documents_of(nodes)
    with deleted.adding(documents):  # here as well: a task may be cancelled while its thread goes on
        try:
            points = encode(nodes)
        except BaseException:
            _put_back(nodes, connection, deleted)
            raise
        with connection.using(writing=True) as store:
            try:
                replace_in(store, nodes, points)
            except BaseException:
                _put_back(nodes, connection, deleted, store)
                raise
            # LlamaIndex does not do it: its docstore has forgotten what was put back.
            store.delete(filter=having(RESTORED_KEY, documents))
        deleted.drop(documents)


def _put_back(
    nodes: Sequence[BaseNode],
    connection: Connection,
    deleted: RecentlyDeleted,
    store: MultiVectorStore | None = None,
) -> None:
    """Restores the old versions of the nodes' documents, marked as such; if that fails, the log says so."""
    try:
        points = deleted.to_restore(documents_of(nodes))
        if not points:
            return
        documents = {point.payload[RESTORED_KEY] for point in points}
        new = of_nodes([node.node_id for node in nodes if document_of(node) in documents])
        half_written = Filter([new, Filter([WithIds(frozenset(point.id for point in points))], "not")])
        # a caller that holds the lock passes the store, and keeps the lock
        with connection.using(writing=True) if store is None else nullcontext(store) as here:
            here.upsert(points)
            here.delete(filter=half_written)
    except Exception:  # what made it necessary is what the caller has to know
        gone = deleted.count(documents_of(nodes))
        _logger.exception("The old versions of documents could not be put back: %d nodes are gone.", gone)
