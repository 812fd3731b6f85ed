"""LlamaIndex nodes as points, and back; its metadata filters as ours."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from llama_index.core.schema import BaseNode, ImageDocument, MetadataMode
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from ..errors import FilterWarning, InputError, StoreFileError
from ..stores.payload_text import NODE_KEY
from ..stores.stored_nodes import TYPE_KEY
from ..types import Condition, Document, Filter, Operator, Payload

_OPERATORS: dict[FilterOperator, Operator] = {
    FilterOperator.EQ: "==",
    FilterOperator.NE: "!=",
    FilterOperator.GT: ">",
    FilterOperator.GTE: ">=",
    FilterOperator.LT: "<",
    FilterOperator.LTE: "<=",
    FilterOperator.IN: "in",
    FilterOperator.NIN: "not in",
    FilterOperator.CONTAINS: "contains",
    FilterOperator.ANY: "any",
    FilterOperator.ALL: "all",
    FilterOperator.IS_EMPTY: "is_empty",
    FilterOperator.TEXT_MATCH: "text_match",
    FilterOperator.TEXT_MATCH_INSENSITIVE: "text_match_insensitive",
}


_DOCUMENTS: dict[Any, type[BaseNode]] = {kind.class_name(): kind for kind in (LlamaDocument, ImageDocument)}
"""What can be inserted as a node, too, and LlamaIndex's own reading makes a ``TextNode`` of."""

REF_DOC_KEY = "doc_id"
"""The payload key under which LlamaIndex keeps the id of the document that a node is of."""

OUR_KEYS = "_jacolbert_"
"""What all payload keys begin with that we keep beside LlamaIndex's."""


def node_text(node: BaseNode) -> str:
    """Returns what is embedded of a node: its text, and the metadata that it does not exclude."""
    return node.get_content(metadata_mode=MetadataMode.EMBED)


_SHADOWED = ("doc_id", "document_id", "ref_doc_id")
_told_of: set[str] = set()


def only_nodes(nodes: Iterable[BaseNode]) -> list[BaseNode]:
    """Returns the given objects if all of them are nodes.

    Raises:
        InputError: If one is not.
    """
    found = list(nodes)
    if strange := [node for node in found if not isinstance(node, BaseNode)]:
        raise InputError(f"nodes must be LlamaIndex's, such as TextNode, but one is a {type(strange[0]).__name__}.")
    return found


def check_nodes(nodes: Sequence[BaseNode]) -> list[str]:
    """Checks nodes that are to be indexed, and returns their texts.

    Raises:
        InputError: If something is no node, a node has no text or no id, or an id comes twice.
    """
    ids = [node.node_id for node in only_nodes(nodes)]
    if "" in ids:
        raise InputError(f"node {ids.index('')} has no id: an id is a non-empty string. Leave it out to have one made.")
    if repeated := [node_id for node_id, times in Counter(ids).items() if times > 1]:
        raise InputError(f"nodes must have different ids, but these come more than once: {sorted(repeated)[:3]}.")
    texts = [node_text(node) for node in nodes]
    if empty := [node_id for node_id, text in zip(ids, texts, strict=True) if not text.strip()]:
        raise InputError(
            f"{len(empty)} of {len(nodes)} nodes have no text (the first is {empty[0]!r}), so there is nothing to find "
            "them by. Leave them out."
        )
    return texts


def to_payload(node: BaseNode) -> dict[str, Any]:
    """Builds LlamaIndex's own payload of a node.

    Its rules are LlamaIndex's, too: of what JSON does not have, dates become text, sets lists, and NaN is None. Under
    ``doc_id``, ``document_id`` and ``ref_doc_id`` filters find the id of the node's document, whatever its own
    metadata has there.

    Warns:
        FilterWarning: Once for each of these three keys, if metadata have it with another value.

    Raises:
        InputError: If its metadata hold something that cannot be written as JSON, or have a key that is ours.
    """
    for key in _SHADOWED:
        if key in node.metadata and node.metadata[key] != node.ref_doc_id and key not in _told_of:
            _told_of.add(key)
            warnings.warn(
                f"metadata have the key {key!r}, under which LlamaIndex's filters find the id of a node's document, "
                "not your value. Rename it if you want to filter by it.",
                FilterWarning,
                stacklevel=2,
            )
    if ours := [key for key in node.metadata if str(key).startswith(OUR_KEYS)]:
        raise InputError(f"the node {node.node_id!r} has the metadata key {ours[0]!r}, which is for us. Rename it.")
    try:
        payload = node_to_metadata_dict(node, remove_text=False, flat_metadata=False)
        payload["_node_content"].encode("utf-8")  # all of the node is in it, lone surrogates, too
    except (ValueError, TypeError) as error:
        raise InputError(
            f"the node {node.node_id!r} cannot be written as JSON: {error}. Change its text or metadata."
        ) from None
    return payload


def to_documents(nodes: Iterable[BaseNode], bad: Callable[[str, str], None] | None = None) -> Iterator[Document]:
    """Yields nodes as documents for a writer, one after the other, so that any number of them can be written.

    With ``too_long="split"`` it writes what :meth:`JaColBERTRetriever.insert_nodes` writes, and the retriever finds it.

    Args:
        nodes: The nodes.
        bad: Told of each node that cannot be written, which is then left out: its id, and what is wrong with it. None
            raises an error instead.

    Raises:
        InputError: If a node's metadata cannot be kept, and nobody is told; when it is reached.
    """
    for node in nodes:
        try:
            payload = to_payload(node)
        except InputError as error:
            if bad is None:
                raise
            bad(node.node_id, str(error))
        else:
            yield Document(node.node_id, node_text(node), payload)


def to_node(payload: Payload) -> BaseNode:
    """Builds the node that a payload holds.

    Raises:
        StoreFileError: If it holds none.
    """
    if NODE_KEY not in payload:
        raise StoreFileError(
            f"the store holds points that are no LlamaIndex nodes (payload keys: {sorted(payload)[:6]}). A retriever "
            "needs a collection that was filled with nodes, for instance by JaColBERTRetriever.from_nodes."
        )
    kind = _DOCUMENTS.get(payload.get(TYPE_KEY))
    return metadata_dict_to_node(dict(payload)) if kind is None else kind.from_json(payload[NODE_KEY])


def to_store_filter(filters: object | None) -> object | None:
    """Translates LlamaIndex's ``MetadataFilters`` into a filter that every store knows; returns anything else as it is.

    Raises:
        UnsupportedFilterError: If an operator has no counterpart.
    """
    return _filter(filters) if isinstance(filters, MetadataFilters) else filters


def _filter(filters: MetadataFilters) -> Filter:
    conditions = [_filter(f) if isinstance(f, MetadataFilters) else _condition(f) for f in filters.filters]
    match filters.condition:
        case FilterCondition.OR:
            return Filter(conditions, "or")
        case FilterCondition.NOT:
            return Filter(conditions, "not")
        case _:
            return Filter(conditions, "and")


def _condition(metadata_filter: MetadataFilter) -> Condition | Filter:
    key, value, operator = metadata_filter.key, metadata_filter.value, metadata_filter.operator
    if operator is FilterOperator.IS_EMPTY:  # to LlamaIndex, a string without characters is empty, too
        return Filter([Condition(key, "is_empty"), Condition(key, "==", "")], "or")
    if value is None and operator in (FilterOperator.EQ, FilterOperator.NE):  # no value is None, and none is not
        return Condition(key, "in" if operator is FilterOperator.EQ else "not in", [])
    return Condition(key, _OPERATORS[operator], value)
