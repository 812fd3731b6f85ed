"""Late interaction as an ordinary LlamaIndex retriever."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llama_index.core import Settings
from llama_index.core.ingestion import run_transformations
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # re-exported
from llama_index.core.schema import BaseNode, Document, NodeWithScore, QueryBundle, QueryType, TransformComponent

from ...encoding.encoder import JaColBERT
from ...encoding.sources import ModelSource
from ...errors import InputError
from ...scoring.vectors import check_top_k
from ...stores.memory import MemoryStore
from ...text.windows import TooLong, check_too_long
from ...types import Hit, Hits, MultiVectorStore, Query
from ..best_per_node import best_per_node
from ..events import retrieval_events
from ..indexes import add_indexes
from ..nodes import to_store_filter
from ..queries import as_bundles, as_queries, encode_queries, search_strings
from ..results import scored_nodes
from ..splitter.node_parser import JaColBERTSentenceSplitter
from ..splitter.transformations import default_transformations
from ..stores import bind_store, check_store, using_store
from ..writing import node_points, replace_in
from .copies import CopyableRetriever
from .descriptions import RetrieverDescription, describable
from .index_nodes import without_objects

_dispatcher = get_dispatcher(__name__)


class JaColBERTRetriever(CopyableRetriever):
    """Ranks the nodes of a store by exact MaxSim with the query.

    What it returns are :class:`~.provenance.ScoredNode`: LlamaIndex's nodes with scores, which also say what scored
    them. A query that a transform such as HyDE gave several texts is ranked by the mean over them. A node that was
    written in windows comes once, with its best window.

    Args:
        store: Where the nodes are; it is bound to the model.
        model: The model that made, or will make, their vectors.
        similarity_top_k: How many nodes to return.
        filters: LlamaIndex's ``MetadataFilters``, or the store's own filter object.
        score_threshold: The least score that is returned; None returns the best, however bad. A MaxSim grows with
            the query's length; normalised, one threshold suits all queries of a model.
        normalize_scores: Whether a node's score is the mean similarity of the query's vectors, at most 1, instead of
            their sum, MaxSim. Its provenance keeps the MaxSim.
        explain: Whether each node comes with an :class:`~jacolbert_integrations.explaining.Explanation` of its score:
            which of its tokens the query's tokens matched. Its document is what is embedded of the node. Each node is
            encoded once more for that, so a query takes longer.
        **kwargs: As for LlamaIndex's ``BaseRetriever`` (``callback_manager``, ``objects``, ...).

    Raises:
        ModelMismatchError: If the store was filled by another model.
        InputError: If ``similarity_top_k`` is below 1, or ``score_threshold`` no number.
    """

    def __init__(
        self,
        store: MultiVectorStore,
        model: JaColBERT,
        *,
        similarity_top_k: int = 2,
        filters: object | None = None,
        score_threshold: float | None = None,
        normalize_scores: bool = False,
        explain: bool = False,
        indexes: Mapping[str, str] | None = None,
        create_missing_indexes: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.similarity_top_k = similarity_top_k
        self.score_threshold = score_threshold
        self.normalize_scores = normalize_scores
        self.explain = explain
        self.filters = filters
        self._store = check_store(store)
        self._model = model
        identity = model.identity
        add_indexes(store, indexes, create_missing=create_missing_indexes)
        with using_store(store):
            bind_store(store, identity, model)

    @classmethod
    def class_name(cls) -> str:
        """Returns the name that LlamaIndex knows the class by."""
        return "JaColBERTRetriever"

    @classmethod
    def from_nodes(
        cls,
        nodes: Sequence[BaseNode],
        model: JaColBERT,
        *,
        store: MultiVectorStore | None = None,
        too_long: TooLong = "split",
        show_progress: bool | None = None,
        **kwargs: Any,
    ) -> JaColBERTRetriever:
        """Indexes nodes and returns the retriever over them.

        Args:
            nodes: Nodes with text.
            model: Encodes them and the queries.
            store: Where to put them; None keeps them in memory.
            too_long: As for :meth:`insert_nodes`.
            show_progress: None shows a bar after a second, on a terminal.
            **kwargs: As for the constructor.

        Raises:
            InputError: If a node has no text or an id comes twice; then nothing is stored.
        """
        retriever = cls(MemoryStore() if store is None else store, model, **kwargs)
        retriever.insert_nodes(nodes, too_long=too_long, show_progress=show_progress)
        return retriever

    @classmethod
    def from_documents(
        cls,
        documents: Sequence[Document],
        model: JaColBERT,
        *,
        transformations: list[TransformComponent] | None = None,
        show_progress: bool | None = None,
        **kwargs: Any,
    ) -> JaColBERTRetriever:
        """Splits documents into nodes, indexes them, and returns the retriever over them.

        Args:
            documents: The documents.
            model: Encodes their nodes and the queries.
            transformations: How to split; None takes LlamaIndex's ``Settings.transformations``, or its
                ``Settings.node_parser``, where you have set one of them to anything but LlamaIndex's default, and else
                ``JaColBERTSentenceSplitter(model)``. LlamaIndex's default counts the tokens of another model, and its
                chunks need not end where a sentence does.
            show_progress: None shows a bar after a second, on a terminal.
            **kwargs: As for :meth:`from_nodes` and the constructor.

        Raises:
            InputError: If a document cannot be split or encoded; then nothing is stored.
        """
        steps = transformations
        if steps is None:
            steps = default_transformations(
                lambda: JaColBERTSentenceSplitter(model, callback_manager=Settings._callback_manager)
            )
        nodes = run_transformations(list(documents), steps, show_progress=bool(show_progress))
        return cls.from_nodes(nodes, model, show_progress=show_progress, **kwargs)

    @classmethod
    def from_dict(
        cls,
        data: dict[str, Any],
        store: MultiVectorStore | None = None,
        *,
        model: JaColBERT | None = None,
        **kwargs: Any,
    ) -> JaColBERTRetriever:
        """Builds the retriever that :meth:`to_dict` described, over a store.

        Args:
            data: From :meth:`to_dict`.
            store: Where the nodes are: a description holds no connection.
            model: The model; None loads the one that is described.
            **kwargs: As for LlamaIndex's ``BaseRetriever``.

        Raises:
            InputError: If something is missing from the description, or there is no store.
            CheckpointError: If the model is no longer where it was.
            ModelMismatchError: If other weights are there now, or the store was filled by another model.
        """
        described = RetrieverDescription.from_dict(data, cls.__name__)
        if store is None:
            raise InputError("a description holds no nodes, and no connection to any: hand in the store, too.")
        return cls(
            store,
            described.model.load() if model is None else model,
            filters=described.filters,
            **described.options,
            **kwargs,
        )

    def to_dict(self) -> dict[str, Any]:
        """Describes the retriever as JSON-serialisable values: no nodes, no connection and no API key.

        Raises:
            InputError: If it has filters that are the store's own, or objects: neither can be described.
        """
        if self.object_map:
            raise InputError(f"the retriever has {len(self.object_map)} objects, and objects cannot be described.")
        description = RetrieverDescription(
            model=ModelSource.of(self._model),
            similarity_top_k=self.similarity_top_k,
            score_threshold=self.score_threshold,
            normalize_scores=self.normalize_scores,
            explain=self.explain,
            filters=describable(self.filters),
        )
        return {"class_name": self.class_name(), **description.to_dict()}

    @property
    def store(self) -> MultiVectorStore:
        """Where the nodes are."""
        return self._store

    @property
    def model(self) -> JaColBERT:
        """What encodes nodes and queries."""
        return self._model

    @property
    def similarity_top_k(self) -> int:
        """How many nodes to return."""
        return self._similarity_top_k

    @similarity_top_k.setter
    def similarity_top_k(self, value: int) -> None:
        check_top_k(value)
        self._similarity_top_k = value

    @property
    def score_threshold(self) -> float | None:
        """The least score that is returned."""
        return self._score_threshold

    @score_threshold.setter
    def score_threshold(self, value: float | None) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value)):
            raise InputError(f"score_threshold is {value!r}, but it must be a number or None.")
        self._score_threshold = value

    def insert_nodes(
        self, nodes: Sequence[BaseNode], *, too_long: TooLong = "split", show_progress: bool | None = None
    ) -> None:
        """Adds nodes, replacing those of the same id.

        An ``IndexNode`` may lead to a retriever, a query engine or the like: that is kept in ``object_map``, by the
        node's ``index_id``, and not in the store.

        Args:
            nodes: Nodes with text.
            too_long: What becomes of a node of more tokens than the model reads. ``split`` writes it as windows of
                whole sentences, the best of which finds it; ``cut`` leaves out the rest; ``refuse`` is an error. In a
                store in this process a node is replaced with all of its windows in one piece. On a server several may
                write a node at once: the windows of the latest version stay, all of them.
            show_progress: None shows a bar after a second, on a terminal.

        Raises:
            InputError: If a node has no text or an id comes twice, or one is refused; then nothing is stored.
            VectorError: If the model makes vectors that the store does not take, such as NaN; nothing is stored.
            StoreError: If the store has been closed.
        """
        check_too_long(too_long)
        if not nodes:
            return
        written, objects = without_objects(nodes)
        points = node_points(written, self._model, too_long, show_progress=show_progress)
        with using_store(self._store, writing=True):
            replace_in(self._store, written, points)
        self.object_map = {**self.object_map, **objects}  # not in the map that was handed in

    async def ainsert_nodes(
        self, nodes: Sequence[BaseNode], *, too_long: TooLong = "split", show_progress: bool | None = None
    ) -> None:
        """Does the same as :meth:`insert_nodes`, in a thread.

        Raises:
            InputError: As :meth:`insert_nodes`.
            StoreError: If the store has been closed.
        """
        await asyncio.to_thread(self.insert_nodes, nodes, too_long=too_long, show_progress=show_progress)

    @_dispatcher.span
    def retrieve_batch(self, queries: Iterable[QueryType]) -> list[list[NodeWithScore]]:
        """Does the same as ``retrieve`` for several queries, encoded together and sent in one request where possible.

        Returns:
            The nodes of each query, in the order of the queries.

        Raises:
            InputError: If one of the queries has no text, or is none; then nothing is asked.
            StoreError: If the store has been closed.
        """
        asked = as_queries(queries)
        bundles = as_bundles(asked)
        with retrieval_events(self.callback_manager, asked, bundles) as results:
            for bundle, found in zip(bundles, self._search(bundles), strict=True):
                results.append(self._handle_recursive_retrieval(bundle, found))
        return results

    @_dispatcher.span
    async def aretrieve_batch(self, queries: Iterable[QueryType]) -> list[list[NodeWithScore]]:
        """Does the same as :meth:`retrieve_batch`, in a thread.

        Raises:
            InputError: If one of the queries has no text, or is none; then nothing is asked.
            StoreError: If the store has been closed.
        """
        asked = as_queries(queries)
        bundles = as_bundles(asked)
        with retrieval_events(self.callback_manager, asked, bundles) as results:
            for bundle, found in zip(bundles, await asyncio.to_thread(self._search, bundles), strict=True):
                results.append(await self._ahandle_recursive_retrieval(bundle, found))
        return results

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._search([query_bundle])[0]

    @_dispatcher.span  # as LlamaIndex's own; what overrides an abstract method is one without saying so
    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return (await asyncio.to_thread(self._search, [query_bundle]))[0]

    def _search(self, bundles: Sequence[QueryBundle]) -> list[list[NodeWithScore]]:
        queries = encode_queries(self._model, bundles)
        texts_of = search_strings(bundles)
        top_k, condition = self.similarity_top_k, to_store_filter(self.filters)
        with using_store(self._store):
            hits_of = self._hits([query for query, _ in queries], top_k, condition)
            found = [
                self._best_per_node(query, hits, top_k, condition)
                for (query, _), hits in zip(queries, hits_of, strict=True)
            ]
        return [
            self._nodes(hits, query, texts) for hits, (query, _), texts in zip(found, queries, texts_of, strict=True)
        ]

    def _hits(self, queries: Sequence[Query], top_k: int, condition: object | None) -> Sequence[Sequence[Hit]]:
        search_batch = getattr(self._store, "search_batch", None)
        if len(queries) > 1 and search_batch is not None:
            hits: Sequence[Sequence[Hit]] = search_batch(queries, top_k=top_k, filter=condition)
            return hits
        return [self._store.search(query, top_k=top_k, filter=condition) for query in queries]

    def _best_per_node(self, query: Query, hits: Sequence[Hit], top_k: int, condition: object | None) -> Hits:
        """Returns for each node the best of its windows; further hits are requested until there are enough nodes."""

        def search(asked: int) -> Sequence[Hit]:
            return hits if asked == top_k else self._store.search(query, top_k=asked, filter=condition)

        return best_per_node(search, top_k)

    def _nodes(self, hits: Hits, query: Query, texts: Sequence[str]) -> list[NodeWithScore]:
        parts = len(query.vectors) / len(texts) if self.normalize_scores else 1
        scored = [Hit(hit.id, hit.score / len(texts), hit.payload) for hit in hits]
        if self.score_threshold is not None:
            scored = [hit for hit in scored if hit.score / parts >= self.score_threshold]
        explain_to = texts if self.explain else ()
        nodes = scored_nodes(scored, self._model, self._store, approximate=hits.approximate, explain_to=explain_to)
        for node, hit in zip(nodes, scored, strict=True):
            node.score = hit.score / parts
        return [*nodes]
