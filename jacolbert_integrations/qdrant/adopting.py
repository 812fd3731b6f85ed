"""Late interaction added to a collection that somebody else made, beside the vectors that it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from qdrant_client import QdrantClient, models
from tqdm import tqdm

from ..errors import CollectionLayoutError, InputError, JaColBERTError
from ..stores.model_identity import check_identity
from ..stores.payload_text import TextReader, text_reader
from ..stores.payloads import check_points
from ..types import Point
from .answers import ask, describe
from .clients import is_in_process, uses_grpc
from .points import VECTOR_NAME, batches, check_size, from_payload, to_vectors
from .query_samples import sample_queries
from .retrying import REJECTED, Retries
from .schema import METADATA_KEY, multivector_params, read_record, record_metadata
from .stages import FirstStage, Sparse, check_recorded, check_stages, check_text, with_centroids
from .versions import ADDED_VECTORS, check_features, server_version
from .write_result import FailedDocument

if TYPE_CHECKING:
    from ..encoding.encoder import JaColBERT


@dataclass(frozen=True, slots=True)
class AdoptResult:
    """What was done.

    Attributes:
        written: Points that have token vectors now.
        failed: Points that could not get any, each with the reason.
        seconds: How long it took.
    """

    written: int
    failed: tuple[FailedDocument, ...]
    seconds: float

    def __str__(self) -> str:
        return f"{self.written:,} points got token vectors in {self.seconds:.1f} s, {len(self.failed):,} failed"


def add_late_interaction(
    client: QdrantClient,
    collection: str,
    model: JaColBERT,
    *,
    text: str | TextReader | None = None,
    first_stage: FirstStage | Sequence[FirstStage] = (),
    vector_options: dict[str, Any] | None = None,
    batch: int = 256,
    retries: Retries | None = None,
    show_progress_bar: bool | None = None,
) -> AdoptResult:
    """Gives the points of an existing collection token vectors, made from the text in their payloads.

    What the collection has stays as it is: points, ids, payloads and vectors, and the searches over them. Its metadata
    gets this package's record, and :class:`~.store.QdrantStore` opens it from then on. Points keep Qdrant's own ids,
    whole numbers too.

    Texts that are longer than the model reads are cut, with a warning, because a point stays one point. To split them,
    use ``reindex`` with ``too_long="split"``.

    A run that was killed is begun again with the same arguments: points that have token vectors are not encoded again.
    To do it into a new collection instead, see :func:`~.reindexing.reindex`.

    Args:
        client: A client of a server, or local mode.
        collection: The collection.
        model: What encodes.
        text: The payload's key of the text, or a function that finds it. None looks where this package, LlamaIndex,
            LangChain and fastembed keep it; of a LlamaIndex node it is what LlamaIndex embeds.
        first_stage: What to add to find candidates by, beside the dense vectors that are there.
        vector_options: For the multivector's :class:`qdrant_client.models.VectorParams`, such as ``datatype``.
        batch: Points that are read and encoded at a time.
        retries: How often what fails is asked for again.
        show_progress_bar: None shows one after a second, on a terminal.

    Raises:
        InputError: If there is no such collection, or the first stages are none.
        CollectionLayoutError: If it has other vectors of the names that are needed.
        ModelMismatchError: If it has token vectors of another model.
        ServerError: If the server is too old.
        GaveUpError: If the server does not answer.

    Warns:
        TruncationWarning: If texts were cut.
    """
    begun = perf_counter()
    retries = Retries() if retries is None else retries
    stages = check_stages(list(first_stage) if isinstance(first_stage, Sequence) else [first_stage])
    if not ask(client, client.collection_exists, collection):
        raise InputError(f"there is no collection {collection!r}.")
    reader = text_reader(text)
    stages = _prepare(client, collection, model, stages, reader, vector_options or {}, batch)
    without = models.Filter(must_not=models.HasVectorCondition(has_vector=VECTOR_NAME))
    total = ask(client, client.count, collection, count_filter=without, exact=True).count
    written, failed = 0, list[FailedDocument]()
    offset: Any = None
    bar = tqdm(
        desc="Adding token vectors",
        unit=" points",
        total=total,
        disable=None if show_progress_bar is None else not show_progress_bar,
        delay=1.0 if show_progress_bar is None else 0.0,
    )
    with bar:
        while True:
            records, offset = retries.call(
                partial(ask, client, client.scroll, collection, without, limit=batch, offset=offset, with_payload=True)
            )
            ids, points, refused = _points(records, model, reader, stages)
            failed += refused
            for request in batches(points, stages, grpc=uses_grpc(client)):
                vectors = [
                    models.PointVectors(id=ids[point.id], vector={**each, VECTOR_NAME: each[VECTOR_NAME].tolist()})
                    for point, each in zip(request, to_vectors(request, stages), strict=True)
                ]
                retries.call(partial(ask, client, client.update_vectors, collection, vectors, wait=True))
                written += len(request)
            bar.update(len(records))
            if offset is None:
                break
    return AdoptResult(written, tuple(failed), perf_counter() - begun)


def _points(
    records: Sequence[models.Record], model: JaColBERT, reader: TextReader, stages: Sequence[FirstStage]
) -> tuple[dict[str, models.ExtendedPointId], list[Point], list[FailedDocument]]:
    """Returns the checked points of records that have a text, with their ids in Qdrant, and what the others lack."""
    ids, texts, failed = {}, {}, []
    for record in records:
        point_id, payload = from_payload(record.id, record.payload)
        try:
            found = reader(payload)
            if not found.strip():
                raise InputError("it has no text, so there is nothing to find it by.")
            ids[point_id], texts[point_id] = record.id, found
        except JaColBERTError as error:
            failed.append(FailedDocument(point_id, str(error)))
    matrices = model.encode_document(list(texts.values()), show_progress_bar=False)
    points = []
    for (point_id, found), vectors in zip(texts.items(), matrices, strict=True):
        point = Point(point_id, vectors, text=found)
        try:
            check_points([point], model.dimension)
            check_size(point)
            check_text(point, stages)
            points.append(point)
        except JaColBERTError as error:
            failed.append(FailedDocument(point_id, str(error)))
    return ids, points, failed


def _prepare(
    client: QdrantClient,
    collection: str,
    model: JaColBERT,
    stages: tuple[FirstStage, ...],
    reader: TextReader,
    vector_options: dict[str, Any],
    batch: int,
) -> tuple[FirstStage, ...]:
    """Adds the vectors' names, then the record, unless an earlier run has."""
    where, identity = f"the Qdrant collection {collection!r}", model.identity
    config = ask(client, client.get_collection, collection).config
    metadata = dict(config.metadata or {})
    if METADATA_KEY in metadata:
        recorded = read_record(client, collection)
        if recorded is None or not recorded.native_ids:
            raise CollectionLayoutError(f"{where} has had token vectors from the start. To make it anew, use reindex.")
        check_identity(recorded.identity, identity, where)
        check_recorded(recorded.stages, stages, where)
        return with_centroids(recorded.stages, stages, lambda: model.centroids)
    if not is_in_process(client):
        check_features(server_version(client), [("adding token vectors", ADDED_VECTORS)])
    if config.params.sharding_method == models.ShardingMethod.CUSTOM:
        raise CollectionLayoutError(
            f"{where} has shards of its own keys, and vectors cannot be added across them here. Index into a new "
            "collection with reindex."
        )
    stages = with_centroids(stages, (), lambda: model.centroids)
    sample = _sample(client, collection, model, reader, batch) if stages else []
    queries = sample_queries(stages, [point.text for point in sample], model)
    stages = tuple(stage.measured(sample, queries) for stage in stages)
    wanted = {VECTOR_NAME: multivector_params(client, identity.dimension, vector_options)}
    wanted |= {s.name: s.vector_params(identity.dimension) for s in stages if not isinstance(s, Sparse)}
    there = config.params.vectors if isinstance(config.params.vectors, dict) else {}
    for name, params in wanted.items():
        if name not in there:
            _add_dense(client, collection, name, params)
        elif (there[name].size, there[name].multivector_config) != (params.size, params.multivector_config):
            raise CollectionLayoutError(f"{where} has a vector {name!r} already, which is another: {there[name]}.")
    for stage in stages:
        if isinstance(stage, Sparse) and stage.name not in (config.params.sparse_vectors or {}):
            modifier = stage.sparse_params().modifier
            sparse = models.SparseVectorNameConfig(sparse=models.SparseVectorConfig(modifier=modifier))
            ask(client, client.create_vector_name, collection, stage.name, sparse, wait=True)
    record = record_metadata(identity, stages, native_ids=True)
    ask(client, client.update_collection, collection, metadata={**metadata, **record})
    return stages


def _add_dense(client: QdrantClient, collection: str, name: str, params: models.VectorParams) -> None:
    dense = models.DenseVectorConfig(
        size=params.size,
        distance=params.distance,
        multivector_config=params.multivector_config,
        datatype=None if params.datatype is None else models.VectorStorageDatatype(params.datatype.value),
    )
    try:
        config = models.DenseVectorNameConfig(dense=dense)
        ask(client, client.create_vector_name, collection, name, config, wait=True)
    except REJECTED as error:
        raise CollectionLayoutError(
            f"the vector {name!r} cannot be added to the Qdrant collection {collection!r} ({describe(error)}). A "
            "server that is too old to add vectors leaves a new collection: see reindex."
        ) from error
    rest = {n: getattr(params, n, None) for n in ("hnsw_config", "quantization_config", "on_disk", "memory")}
    changed = models.VectorParamsDiff(**{n: value for n, value in rest.items() if value is not None})
    ask(client, client.update_collection, collection, vectors_config={name: changed})


def _sample(client: QdrantClient, collection: str, model: JaColBERT, reader: TextReader, count: int) -> list[Point]:
    """Encodes some points of the collection, in which the first stages measure what they need."""
    records = ask(client, client.scroll, collection, limit=count, with_payload=True)[0]
    return _points(records, model, reader, ())[1]
