"""Index nodes that lead to something that no store can keep, such as another retriever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.schema import BaseNode, IndexNode

_KEPT_IN_NODES = (BaseNode, str, int, float, list, dict, type(None))
"""What LlamaIndex writes of an index node and reads again: a node, or plain JSON."""


def without_objects(nodes: Sequence[BaseNode]) -> tuple[list[BaseNode], dict[str, Any]]:
    """Returns nodes that can be stored, and, by their ``index_id``, the objects that cannot be stored with them.

    LlamaIndex's ``VectorStoreIndex`` takes such nodes, too, and keeps their objects beside its store. Here the nodes
    that are given stay as they are.
    """
    written: list[BaseNode] = []
    objects: dict[str, Any] = {}
    for node in nodes:
        if isinstance(node, IndexNode) and not isinstance(node.obj, _KEPT_IN_NODES):
            objects[node.index_id] = node.obj
            written.append(node.model_copy(update={"obj": None}))
        else:
            written.append(node)
    return written, objects
