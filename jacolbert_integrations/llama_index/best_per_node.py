"""Of a node that a writer has split into windows, the best of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..text.windows import DOCUMENT_KEY
from ..types import Hit, Hits, Payload

_GROWTH = 4  # how many times as many points are asked for, where too many were of the same nodes


def node_id_of(point_id: str, payload: Payload) -> str:
    """Returns the id of the node that a point is, or is a window of."""
    return str(payload.get(DOCUMENT_KEY, point_id))


def best_per_node(search: Callable[[int], Sequence[Hit]], wanted: int) -> Hits:
    """Returns the best nodes, each scored by the best of its windows; approximate if the search is.

    Args:
        search: Finds the best so many points, best first.
        wanted: How many nodes.
    """
    asked = wanted
    while True:
        hits = search(asked)
        best: dict[str, Hit] = {}
        for hit in hits:
            best.setdefault(node_id_of(hit.id, hit.payload), hit)
        if len(best) >= wanted or len(hits) < asked:
            approximate = bool(getattr(hits, "approximate", False))
            return Hits(list(best.values())[:wanted], approximate=approximate)
        asked *= _GROWTH
