"""Which stored nodes are meant: those of some ids, of some documents, or that pass filters."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import MetadataFilters

from ..errors import InputError, UnsupportedFilterError
from ..text.windows import DOCUMENT_KEY
from ..types import Condition, Filter, WithIds
from .nodes import REF_DOC_KEY, to_store_filter

_NO_DOCUMENT = "None"  # what LlamaIndex writes for a node that is of no document


def document_of(node: BaseNode) -> str:
    """Returns the id of a node's document. LlamaIndex's pipelines take a node without one as a document of its own."""
    return node.node_id if node.ref_doc_id is None else node.ref_doc_id


def of_documents(documents: Collection[str]) -> Filter:
    """Selects the nodes of some documents, and the nodes that are these documents."""
    named = [document for document in documents if document != _NO_DOCUMENT]
    itself = Filter([Condition(REF_DOC_KEY, "==", _NO_DOCUMENT), of_nodes(documents)])
    return Filter([Condition(REF_DOC_KEY, "in", named), itself], "or")


def of_nodes(node_ids: Collection[str]) -> Filter:
    """Selects some nodes, with all windows of those that were split. A window's own id is no node's id."""
    whole = Filter([WithIds(frozenset(node_ids)), Condition(DOCUMENT_KEY, "is_empty")])
    return Filter([whole, windows_of(node_ids)], "or")


def windows_of(node_ids: Collection[str]) -> Filter:
    """Selects the windows of some nodes."""
    return having(DOCUMENT_KEY, node_ids)


def having(key: str, values: Collection[str]) -> Filter:
    """Selects the points that have one of some values under a key of this package."""
    # Few points have the key, and to compare with many values takes long: those without are passed over at once.
    return Filter([Filter([Condition(key, "is_empty")], "not"), Condition(key, "in", list(values))])


def joined(restricted: Sequence[WithIds | Filter], filters: MetadataFilters | object | None) -> object | None:
    """Joins conditions into one that passes what passes all of them.

    Args:
        restricted: Filters of ours.
        filters: LlamaIndex's, or, by themselves, the store's own.

    Raises:
        UnsupportedFilterError: If the filters are the store's own, and there are others.
    """
    condition = to_store_filter(filters)
    if not restricted:
        return condition
    if condition is None:
        return Filter(restricted)
    if not isinstance(condition, Filter):
        raise UnsupportedFilterError(
            f"a {type(condition).__name__} cannot be joined with doc_ids or node_ids. Put these into the filter."
        )
    return Filter([*restricted, condition])


def says_nothing(filters: object) -> bool:
    """Returns whether these are filters without a condition, however nested, which everything passes."""
    return isinstance(filters, MetadataFilters) and all(map(says_nothing, filters.filters))


def checked_ids(ids: Collection[str], name: str) -> list[str]:
    """Refuses one id where a list of them is expected.

    Raises:
        InputError: If it is a string, or holds something else than strings.
    """
    if isinstance(ids, str) or not all(isinstance(one, str) for one in ids):
        raise InputError(f"{name} is {ids!r:.80}, but it must be a list of strings.")
    return list(ids)
