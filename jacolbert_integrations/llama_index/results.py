"""What a search has found, as LlamaIndex's nodes, with where their scores come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from llama_index.core.vector_stores.types import VectorStoreQueryResult

from ..encoding.encoder import JaColBERT
from ..explaining import Explanation, explain
from ..text.windows import SPAN_KEY
from ..types import Hit, MultiVectorStore
from .nodes import node_text, to_node
from .passage_text import PassageText
from .provenance import Provenance, ScoredBy, ScoredNode, ScoreKind


@dataclass
class ScoredResult(VectorStoreQueryResult):
    """LlamaIndex's answer of a vector store.

    Attributes:
        provenances: Of each node, what gave it its similarity.
        explanations: Of each node, where its MaxSim comes from, where that was asked for.
    """

    provenances: list[Provenance] = field(default_factory=list)
    explanations: list[Explanation | None] = field(default_factory=list)


def scored_nodes(
    hits: Sequence[Hit],
    model: JaColBERT,
    store: MultiVectorStore,
    *,
    approximate: bool,
    score_kind: ScoreKind = "maxsim",
    scored_by: ScoredBy = "store",
    explain_to: Sequence[str] = (),
) -> list[ScoredNode]:
    """Builds the nodes that were found, each with its hit's score.

    Args:
        hits: What was found.
        model: What the query was for.
        store: Where.
        approximate: Whether a first stage chose the candidates.
        score_kind: What kind of number the scores are.
        scored_by: Who computed them.
        explain_to: The query's texts, if it is to be explained how the nodes match them. Scores of words alone have no
            such explanation.

    Raises:
        StoreFileError: If a point is no node.
        NoOffsetsError: If there is something to explain, and the model cannot say where its tokens come from.
    """
    fingerprint = model.fingerprint
    nodes: list[ScoredNode] = []
    for hit in hits:
        node = to_node(hit.payload)
        span = hit.payload.get(SPAN_KEY)
        provenance = Provenance(
            step="retrieve",
            score=hit.score,
            score_kind=score_kind,
            scored_by=scored_by,
            model=model.name,
            fingerprint=fingerprint,
            collection=getattr(store, "collection", type(store).__name__),
            approximate=approximate,
            window=None if span is None else PassageText.of(node).in_node(span),
        )
        explanation = None
        if explain_to and score_kind != "bm25":
            window = None if span is None else (span[0], span[1])
            explanation = explain(model, explain_to, node_text(node), window=window)
        nodes.append(ScoredNode(node=node, score=hit.score, provenance=provenance, explanation=explanation))
    return nodes
