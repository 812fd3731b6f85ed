"""LlamaIndex nodes as the points that they become: one each, or one for each window of a long one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from llama_index.core.schema import BaseNode

from ..encoding.encoder import JaColBERT
from ..errors import InputError
from ..stores.payloads import check_id, json_copy
from ..text.windows import DOCUMENT_KEY, SPAN_KEY, TooLong, check_too_long, window_id, windows
from ..types import DocumentReplacing, Filter, MultiVectorStore, Payload, Point, WithIds
from .nodes import check_nodes, to_payload
from .selection import document_of, windows_of


@dataclass(frozen=True, slots=True)
class _Passage:
    id: str
    text: str
    payload: Payload


def node_points(
    nodes: Sequence[BaseNode], model: JaColBERT, too_long: TooLong, *, show_progress: bool | None = None
) -> list[Point]:
    """Turns nodes into points, with LlamaIndex's own payload, so that its other readers understand them.

    All nodes are checked before the first is encoded. No nodes are no points.

    Args:
        nodes: The nodes.
        model: Encodes them.
        too_long: What becomes of a node of more tokens than the model reads: ``split`` it into windows of whole
            sentences, each a point with the node's payload, ``cut`` it, or ``refuse`` it.
        show_progress: None shows a bar after a second, on a terminal.

    Raises:
        InputError: If a node has no text or no id, an id comes twice, metadata cannot be kept, or a node is refused.
    """
    check_too_long(too_long)
    passages = _passages(nodes, check_nodes(nodes), model, too_long)
    if not passages:
        return []
    vectors = model.encode_document([passage.text for passage in passages], show_progress_bar=show_progress)
    return [
        Point(passage.id, matrix, passage.payload, passage.text)
        for passage, matrix in zip(passages, vectors, strict=True)
    ]


def sort_out(nodes: Sequence[BaseNode], model: JaColBERT, too_long: TooLong) -> tuple[list[BaseNode], dict[str, str]]:
    """Separates the nodes that can be written from those that cannot.

    What is wrong with one node concerns its whole document, so that no document is half of its old version and half of
    its new one.

    Returns:
        The nodes of documents that can be written, and what is wrong, by the id of the node.
    """
    times = Counter(node.node_id for node in nodes)
    bad: dict[str, str] = {}
    for node in nodes:
        try:
            if times[node.node_id] > 1:
                raise InputError(f"the id {node.node_id!r} comes {times[node.node_id]} times.")
            for passage in _passages([node], check_nodes([node]), model, too_long):
                check_id(passage.id, "a node")
                json_copy(passage.payload, f"the node {node.node_id!r}")
        except InputError as error:
            bad[node.node_id] = str(error)
    spoiled = {document_of(node) for node in nodes if node.node_id in bad}
    return [node for node in nodes if document_of(node) not in spoiled], bad


def replace_in(store: MultiVectorStore, nodes: Sequence[BaseNode], points: Sequence[Point]) -> None:
    """Writes nodes, and removes the windows of earlier versions of them that are not among these points."""
    ids = [node.node_id for node in nodes]
    if isinstance(store, DocumentReplacing):
        store.replace_documents(points, ids)
        return
    store.upsert(points)
    written = WithIds(frozenset(point.id for point in points))
    store.delete(filter=Filter([windows_of(ids), Filter([written], "not")]))


def _passages(nodes: Sequence[BaseNode], texts: Sequence[str], model: JaColBERT, too_long: TooLong) -> list[_Passage]:
    limit = model.document_maxlen
    payloads = [to_payload(node) for node in nodes]
    lengths = [0 for _ in texts] if too_long == "cut" else model.document_lengths(texts)
    if too_long == "refuse" and max(lengths, default=0) > limit:
        longest = max(range(len(nodes)), key=lengths.__getitem__)
        raise InputError(
            f"{sum(length > limit for length in lengths)} of {len(nodes)} nodes are longer than the {limit} tokens "
            f"that {model.name} reads (the longest, {nodes[longest].node_id!r}, has {lengths[longest]}). Split them, "
            "for instance with JaColBERTSentenceSplitter, or write with too_long='split' or 'cut'."
        )
    passages: list[_Passage] = []
    for node, text, payload, length in zip(nodes, texts, payloads, lengths, strict=True):
        if length <= limit:
            passages.append(_Passage(node.node_id, text, payload))
            continue
        for number, (start, end) in enumerate(windows(text, model.document_lengths, limit)):
            passage_id = node.node_id if number == 0 else window_id(node.node_id, start)
            place = {DOCUMENT_KEY: node.node_id, SPAN_KEY: [start, end]}
            passages.append(_Passage(passage_id, text[start:end], {**payload, **place}))
    return passages
