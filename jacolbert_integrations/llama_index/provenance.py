"""Where a node's score comes from, beside the node and never in its text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from llama_index.core.bridge.pydantic import BaseModel, ConfigDict, Field, field_validator
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    Node,
    NodeWithScore,
    TextNode,
)

from ..explaining import Explanation

_KINDS: dict[str, type[BaseNode]] = {
    kind.class_name(): kind for kind in (Document, ImageDocument, ImageNode, IndexNode, Node, TextNode)
}


ScoreKind: TypeAlias = Literal["maxsim", "bm25", "hybrid", "mmr"]
"""What kind of number a score is."""

ScoredBy: TypeAlias = Literal["store", "client"]
"""Who computed a score: the store, where the vectors are, or this process, from vectors that it encoded or read."""


class Provenance(BaseModel):
    """What gave a node its score.

    Attributes:
        step: Whether the node was retrieved or reranked.
        score: The score, which stays here when a later step, such as a fusion, puts another number into its place.
        score_kind: What kind of number that is: ``maxsim``, as a retriever, a reranker and a vector store by default
            give it; of a vector store's other modes ``bm25`` (``text_search``, ``sparse``), ``hybrid``, the fusion of
            the two, or ``mmr``, relevance less redundancy, for which MMR chose the node.
        scored_by: Who computed it: ``store``, where the vectors are, without any of them having been read; or
            ``client``, this process, from vectors that it encoded or read.
        model: The model's name.
        fingerprint: SHA-256 over its weights.
        collection: Where the node was found; None after a reranker.
        approximate: Whether a first stage chose the candidates, so that a better node may have been missed.
        window: Of a node that was read in windows, where in its text its best one begins and ends, in characters,
            without the metadata that it may hold beside; None if all of it was read at once.
        previous: What had given it the score that it came with, if that is known.
        previous_score: The score that it came with.
    """

    model_config = ConfigDict(frozen=True)

    step: Literal["retrieve", "rerank"]
    score: float
    score_kind: ScoreKind = "maxsim"
    scored_by: ScoredBy = "store"
    model: str
    fingerprint: str
    collection: str | None = None
    approximate: bool = False
    window: tuple[int, int] | None = None
    previous: Provenance | None = None
    previous_score: float | None = None


class ScoredNode(NodeWithScore):
    """LlamaIndex's node with a score, and what gave it the score.

    The node itself is as it was stored. A provenance in its metadata would change its hash, by which
    ``QueryFusionRetriever`` knows what two retrievers have both found, and could reach the language model.
    """

    provenance: Provenance = Field(description="What gave the node its score.")
    explanation: Explanation | None = Field(
        default=None, description="Where its MaxSim comes from, token by token, where that was asked for."
    )

    @classmethod
    def class_name(cls) -> str:
        """Returns the name that LlamaIndex knows the class by."""
        return "ScoredNode"

    @field_validator("node", mode="before")
    @classmethod
    def _of_its_class(cls, value: Any) -> Any:
        # a dump says which class of node it is of; the field's own type is abstract
        if not isinstance(value, Mapping):
            return value
        return _KINDS.get(str(value.get("class_name")), TextNode).from_dict(dict(value))

    @property
    def best_window(self) -> str:
        """The part of the node's text that its score comes from: its best window, or all of it.

        It is empty where the best window holds nothing but metadata that is embedded before the text: then the
        provenance's window begins and ends at the same place.
        """
        text = self.node.get_content()
        return text if self.provenance.window is None else text[slice(*self.provenance.window)]
