"""A reranker's scores together with those that nodes came with."""

from __future__ import annotations

import math
from collections.abc import Sequence

from llama_index.core.schema import NodeWithScore

from ..errors import InputError


def interpolated(maxsim: Sequence[float], nodes: Sequence[NodeWithScore], weight: float) -> list[float]:
    """``(1 - weight) * MaxSim + weight * the nodes' own scores``, both brought to 0 to 1 over these nodes.

    What a retriever by words or by another model knows is not all in MaxSim, so some of its score beside often ranks
    better than either alone.

    Args:
        maxsim: Of each node.
        nodes: The nodes, with the scores that they came with.
        weight: How much those count. With 0 they are not looked at, and MaxSim is returned as it is.

    Raises:
        InputError: If they are needed, and a node has none, or one that is no finite number.
    """
    if not weight:
        return list(maxsim)
    given = [_given(node) for node in nodes]
    return [(1 - weight) * own + weight * other for own, other in zip(_scaled(maxsim), _scaled(given), strict=True)]


def _given(node: NodeWithScore) -> float:
    if node.score is None or not math.isfinite(node.score):
        raise InputError(
            f"the node {node.node_id!r} came with the score {node.score}, but retrieval_weight needs a number of each "
            "node. Rerank after a retriever that gives scores, or set retrieval_weight to 0."
        )
    return node.score


def _scaled(scores: Sequence[float]) -> list[float]:
    least, most = min(scores), max(scores)
    return [(score - least) / (most - least) if most > least else 1.0 for score in scores]
