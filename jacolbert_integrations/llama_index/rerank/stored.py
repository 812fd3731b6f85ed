"""Nodes scored by the store that holds their vectors, so that none of these has to travel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from llama_index.core.schema import BaseNode

from ...stores.payload_text import NODE_KEY
from ...text.windows import DOCUMENT_KEY, SPAN_KEY, window_id
from ...types import Hit
from ..passage_text import PassageText
from .passages import NodeScore, Piece, stored_text

_KEYS = (DOCUMENT_KEY, SPAN_KEY, NODE_KEY)


def scores_by_store(
    ask: Callable[[Sequence[str]], Mapping[str, Hit]],
    nodes: Sequence[BaseNode],
    texts: Sequence[PassageText],
    cut: Callable[[Sequence[PassageText]], list[list[Piece]]],
) -> list[NodeScore | None]:
    """Scores the nodes that are stored as a reranker reads them: with the same text, and in the same windows.

    Args:
        ask: Has the store score documents by their ids.
        nodes: The nodes.
        texts: What is embedded of each.
        cut: Returns what of each text the reranker reads at once.

    Returns:
        The score of each node; None for those that have to be read.
    """
    hits = dict(ask(list(dict.fromkeys(node.node_id for node in nodes)))) if nodes else {}
    same = [
        place
        for place, (node, text) in enumerate(zip(nodes, texts, strict=True))
        if node.node_id in hits and stored_text(hits[node.node_id].payload) == text.whole
    ]
    pieces = dict(zip(same, cut([texts[place] for place in same]), strict=True))
    ids = {place: _ids(nodes[place].node_id, own) for place, own in pieces.items()}
    if further := [point_id for own in ids.values() for point_id in own[1:]]:
        hits.update(ask(further))
    scores: list[NodeScore | None] = [None for _ in nodes]
    for place, own in pieces.items():
        found = [hits[point_id] for point_id in ids[place] if point_id in hits]
        content = hits[nodes[place].node_id].payload[NODE_KEY]
        expected = [(*_place_of(piece, nodes[place].node_id, texts[place]), content) for piece in own]
        if [tuple(map(hit.payload.get, _KEYS)) for hit in found] == expected:
            scores[place] = NodeScore.best([hit.score for hit in found], [piece.span for piece in own], "store")
    return scores


def _ids(node_id: str, pieces: Sequence[Piece]) -> list[str]:
    """Returns the ids that a writer gives these pieces of a node; none where it would not make them."""
    starts = [piece.place[0] for piece in pieces if piece.place is not None]
    return [node_id, *(window_id(node_id, start) for start in starts[1:])] if len(starts) == len(pieces) else []


def _place_of(piece: Piece, node_id: str, text: PassageText) -> tuple[str | None, list[int] | None]:
    """Returns what a payload says of a piece: of which node it is a window, and where."""
    if piece.place is None or piece.place == (0, len(text.whole)):
        return None, None
    return node_id, list(piece.place)
