"""LlamaIndex nodes as points, and back; its metadata filters as ours."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from ..errors import InputError, StoreFileError, UnsupportedFilterError
from ..types import Condition, Filter, Operator, Payload, Point, TokenVectors

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
}


def node_text(node: BaseNode) -> str:
    """What of a node is embedded: its text, and the metadata that it does not exclude."""
    return node.get_content(metadata_mode=MetadataMode.EMBED)


def check_nodes(nodes: Sequence[BaseNode]) -> list[str]:
    """The texts of nodes that are to be indexed.

    Raises:
        InputError: If a node has no text, or an id comes twice.
    """
    ids = [node.node_id for node in nodes]
    if repeated := {node_id for node_id in ids if ids.count(node_id) > 1} if len(set(ids)) < len(ids) else set():
        raise InputError(f"nodes must have different ids, but these come more than once: {sorted(repeated)[:3]}.")
    texts = [node_text(node) for node in nodes]
    if empty := [node_id for node_id, text in zip(ids, texts, strict=True) if not text.strip()]:
        raise InputError(
            f"{len(empty)} of {len(nodes)} nodes have no text (the first is {empty[0]!r}), so there is nothing to find "
            "them by. Leave them out."
        )
    return texts


def to_point(node: BaseNode, vectors: TokenVectors) -> Point:
    """A node as a point, with LlamaIndex's own payload, so that its other readers understand it."""
    payload = node_to_metadata_dict(node, remove_text=False, flat_metadata=False)
    return Point(node.node_id, vectors, payload, node_text(node))


def to_node(payload: Payload) -> BaseNode:
    """The node that a payload holds.

    Raises:
        StoreFileError: If it holds none.
    """
    if "_node_content" not in payload:
        raise StoreFileError(
            f"the store holds points that are no LlamaIndex nodes (payload keys: {sorted(payload)[:6]}). A retriever "
            "needs a collection that was filled with nodes, for instance by JaColBERTRetriever.from_nodes."
        )
    return metadata_dict_to_node(dict(payload))


def to_store_filter(filters: object | None) -> object | None:
    """LlamaIndex's ``MetadataFilters`` as a filter that every store knows; anything else as it is.

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


def _condition(metadata_filter: MetadataFilter) -> Condition:
    operator = _OPERATORS.get(metadata_filter.operator)
    if operator is None:
        raise UnsupportedFilterError(
            f"the filter operator {metadata_filter.operator.name} on {metadata_filter.key!r} is not supported; these "
            f"are: {', '.join(known.name for known in _OPERATORS)}."
        )
    return Condition(metadata_filter.key, operator, metadata_filter.value)
