"""Late interaction as a LlamaIndex reranker, after any retriever."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # re-exported
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, NodeWithScore, QueryBundle, QueryType

from ...encoding.encoder import JaColBERT
from ...encoding.int8 import Precision
from ...encoding.sources import ModelSource
from ...errors import InputError
from ...explaining import Explanation, explain
from ...query_length import QueryLength
from ...types import MultiVectorStore
from ..events import query_events
from ..fusion import interpolated
from ..passage_text import PassageText
from ..provenance import Provenance, ScoredNode
from ..queries import as_bundles, query_strings
from ..stores import check_store, using_store
from .passages import NodeScore, PassageEncoder
from .scores import score_nodes
from .vector_cache import VectorCache

_dispatcher = get_dispatcher(__name__)
_RETRIEVAL_SCORE = "retrieval_score"
_CACHE_BYTES = 64 << 20


class JaColBERTRerank(BaseNodePostprocessor):
    """Orders nodes by the exact MaxSim of their token vectors with the query's.

    The nodes that come in are never changed; those that go out are new :class:`~.provenance.ScoredNode`, which also
    say what scored them. A node longer than ``window_size`` is scored by windows of whole sentences, each with the
    metadata that the node embeds; the best window counts, and is reported in the node's provenance.

    A reranker that was pickled, or described by ``to_dict`` and made again by ``from_dict``, loads the same model, or
    fails if other weights are there now. It has no store and no callbacks, and its cache is empty.

    Args:
        model: A loaded model, or what :meth:`JaColBERT.from_pretrained` takes.
        top_n: How many nodes to keep.
        keep_retrieval_score: Keep the score that a node came with in its metadata, as
            ``retrieval_score``.
        retrieval_weight: How much the score that a node came with counts beside MaxSim, both brought to 0 to 1 over
            the nodes of a query; the sum is the score of the nodes that go out, whose provenance has the MaxSim. A node
            that comes alone gets 1. Each node has to come with a score that is a finite number. 0 ranks by MaxSim
            alone; after a retriever by words, .05 to .2 is worth a try. (It weighs the other side than ``alpha`` of a
            hybrid query, which says how much MaxSim counts.)
        window_size: Most tokens of a window, control tokens included. None is what the model reads. Shorter windows
            suit a model that was trained with shorter passages.
        store: A store that may hold the nodes: those that it holds with the same text, and in the windows in which
            they are read here, are scored there, by the vectors that it has, instead of being encoded again; from a
            store in memory, whole nodes' vectors are taken. It is bound to the model.
        normalize_scores: Whether the score of a node that goes out is the mean similarity of the query's vectors, at
            most 1, instead of their sum, MaxSim, which its provenance has. (Scores that ``retrieval_weight`` mixes are
            from 0 to 1 over the nodes of a query in any case.)
        explain: Whether each node that goes out comes with an
            :class:`~jacolbert_integrations.explaining.Explanation` of its MaxSim: which of its tokens the query's
            tokens matched. Its document is what was read of the node. Each is encoded once more for that.
        cache_bytes: Most bytes of document vectors that are kept for later queries; 0 keeps none. Scores of a store
            need none.
        cache: A cache that several rerankers share, instead of one of its own.
        revision: Of the hub repository, where ``model`` is a hub id.
        query_length: The query-length rule, where ``model`` is no loaded model.
        pooling: How to pool documents, where ``model`` is no loaded model.
        dtype: Of weights and computation, such as ``"float16"``, where ``model`` is no loaded model.
        precision: ``"int8"`` for 8-bit integers on a processor, where ``model`` is no loaded model.
        device: Where to compute, where ``model`` is no loaded model.
        fingerprint: Of the weights that have to be found, where ``model`` is no loaded model.
        configuration: Of the tokenizer and settings that have to be found, where ``model`` is no loaded model.
        **kwargs: As for LlamaIndex's ``BaseNodePostprocessor`` (``callback_manager``).

    Raises:
        CheckpointError: If there is no such model.
        ModelMismatchError: If the store was filled by another model, or other weights are found than expected.
        InputError: If a loaded model is given together with what is for loading one, or ``window_size`` is more than
            the model reads, or has no room for text.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    model: str = Field(frozen=True, description="Hub id or directory of the ColBERT checkpoint.")
    top_n: int = Field(default=2, ge=1, description="How many nodes to return.")
    keep_retrieval_score: bool = Field(
        default=False, description="Whether to keep the retrieval score in the node's metadata."
    )
    retrieval_weight: float = Field(
        default=0.0, ge=0, lt=1, description="How much the score that a node came with counts."
    )
    window_size: int | None = Field(
        default=None,
        ge=1,
        frozen=True,
        description="Most tokens that are scored at once; None is what the model reads.",
    )
    normalize_scores: bool = Field(
        default=False, description="Whether a score is the mean over the query's vectors, and not their sum."
    )
    explain: bool = Field(default=False, description="Whether scores are explained, token by token.")
    cache_bytes: int = Field(
        default=_CACHE_BYTES, ge=0, frozen=True, description="Most bytes of document vectors to keep."
    )
    revision: str | None = Field(default=None, frozen=True, description="Commit of the hub repository.")
    query_length: QueryLength | None = Field(default=None, frozen=True, description="The query-length rule.")
    pooling: str | None = Field(default=None, frozen=True, description="How documents are pooled.")
    dtype: str | None = Field(default=None, frozen=True, description="Of weights and computation.")
    precision: Precision | None = Field(default=None, frozen=True, description="int8 for 8-bit integers.")
    device: str | None = Field(default=None, frozen=True, description="Where to compute.")
    fingerprint: str | None = Field(default=None, frozen=True, description="SHA-256 over the weights.")
    configuration: str | None = Field(default=None, frozen=True, description="SHA-256 over tokenizer and settings.")
    _encoder: JaColBERT = PrivateAttr()
    _store: MultiVectorStore | None = PrivateAttr(default=None)
    _cache: VectorCache = PrivateAttr()

    def __init__(
        self,
        model: JaColBERT | str | Path | None = None,
        top_n: int = 2,
        *,
        keep_retrieval_score: bool = False,
        retrieval_weight: float = 0.0,
        window_size: int | None = None,
        normalize_scores: bool = False,
        explain: bool = False,
        store: MultiVectorStore | None = None,
        cache_bytes: int = _CACHE_BYTES,
        cache: VectorCache | None = None,
        revision: str | None = None,
        query_length: QueryLength | None = None,
        pooling: str | None = None,
        dtype: str | None = None,
        precision: Precision | None = None,
        device: str | None = None,
        fingerprint: str | None = None,
        configuration: str | None = None,
        **kwargs: Any,
    ) -> None:
        loading = {
            "revision": revision,
            "query_length": query_length,
            "pooling": pooling,
            "dtype": dtype,
            "precision": precision,
            "device": device,
            "fingerprint": fingerprint,
            "configuration": configuration,
        }
        source = ModelSource.given(model, **loading)
        encoder = model if isinstance(model, JaColBERT) else source.load()
        kwargs.pop("class_name", None)  # of a description that was made with model_dump
        fields: dict[str, Any] = {
            **ModelSource.of(encoder).to_dict(),
            "device": device,
            "top_n": top_n,
            "keep_retrieval_score": keep_retrieval_score,
            "retrieval_weight": retrieval_weight,
            "window_size": _checked_size(window_size, encoder),
            "normalize_scores": normalize_scores,
            "explain": explain,
            "cache_bytes": cache_bytes if cache is None else cache.max_bytes,
        }
        super().__init__(**fields, **kwargs)
        self._encoder = encoder
        self._cache = VectorCache(cache_bytes) if cache is None else cache
        self._store = None if store is None else check_store(store)
        if store is not None:
            identity = encoder.identity
            with using_store(store):
                store.bind(identity)

    @classmethod
    def class_name(cls) -> str:
        """Returns the name that LlamaIndex knows the class by."""
        return "JaColBERTRerank"

    @property
    def cache(self) -> VectorCache:
        """Document vectors that were computed before."""
        return self._cache

    def __reduce__(self) -> tuple[Callable[[dict[str, Any]], JaColBERTRerank], tuple[dict[str, Any]]]:
        return type(self).from_dict, (self.to_dict(),)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> JaColBERTRerank:
        return self.model_copy()  # a model, a store and a cache are shared, not doubled

    @_dispatcher.span
    def postprocess_nodes_batch(
        self, nodes: Sequence[list[NodeWithScore]], queries: Sequence[QueryType]
    ) -> list[list[NodeWithScore]]:
        """Does the same as ``postprocess_nodes`` for several queries: all are encoded together, and each text once.

        Args:
            nodes: A list of nodes for each query.
            queries: The queries.

        Returns:
            The best nodes of each query, in the order of the queries.

        Raises:
            InputError: If there are more queries than lists or the other way round, a query or a node has no text, or
                with ``retrieval_weight`` a node has no score, or one that is no finite number. No node is encoded then.
        """
        bundles = as_bundles(queries)
        if len(nodes) != len(bundles):
            raise InputError(f"{len(bundles)} queries need as many lists of nodes, but there are {len(nodes)}.")
        return self._rerank(nodes, bundles)

    @_dispatcher.span
    async def apostprocess_nodes_batch(
        self, nodes: Sequence[list[NodeWithScore]], queries: Sequence[QueryType]
    ) -> list[list[NodeWithScore]]:
        """Does the same as :meth:`postprocess_nodes_batch`, in a thread.

        Raises:
            InputError: As :meth:`postprocess_nodes_batch`.
        """
        return await asyncio.to_thread(self.postprocess_nodes_batch, nodes, queries)

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InputError("Missing query bundle: a reranker needs the query. Pass query_str or query_bundle.")
        if not nodes:
            return []
        return self._rerank([nodes], [query_bundle])[0]

    def _rerank(
        self, nodes: Sequence[list[NodeWithScore]], bundles: Sequence[QueryBundle]
    ) -> list[list[NodeWithScore]]:
        """Reranks the nodes of each query, with the events and callbacks of each; none where there are no nodes."""
        asked = [place for place, own in enumerate(nodes) if own]
        results: list[list[NodeWithScore]] = [[] for _ in nodes]
        for place in asked:
            _dispatcher.event(
                ReRankStartEvent(
                    query=bundles[place], nodes=nodes[place], top_n=self.top_n, model_name=self._encoder.name
                )
            )
        payloads: list[dict[str, Any]] = [
            {
                EventPayload.NODES: nodes[place],
                EventPayload.MODEL_NAME: self._encoder.name,
                EventPayload.QUERY_STR: bundles[place].query_str,
                EventPayload.TOP_K: self.top_n,
            }
            for place in asked
        ]
        with query_events(self.callback_manager, CBEventType.RERANKING, payloads) as events:
            given = [[_given_score(node) for node in nodes[p]] if self.retrieval_weight else [] for p in asked]
            fingerprint = self._encoder.fingerprint
            queries = self._encoder.encode_query(query_strings([bundles[place] for place in asked]))
            found = score_nodes(
                self._encoder,
                queries,
                [[node.node for node in nodes[place]] for place in asked],
                cache=self._cache,
                store=self._store,
                window_size=self.window_size,
            )
            for place, scored, others, vectors in zip(asked, found, given, queries, strict=True):
                parts = max(len(vectors), 1) if self.normalize_scores else 1
                scores = [score.maxsim / parts for score in scored]
                if others:
                    scores = interpolated(scores, others, self.retrieval_weight)
                ranked = sorted(range(len(scores)), key=lambda i: -scores[i])[: self.top_n]
                query = query_strings([bundles[place]])[0] if self.explain else None
                results[place] = [
                    self._outgoing(nodes[place][i], scores[i], scored[i], fingerprint, query) for i in ranked
                ]
            events.end([{EventPayload.NODES: results[place]} for place in asked])
        for place in asked:
            _dispatcher.event(ReRankEndEvent(nodes=results[place]))
        return results

    def _outgoing(
        self, node: NodeWithScore, score: float, scored: NodeScore, fingerprint: str, query: str | None
    ) -> ScoredNode:
        provenance = Provenance(
            step="rerank",
            score=scored.maxsim,
            scored_by=scored.by,
            model=self._encoder.name,
            fingerprint=fingerprint,
            window=scored.window,
            previous=node.provenance if isinstance(node, ScoredNode) else None,
            previous_score=node.score,
        )
        copy = node.node.model_copy()
        copy.metadata = dict(copy.metadata)  # what comes after may write into it
        if self.keep_retrieval_score:
            copy.metadata[_RETRIEVAL_SCORE] = node.score
            # a number for the application, not words for the model
            copy.excluded_embed_metadata_keys = [*copy.excluded_embed_metadata_keys, _RETRIEVAL_SCORE]
            copy.excluded_llm_metadata_keys = [*copy.excluded_llm_metadata_keys, _RETRIEVAL_SCORE]
        explanation = None if query is None else self._explained(query, node.node, scored)
        return ScoredNode(node=copy, score=score, provenance=provenance, explanation=explanation)

    def _explained(self, query: str, node: BaseNode, scored: NodeScore) -> Explanation:
        encoder = PassageEncoder(self._encoder, self._cache, None, self.window_size)
        pieces = encoder.pieces([PassageText.of(node)])[0]
        read = pieces[0] if scored.window is None else next(p for p in pieces if p.span == scored.window)
        return explain(self._encoder, query, read.text)


def _given_score(node: NodeWithScore) -> float:
    if node.score is None or not math.isfinite(node.score):
        raise InputError(
            f"the node {node.node_id!r} came with the score {node.score}, but retrieval_weight needs a number of each "
            "node. Rerank after a retriever that gives scores, or set retrieval_weight to 0."
        )
    return node.score


def _checked_size(window_size: int | None, model: JaColBERT) -> int | None:
    if window_size is None or window_size < 1:  # the field says what is wrong with the latter
        return window_size
    empty = model.document_lengths([""])[0]
    if not empty < window_size <= model.document_maxlen:
        raise InputError(
            f"window_size is {window_size}, but {model.name} reads {model.document_maxlen} tokens of a document, "
            f"{empty} of which are control tokens. Take a number between them, or leave window_size out."
        )
    return window_size
