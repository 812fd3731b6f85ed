"""Late interaction as a LlamaIndex reranker, after any retriever."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # re-exported
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, NodeWithScore, QueryBundle

from ..encoder import JaColBERT
from ..types import MultiVectorStore, TokenVectors
from .nodes import node_text, to_node

_dispatcher = get_dispatcher(__name__)
_RETRIEVAL_SCORE = "retrieval_score"


class JaColBERTRerank(BaseNodePostprocessor):
    """Orders nodes by the exact MaxSim of their token vectors with the query's.

    The nodes that come in are never changed; those that go out are new.

    Args:
        model: A loaded model, or what :meth:`JaColBERT.from_pretrained` takes.
        top_n: How many nodes to keep.
        keep_retrieval_score: Keep the score that a node came with in its metadata, as
            ``retrieval_score``.
        store: A store that may hold the nodes: the vectors of those that it holds with the same
            text are taken from there instead of being computed again. It is bound to the model.

    Raises:
        ModelMismatchError: If the store was filled by another model.
    """

    model: str = Field(description="Name of the ColBERT checkpoint.")
    top_n: int = Field(default=2, ge=1, description="How many nodes to return.")
    keep_retrieval_score: bool = Field(
        default=False, description="Whether to keep the retrieval score in the node's metadata."
    )
    _encoder: JaColBERT = PrivateAttr()
    _store: MultiVectorStore | None = PrivateAttr(default=None)

    def __init__(
        self,
        model: JaColBERT | str | Path | None = None,
        top_n: int = 2,
        *,
        keep_retrieval_score: bool = False,
        store: MultiVectorStore | None = None,
        **kwargs: Any,
    ) -> None:
        encoder = model if isinstance(model, JaColBERT) else JaColBERT.from_pretrained(model)
        fields: dict[str, Any] = {"model": encoder.name, "top_n": top_n, "keep_retrieval_score": keep_retrieval_score}
        super().__init__(**fields, **kwargs)
        self._encoder = encoder
        self._store = store
        if store is not None:
            store.bind(encoder.identity)

    @classmethod
    def class_name(cls) -> str:
        """As LlamaIndex names it."""
        return "JaColBERTRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise ValueError("Missing query bundle: a reranker needs the query. Pass query_str or query_bundle.")
        if not nodes:
            return []
        _dispatcher.event(ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=self.top_n, model_name=self.model))
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self.model,
            EventPayload.QUERY_STR: query_bundle.query_str,
            EventPayload.TOP_K: self.top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            query = self._encoder.encode_query([query_bundle.query_str])
            scores = self._encoder.score(query, self._vectors([n.node for n in nodes]))[0].tolist()
            ranked = sorted(zip(nodes, scores, strict=True), key=lambda pair: -pair[1])[: self.top_n]
            reranked = [NodeWithScore(node=self._outgoing(n), score=score) for n, score in ranked]
            event.on_end(payload={EventPayload.NODES: reranked})
        _dispatcher.event(ReRankEndEvent(nodes=reranked))
        return reranked

    def _vectors(self, nodes: Sequence[BaseNode]) -> list[TokenVectors]:
        texts = [node_text(node) for node in nodes]
        known = self._stored(nodes, texts)
        missing = [text for node, text in zip(nodes, texts, strict=True) if node.node_id not in known]
        encoded = iter(self._encoder.encode_document(missing))
        return [known[node.node_id] if node.node_id in known else next(encoded) for node in nodes]

    def _stored(self, nodes: Sequence[BaseNode], texts: Sequence[str]) -> dict[str, TokenVectors]:
        """Stored vectors of the nodes whose stored text is still theirs."""
        if self._store is None:
            return {}
        current = {node.node_id: text for node, text in zip(nodes, texts, strict=True)}
        points = self._store.get(list(current))
        return {
            node_id: point.vectors
            for node_id, point in points.items()
            if "_node_content" in point.payload and node_text(to_node(point.payload)) == current[node_id]
        }

    def _outgoing(self, node: NodeWithScore) -> BaseNode:
        copy = node.node.model_copy()
        if self.keep_retrieval_score:
            copy.metadata = {**copy.metadata, _RETRIEVAL_SCORE: node.score}
            # a number for the application, not words for the model
            copy.excluded_embed_metadata_keys = [*copy.excluded_embed_metadata_keys, _RETRIEVAL_SCORE]
            copy.excluded_llm_metadata_keys = [*copy.excluded_llm_metadata_keys, _RETRIEVAL_SCORE]
        return copy
