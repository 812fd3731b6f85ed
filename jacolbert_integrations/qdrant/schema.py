"""The Qdrant collection of a late-interaction model, and the record of what made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from qdrant_client import models

from ..errors import CollectionLayoutError, InputError
from ..stores.model_identity import identity_from_dict
from ..types import ModelIdentity
from .answers import answered
from .clients import Client, client_lock, is_local_mode, keeps_float16
from .creating import make_collection
from .points import VECTOR_NAME
from .stages import FirstStage, QdrantBM25, Sparse, stage_from_dict, stage_to_dict
from .strict_mode import StrictMode

METADATA_KEY = "jacolbert"
"""Where the collection's metadata says what made it."""

STAGES_KEY = "first_stage"
"""Where that record says how candidates are found."""


NATIVE_IDS_KEY = "native_ids"
"""Where that record says that the points are somebody else's, and keep the ids that they had."""


class Record(NamedTuple):
    """What a collection says of itself.

    Attributes:
        identity: The model that made it.
        stages: How it finds candidates.
        native_ids: Whether ids are Qdrant's own, integers too, rather than made from any string.
        indexes: Its payload indexes, by path.
        strict: What its strict mode allows.
    """

    identity: ModelIdentity
    stages: tuple[FirstStage, ...]
    native_ids: bool
    indexes: Mapping[str, models.PayloadIndexInfo] = MappingProxyType({})
    strict: StrictMode = StrictMode()


def read_record(client: Client, collection: str) -> Record | None:
    """Reads the record that a collection keeps of its model and first stages; None if it does not exist.

    Raises:
        CollectionLayoutError: If it exists and was not created by this package.
        StoreFileError: If its record is incomplete, or of another release.
        StoreError: If the server does not answer, or refuses (:func:`~.answers.answered`).
    """
    with client_lock(client), answered(client, f"the Qdrant collection {collection!r}"):
        try:
            info = client.get_collection(collection)
        except Exception as error:  # each kind of client has its own for a collection that is not there
            try:
                exists = client.collection_exists(collection)
            except Exception:
                raise error from error.__cause__  # the first thing that went wrong tells more
            if not exists:
                return None
            info = client.get_collection(collection)  # another process has just made it, or this fails again
    config = info.config
    record = (config.metadata or {}).get(METADATA_KEY)
    vectors = config.params.vectors
    if not isinstance(record, dict) or not isinstance(vectors, dict) or VECTOR_NAME not in vectors:
        names = sorted(vectors) if isinstance(vectors, dict) else "one unnamed vector"
        raise CollectionLayoutError(
            f"the Qdrant collection {collection!r} was not made by this package: it has no {METADATA_KEY!r} metadata "
            f"with a multivector {VECTOR_NAME!r} (vectors: {names}); nothing was changed. Choose another name. Or, to "
            "search what is in it, copy it into a new collection with reindex, or give its points token vectors with "
            "add_late_interaction; both are in jacolbert_integrations.qdrant."
        )
    where = f"the Qdrant collection {collection!r}"
    identity = identity_from_dict(record, where)
    if vectors[VECTOR_NAME].size != identity.dimension:
        raise CollectionLayoutError(
            f"the Qdrant collection {collection!r} holds vectors of {vectors[VECTOR_NAME].size} dimensions, but its "
            f"metadata says {identity.dimension}."
        )
    stages = tuple(stage_from_dict(values, where) for values in record.get(STAGES_KEY, ()))
    strict = StrictMode.of(config.strict_mode_config)
    return Record(identity, stages, bool(record.get(NATIVE_IDS_KEY, False)), info.payload_schema or {}, strict)


def record_metadata(
    identity: ModelIdentity, stages: Sequence[FirstStage], *, native_ids: bool = False
) -> dict[str, Any]:
    """Builds a collection's metadata, which :func:`read_record` reads."""
    record = identity.to_dict()
    if stages:
        record[STAGES_KEY] = [stage_to_dict(stage) for stage in stages]
    if native_ids:
        record[NATIVE_IDS_KEY] = True
    return {METADATA_KEY: record}


def multivector_params(
    client: Client, dimension: int, vector_options: Mapping[str, Any] | None = None
) -> models.VectorParams:
    """Builds Qdrant's parameters of the multivector of token vectors: see :func:`create_collection`."""
    return models.VectorParams(**{
        "size": dimension,
        "distance": models.Distance.DOT,
        "multivector_config": models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
        "hnsw_config": models.HnswConfigDiff(m=0),
        "datatype": models.Datatype.FLOAT16 if keeps_float16(client) else None,
        **(vector_options or {}),
    })  # fmt: skip


def create_collection(
    client: Client,
    collection: str,
    identity: ModelIdentity,
    stages: Sequence[FirstStage] = (),
    vector_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Makes a collection for a model's token vectors.

    There is no HNSW graph over them: building one over multivectors costs quadratic time, and the
    scan that takes its place is exact. Vectors have length 1, so that the dot product is the cosine.

    Token vectors are kept as float16, half of float32's bytes, but in local mode, which knows float32 only.

    Args:
        client: Any client.
        collection: Its name.
        identity: What the collection's metadata records.
        stages: How candidates are found.
        vector_options: For the multivector's :class:`qdrant_client.models.VectorParams`, such as ``datatype``.
        **options: Passed on to :meth:`QdrantClient.create_collection`.

    Raises:
        InputError: If the engine cannot do what a first stage needs.
        ServerError: As :func:`~.creating.make_collection`.
    """
    if is_local_mode(client) and any(isinstance(stage, QdrantBM25) for stage in stages):
        raise InputError("qdrant-client's local mode has no BM25 of Qdrant's. Use Lexical(), a server or EdgeStore.")
    vectors = {VECTOR_NAME: multivector_params(client, identity.dimension, vector_options)}
    vectors |= {s.name: s.vector_params(identity.dimension) for s in stages if not isinstance(s, Sparse)}
    sparse = {stage.name: stage.sparse_params() for stage in stages if isinstance(stage, Sparse)}
    metadata = {**(options.pop("metadata", None) or {}), **record_metadata(identity, stages)}
    make_collection(
        client,
        collection,
        bm25=any(isinstance(stage, QdrantBM25) for stage in stages),
        vectors_config=vectors,
        sparse_vectors_config=sparse or None,
        metadata=metadata,
        **options,
    )
