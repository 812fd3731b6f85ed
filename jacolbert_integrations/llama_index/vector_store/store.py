"""Late interaction as a LlamaIndex vector store."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fsspec
from llama_index.core import Settings, StorageContext
from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    DEFAULT_PERSIST_DIR,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)

from ...encoding.encoder import JaColBERT
from ...encoding.int8 import Precision
from ...encoding.sources import ModelSource
from ...errors import InputError, StoreError
from ...locations import open_store
from ...query_length import QueryLength
from ...stores.addresses import MEMORY, check_collection_name, check_location, check_own_process, is_address
from ...stores.memory import MemoryStore
from ...stores.server_options import ServerOptions, check_server
from ...text.windows import TooLong
from ...types import Filter, MultiVectorStore, Point
from ..best_per_node import node_id_of
from ..nodes import only_nodes, to_node
from ..results import ScoredResult, scored_nodes
from ..selection import checked_ids, joined, of_documents, of_nodes, says_nothing
from ..splitter.node_parser import JaColBERTSentenceSplitter
from ..splitter.transformations import default_transformations
from ..stores import check_store
from ..writing import node_points, sort_out
from .async_methods import ThreadedVectorStore
from .connection import Connection
from .embedding import StoreSideEmbedding
from .index import TextIndex
from .modes import answer, searched_texts
from .persistence import DESCRIPTION, holds_memory, read_description, read_memory, write_vector_store
from .replacing import documents_of, replace_nodes
from .undo import RecentlyDeleted

if TYPE_CHECKING:
    from typing_extensions import Self

GIVEN = ":given:"
"""The location of a store that was handed in, which nothing written down can open again."""

_UNDO_BYTES = 1 << 30


class JaColBERTVectorStore(ThreadedVectorStore):
    """Keeps nodes as token vectors and ranks them by exact MaxSim, for all that LlamaIndex does with vector stores.

    It encodes nodes when they are added, and queries when they are asked: no embedding model is needed beside, and an
    embedding that a node comes with is not looked at. Where LlamaIndex insists on a model, take :attr:`embed_model`;
    :meth:`as_index` does that by itself.

    Query modes: ``default`` (MaxSim), ``mmr`` (diversity over MaxSim similarities), and in a Qdrant collection with a
    lexical first stage ``text_search`` and ``sparse`` (BM25 alone) and ``hybrid``. ``hybrid`` takes the best
    ``similarity_top_k`` by MaxSim and the best ``sparse_top_k`` by BM25, and of them the best ``hybrid_top_k`` by
    ``alpha * MaxSim + (1 - alpha) * BM25``, both brought to 0 to 1 over these nodes; without ``alpha``, by reciprocal
    rank fusion.

    :meth:`as_index` gives an index that also takes what query transforms such as HyDE make of a query, and that finds
    text nodes beside index nodes. ``VectorStoreIndex`` by itself does neither. What asks by an embedding alone, such as
    ``PropertyGraphIndex``, is answered if it has that of :attr:`embed_model`, which knows its text; another model's, or
    none, as ``DocumentSummaryIndex`` has it in its embedding mode, is an error.

    A node that cannot be kept is an error, after all other documents of the call have been written: one without text
    (LlamaIndex leaves out empty nodes when it builds an index, but not when it inserts), with an id that comes twice,
    or with metadata that no store keeps.

    Model and store are opened when they are first needed, and opened anew where the vector store was pickled to or
    described (``to_dict``). What is in memory travels with a pickle, but not with a description. Copies share both.

    In a folder or in memory, a node is replaced with all of its windows in one piece, however many threads write. On a
    server several may write a node at once: the windows of the latest version stay, all of them.

    ``IngestionPipeline`` and ``update_ref_doc`` delete the old version of a document before the new one is encoded. So
    documents that :meth:`delete` removes are held in memory until an :meth:`add` that began later has succeeded, and as
    long as they are being added themselves. If that fails, their old nodes are put back, and the first success removes
    them for good. Each :meth:`add` is whole or not at all as far as encoding goes, but a ``VectorStoreIndex`` calls it
    for ``insert_batch_size`` nodes at a time (2048): of a document with more nodes, those before the batch that fails
    are new and the others are missing, until the document is updated again. So is a document of which a transformation
    has failed, before :meth:`add` was called.

    Args:
        model: A loaded model, or what :meth:`JaColBERT.from_pretrained` takes; None is the bundled jacolbert-small.
        store: A ready store of token vectors, instead of a location.
        location: The location of the nodes: ``":memory:"``; a folder, in which Qdrant Edge runs in this process; or the
            address of a Qdrant server, whose key is read from ``$QDRANT_API_KEY``. A folder is described by its
            absolute path.
        collection: The collection's name at that location.
        first_stage: How a new collection finds candidates for MaxSim: some of ``"centroids"``, ``"lexical"``,
            ``"bm25"``, ``"muvera"``, ``"mean"``. None takes what a collection has, and makes a new one without.
        indexes: Keys of metadata that will be filtered by, as what Qdrant indexes each: ``{"year": "integer"}``. A
            server in strict mode, as Qdrant's cloud is, refuses other filters. They are made before the first write,
            also in a collection that is there; what LlamaIndex itself filters by is indexed always.
        create_missing_indexes: Whether an index is made, when strict mode asks for it, that a filter lacks.
        grpc: Whether to talk gRPC with a server.
        server: How to reach a server beside (``grpc_port``, ``timeout``, ``prefix``, ``verify``, ``headers``, ...): a
            :class:`~jacolbert_integrations.stores.server_options.ServerOptions`, or some of them by name. They say
            where secrets are, and hold none.
        own_process: Whether Qdrant Edge runs in a process of its own. In this one it holds Python's interpreter lock
            while it searches and writes, and the event loop stands still. Set it in applications that serve many
            at once from a folder; it costs about a second at the start, and a copy of what goes there and comes back.
        too_long: What becomes of a node of more tokens than the model reads. ``split`` writes it as windows of whole
            sentences, so that all of it can be found; it is still one node in every answer, by its best window. The
            metadata that it embeds is in its first window alone, while :class:`~.JaColBERTSentenceSplitter` makes nodes
            that need no windows and have it each. ``cut`` leaves out the rest, and ``refuse`` is an error.
        undo_bytes: Most bytes of token vectors of deleted documents that are held; 0 holds none.
        revision: Of the hub repository, where ``model`` is a hub id.
        query_length: The query-length rule, where ``model`` is no loaded model.
        pooling: How to pool nodes, where ``model`` is no loaded model.
        dtype: Of weights and computation, such as ``"float16"``, where ``model`` is no loaded model.
        precision: ``"int8"`` for 8-bit integers on a processor, where ``model`` is no loaded model.
        device: Where to compute, where ``model`` is no loaded model.
        fingerprint: Of the weights that have to be found, where ``model`` is no loaded model.
        configuration: Of the tokenizer and settings that have to be found, where ``model`` is no loaded model.
        **kwargs: None but what a description holds beside.

    Raises:
        InputError: If a location is none or holds a secret; if what is no folder is to have its own process, or what
            is no server has server options; if a store is given with a location; if a loaded model is given together
            with what is for loading one; or if there is no such argument.
        ModelMismatchError: If a given store was filled by another model than a loaded one that is given.
    """

    model_config = ConfigDict(validate_assignment=True)

    stores_text: Literal[True] = True
    is_embedding_query: Literal[False] = False
    model: str = Field(frozen=True, description="Hub id or directory of the ColBERT checkpoint.")
    location: str = Field(frozen=True, description="Where the collection is.")
    collection: str = Field(default="nodes", frozen=True, description="The collection's name.")
    first_stage: list[str] | None = Field(default=None, frozen=True, description="How candidates are found.")
    indexes: dict[str, str] | None = Field(default=None, frozen=True, description="Payload indexes, by key.")
    create_missing_indexes: bool = Field(default=False, frozen=True, description="Whether filters make theirs.")
    grpc: bool = Field(default=False, frozen=True, description="Whether to talk gRPC with a server.")
    server: dict[str, Any] | None = Field(default=None, frozen=True, description="How to reach a server beside.")
    own_process: bool = Field(default=False, frozen=True, description="Whether Qdrant Edge has its own process.")
    too_long: TooLong = Field(default="split", frozen=True, description="What becomes of nodes that are too long.")
    undo_bytes: int = Field(default=_UNDO_BYTES, ge=0, frozen=True, description="Most bytes of deleted documents held.")
    revision: str | None = Field(default=None, frozen=True, description="Commit of the hub repository.")
    query_length: QueryLength | None = Field(default=None, frozen=True, description="The query-length rule.")
    pooling: str | None = Field(default=None, frozen=True, description="How nodes are pooled.")
    dtype: str | None = Field(default=None, frozen=True, description="Of weights and computation.")
    precision: Precision | None = Field(default=None, frozen=True, description="int8 for 8-bit integers.")
    device: str | None = Field(default=None, frozen=True, description="Where to compute.")
    fingerprint: str | None = Field(default=None, frozen=True, description="SHA-256 over the weights.")
    configuration: str | None = Field(default=None, frozen=True, description="SHA-256 over tokenizer and settings.")
    _connection: Connection = PrivateAttr()
    _deleted: RecentlyDeleted = PrivateAttr()

    def __init__(
        self,
        model: JaColBERT | str | Path | None = None,
        store: MultiVectorStore | None = None,
        *,
        location: str | Path | None = None,
        collection: str = "nodes",
        first_stage: Sequence[str] | None = None,
        indexes: Mapping[str, str] | None = None,
        create_missing_indexes: bool = False,
        grpc: bool = False,
        server: ServerOptions | Mapping[str, Any] | None = None,
        own_process: bool = False,
        too_long: TooLong = "split",
        undo_bytes: int = _UNDO_BYTES,
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
        if "place" in kwargs:
            location = _renamed(kwargs.pop("place"), location)
        loading: dict[str, Any] = {
            "revision": revision,
            "query_length": query_length,
            "pooling": pooling,
            "dtype": dtype,
            "precision": precision,
            "device": device,
            "fingerprint": fingerprint,
            "configuration": configuration,
        }
        if unknown := kwargs.keys() - {"class_name", "stores_text", "is_embedding_query"}:
            raise InputError(f"JaColBERTVectorStore takes no {', '.join(sorted(unknown))}.")
        kwargs.pop("class_name", None)
        source = ModelSource.given(model, **loading)
        fields: dict[str, Any] = {
            "location": _location(location, store, own_process),
            "collection": check_collection_name(collection),
            "first_stage": None if first_stage is None else list(first_stage),
            "indexes": None if indexes is None else dict(indexes),
            "create_missing_indexes": create_missing_indexes,
            "grpc": grpc,
            "server": None,
            "own_process": own_process,
            "too_long": too_long,
            "undo_bytes": undo_bytes,
            **source.to_dict(),
        }
        if server is not None:
            check_server(fields["location"], server)
            options = ServerOptions.given(server)
            ServerOptions.given(options, grpc=grpc).check_address(fields["location"])
            fields["server"] = options.to_dict()
        super().__init__(**fields, **kwargs)
        encoder = model if isinstance(model, JaColBERT) else None
        if store is not None:
            check_store(store)
        self._connection = Connection(
            source,
            self._opener(),
            encoder,
            store,
            indexes=self.indexes,
            create_missing_indexes=create_missing_indexes,
        )
        self._deleted = RecentlyDeleted(undo_bytes)
        if store is not None and encoder is not None:
            _ = self.store  # is bound

    @classmethod
    def class_name(cls) -> str:
        """Returns the name that LlamaIndex knows the class by."""
        return "JaColBERTVectorStore"

    @property
    def place(self) -> str:
        """The old name of ``location``, for one release."""
        _renamed(self.location, None)
        return self.location

    @property
    def encoder(self) -> JaColBERT:
        """The model, loaded if need be.

        Raises:
            CheckpointError: If it is not there.
            ModelMismatchError: If other weights are there now than its description says.
        """
        return self._connection.model

    @property
    def store(self) -> MultiVectorStore:
        """Where the nodes are, opened and bound to the model if need be.

        Raises:
            ModelMismatchError: If it was filled by another model.
            StoreError: If it cannot be opened.
        """
        return self._connection.store

    @property
    def client(self) -> Any:
        """The client of the store's library, or the store itself if there is none."""
        return getattr(self.store, "client", self.store)

    @property
    def embed_model(self) -> StoreSideEmbedding:
        """What to give LlamaIndex where it asks for an embedding model."""
        return StoreSideEmbedding()

    def as_index(self, storage_context: StorageContext | None = None, **kwargs: Any) -> TextIndex:
        """Builds an index over what is stored, to query and to insert into.

        Args:
            storage_context: Around this vector store, where the index is to know the documents of an earlier one
                (``refresh_ref_docs``). None makes one.
            **kwargs: As for LlamaIndex's ``VectorStoreIndex`` (``transformations``, ...). Without ``transformations``,
                documents that are inserted are split as ``Settings.transformations`` or ``Settings.node_parser`` say,
                where you have set one of them to anything but LlamaIndex's default, and else by a
                ``JaColBERTSentenceSplitter`` of this model.

        Raises:
            InputError: If the storage context has another vector store.
        """
        context = StorageContext.from_defaults(vector_store=self) if storage_context is None else storage_context
        if context.vector_store is not self:
            raise InputError(
                "the storage context has another vector store. Make it with "
                "StorageContext.from_defaults(vector_store=...), of the one that is to be the index."
            )
        if not kwargs.get("transformations"):  # to LlamaIndex, an empty list says nothing either
            kwargs["transformations"] = default_transformations(self._splitter)
        return TextIndex(**{"nodes": [], "storage_context": context, "embed_model": self.embed_model, **kwargs})

    def close(self) -> None:
        """Releases the location, which can then be opened elsewhere. A store that was handed in is left alone.

        It waits for what is being written or searched, and closes the location for copies, too. Whoever comes later
        opens it again; who is in the middle of a request to a server gets a :class:`StoreError`.
        ``with JaColBERTVectorStore(...) as vector_store:`` closes at the end.
        """
        if self.location not in (GIVEN, MEMORY):
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, nodes: Sequence[BaseNode], **add_kwargs: Any) -> list[str]:
        """Encodes nodes and adds them, replacing those of the same id. All are encoded before the first is written.

        Returns:
            The ids of the nodes.

        Raises:
            InputError: If a node has no text or no id, an id comes twice, metadata cannot be JSON or have a reserved
                key: the documents of all other nodes are written first. Or if something is no node, or there are
                ``add_kwargs``; then nothing is written.
            VectorError: If the model makes vectors that the store does not take, such as NaN.
            StoreError: If the store cannot be written.
        """
        _refuse(add_kwargs, "add")
        given = only_nodes(nodes)
        if given:
            before = self._deleted.last_deletion()
            self._replace(given)
            self._deleted.forget(before)
        return [node.node_id for node in given]

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Does the same as :meth:`add`, in a thread.

        Raises:
            InputError: As :meth:`add`.
            VectorError: As :meth:`add`.
            StoreError: As :meth:`add`.
        """
        _refuse(kwargs, "async_add")
        given = only_nodes(nodes)
        if given:
            before = self._deleted.last_deletion()
            with self._deleted.adding(documents_of(given)):  # now, although threads may all be busy for a while
                await asyncio.to_thread(self._replace, given)
            self._deleted.forget(before)
        return [node.node_id for node in given]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Removes the nodes of a document, at once. A node that is of no document is one by itself.

        They are held in memory until a later :meth:`add` has succeeded, which may have to put them back.

        Raises:
            InputError: If there are ``delete_kwargs``.
        """
        _refuse(delete_kwargs, "delete")
        of_document = of_documents(checked_ids([ref_doc_id], "ref_doc_id"))
        with self._connection.using(writing=True) as store:
            if not self.undo_bytes:
                store.delete(filter=of_document)
                return
            points = list(store.points(filter=of_document))
            self._deleted.keep(ref_doc_id, points)
            store.delete([point.id for point in points])

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Removes nodes: by id, those that pass filters, or, with both, those of the ids that pass.

        Raises:
            InputError: If there are neither ids nor filters, which would remove everything (:meth:`clear` does that);
                or if there are ``delete_kwargs``.
            UnsupportedFilterError: If the store cannot apply the filters.
        """
        _refuse(delete_kwargs, "delete_nodes")
        if node_ids is None and (filters is None or says_nothing(filters)):
            raise InputError("delete_nodes needs node_ids or filters. To remove every node, call clear().")
        chosen = _chosen(node_ids, filters)
        with self._connection.using() as store:
            store.delete(filter=chosen)

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Returns stored nodes: by id, those that pass filters, those of the ids that pass, or, with neither, all.

        Returns:
            The nodes in the order of the ids; unknown ids are left out. Without ids, in any order.

        Raises:
            UnsupportedFilterError: If the store cannot apply the filters.
        """
        chosen = _chosen(node_ids, filters)
        with self._connection.using() as store:
            if node_ids is not None and filters is None:
                points: Iterable[Point] = store.get(node_ids, with_vectors=False).values()
            else:
                points = store.points(filter=chosen, with_vectors=False)
            found = {node_id_of(point.id, point.payload): point.payload for point in points}
        wanted = found if node_ids is None else dict.fromkeys(node_ids)
        return [to_node(found[node_id]) for node_id in wanted if node_id in found]

    def clear(self) -> None:
        """Removes every node. The collection stays, for the same model."""
        with self._connection.using() as store:
            store.delete(filter=Filter([]))
        self._deleted.clear()

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Finds the nodes that a query asks for, best first.

        What the similarities are depends on the mode: MaxSim in ``default``, BM25 in ``text_search`` and ``sparse``,
        the fused score in ``hybrid``, what a node was chosen for in ``mmr``. The answer is a
        :class:`~.results.ScoredResult`, whose ``provenances`` say it of each node; :meth:`as_index` gives it on.

        Args:
            query: The query, as text.
            **kwargs: ``mmr_threshold``, and ``mmr_prefetch_k`` or ``mmr_prefetch_factor``; ``explain=True`` adds to
                each node where its MaxSim comes from, token by token; ``normalize_scores=True`` gives in mode
                ``default`` the mean similarity of the query's vectors, at most 1, instead of their sum. An index's
                retriever takes them as ``vector_store_kwargs``.

        Raises:
            InputError: If there is no text, or a number is out of its range, or there is no such option.
            UnsupportedModeError: If there is no such mode, or the store cannot search by words.
            UnsupportedFilterError: If the store cannot apply the filter.
        """
        explained = bool(kwargs.pop("explain", False))
        normalized = bool(kwargs.pop("normalize_scores", False))
        hits, score_kind, scored_by, store, vectors = answer(self._connection, query, **kwargs)
        parts = vectors if normalized and score_kind == "maxsim" else 1
        found = scored_nodes(
            hits,
            self.encoder,
            store,
            approximate=hits.approximate,
            score_kind=score_kind,
            scored_by=scored_by,
            explain_to=searched_texts(query) if explained else (),
        )
        return ScoredResult(
            nodes=[scored.node for scored in found],
            similarities=[hit.score / parts for hit in hits],
            ids=[hit.id for hit in hits],
            provenances=[scored.provenance for scored in found],
            explanations=[scored.explanation for scored in found],
        )

    def persist(self, persist_path: str, fs: fsspec.AbstractFileSystem | None = None) -> None:
        """Writes a folder beside ``persist_path`` that :meth:`from_persist_path` reads.

        It holds what the vector store is, and, if it is in memory, all of its nodes. A collection in a folder or on a
        server is where it is anyway.

        Args:
            persist_path: As ``StorageContext.persist`` gives it.
            fs: Where; None is the local disk.
        """
        in_memory = self.location == MEMORY or isinstance(self._connection.open_store, MemoryStore)
        memory = self.store if in_memory else None
        write_vector_store(persist_path, fs, self.to_dict(), memory if isinstance(memory, MemoryStore) else None)

    @classmethod
    def from_persist_path(
        cls, persist_path: str, fs: fsspec.AbstractFileSystem | None = None, **kwargs: Any
    ) -> JaColBERTVectorStore:
        """Opens the vector store that :meth:`persist` wrote.

        Args:
            persist_path: As it was given there.
            fs: As it was given there.
            **kwargs: What is to be other than written, such as ``store`` for one that was handed in.

        Raises:
            StoreFileError: If there is none, or it cannot be read.
        """
        opened = cls.from_dict(read_description(persist_path, fs, cls.class_name()), **kwargs)
        if opened.location == MEMORY or (
            opened._connection.open_store is None and opened.location == GIVEN and holds_memory(persist_path, fs)
        ):
            opened._connection.take(read_memory(persist_path, fs))
        return opened

    @classmethod
    def from_persist_dir(
        cls,
        persist_dir: str | Path = DEFAULT_PERSIST_DIR,
        namespace: str = "default",
        fs: fsspec.AbstractFileSystem | None = None,
        **kwargs: Any,
    ) -> JaColBERTVectorStore:
        """Opens the vector store that ``StorageContext.persist(persist_dir)`` wrote.

        Args:
            persist_dir: The folder.
            namespace: The vector store's name in the context.
            fs: As it was given there.
            **kwargs: As for :meth:`from_persist_path`.

        Raises:
            StoreFileError: If there is none, or it cannot be read.
        """
        return cls.from_persist_path(f"{persist_dir}/{namespace}__{DESCRIPTION}", fs=fs, **kwargs)

    def __reduce__(
        self,
    ) -> tuple[Callable[..., JaColBERTVectorStore], tuple[type[Self], dict[str, Any], MemoryStore | None]]:
        store = self._connection.open_store
        return _unpickled, (type(self), self.to_dict(), store if isinstance(store, MemoryStore) else None)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> JaColBERTVectorStore:
        return self.model_copy()  # model and store are shared, not doubled

    def _opener(self) -> Callable[[], MultiVectorStore]:
        if self.location == GIVEN:
            return _cannot_open
        return partial(
            open_store,
            self.location,
            self.collection,
            self.first_stage,
            grpc=self.grpc,
            server=self.server,
            own_process=self.own_process,
        )

    def _splitter(self) -> JaColBERTSentenceSplitter:
        return JaColBERTSentenceSplitter.sharing(
            lambda: self.encoder,
            self.model,
            revision=self.revision,
            callback_manager=Settings._callback_manager,
        )

    def _replace(self, nodes: Sequence[BaseNode]) -> None:
        def encode(given: Sequence[BaseNode]) -> list[Point]:
            return node_points(given, self.encoder, self.too_long)

        try:
            replace_nodes(nodes, encode, self._connection, self._deleted)
        except InputError as error:
            good, bad = sort_out(nodes, self.encoder, self.too_long)
            if not good or not bad:
                raise
            replace_nodes(good, encode, self._connection, self._deleted)
            first, reason = next(iter(bad.items()))
            raise InputError(
                f"{len(nodes) - len(good)} of {len(nodes)} nodes were not written, the others were. {len(bad)} cannot "
                f"be kept, so that all nodes of their documents were left out; the first is {first!r}: {reason}"
            ) from error


def _unpickled(
    kind: type[JaColBERTVectorStore], description: dict[str, Any], memory: MemoryStore | None
) -> JaColBERTVectorStore:
    made = kind.from_dict(description)
    made._connection.take(memory)
    return made


def _cannot_open() -> MultiVectorStore:
    raise StoreError(
        "this vector store was made over a store that was handed in, and a description or a pickle cannot hold that. "
        "Make it anew with from_dict(description, store=...)."
    )


def _location(location: str | Path | None, store: MultiVectorStore | None, own_process: bool) -> str:
    if store is not None or location == GIVEN:
        if location not in (None, GIVEN):
            raise InputError(f"location is {location!r}, but a store is given as well. Give one of the two.")
        if own_process:
            raise InputError("own_process is for a folder, but a store is given. Give it EdgeStore(own_process=True).")
        return GIVEN
    location = check_location(MEMORY if location is None else location)
    check_own_process(location, own_process)
    return _absolute(location)


def _renamed(place: str | Path | None, location: str | Path | None) -> str | Path | None:
    if location is not None:
        raise InputError("location and place are one argument, which is called location now. Leave place out.")
    warnings.warn("place is called location now. The old name works for one release more.", FutureWarning, 3)
    return place


def _absolute(location: str) -> str:
    """Makes the location independent of the working directory: a folder becomes an absolute path."""
    if location == MEMORY or is_address(location):
        return location
    return str(Path(os.path.expanduser(location)).absolute())  # noqa: PTH111 - Path's fails where there is no such user


def _chosen(node_ids: Sequence[str] | None, filters: MetadataFilters | None) -> object | None:
    return joined([] if node_ids is None else [of_nodes(checked_ids(node_ids, "node_ids"))], filters)


def _refuse(kwargs: dict[str, Any], method: str) -> None:
    if kwargs:
        raise InputError(f"{method} takes no {', '.join(sorted(kwargs))}.")
