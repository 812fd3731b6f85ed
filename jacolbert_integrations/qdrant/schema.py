"""The Qdrant collection of a late-interaction model, and the record of what made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qdrant_client import QdrantClient, models

from ..binding import identity_from_dict
from ..errors import CollectionLayoutError
from ..types import ModelIdentity
from .points import VECTOR_NAME, is_local
from .stages import FirstStage, Lexical, stage_from_dict, stage_to_dict

METADATA_KEY = "jacolbert"
"""Where the collection's metadata says what made it."""

STAGES_KEY = "first_stage"
"""Where that record says how candidates are found."""


def read_record(client: QdrantClient, collection: str) -> tuple[ModelIdentity, tuple[FirstStage, ...]] | None:
    """What made a collection, and how it finds candidates; None if it does not exist.

    Raises:
        CollectionLayoutError: If it exists and is none of ours.
        StoreFileError: If its record is incomplete, or of another release.
    """
    if not client.collection_exists(collection):
        return None
    config = client.get_collection(collection).config
    record = (config.metadata or {}).get(METADATA_KEY)
    vectors = config.params.vectors
    if not isinstance(record, dict) or not isinstance(vectors, dict) or VECTOR_NAME not in vectors:
        names = sorted(vectors) if isinstance(vectors, dict) else "one unnamed vector"
        raise CollectionLayoutError(
            f"the Qdrant collection {collection!r} was not made by this package: it has no {METADATA_KEY!r} metadata "
            f"with a multivector {VECTOR_NAME!r} (vectors: {names}). Choose another name; nothing was changed."
        )
    where = f"the Qdrant collection {collection!r}"
    identity = identity_from_dict(record, where)
    if vectors[VECTOR_NAME].size != identity.dimension:
        raise CollectionLayoutError(
            f"the Qdrant collection {collection!r} holds vectors of {vectors[VECTOR_NAME].size} dimensions, but its "
            f"metadata says {identity.dimension}."
        )
    return identity, tuple(stage_from_dict(values, where) for values in record.get(STAGES_KEY, ()))


def create_collection(
    client: QdrantClient,
    collection: str,
    identity: ModelIdentity,
    stages: Sequence[FirstStage] = (),
    vector_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Makes a collection for a model's token vectors.

    There is no HNSW graph over them: building one over multivectors costs quadratic time, and the
    scan that takes its place is exact. Vectors have length 1, so that the dot product is the cosine.

    Token vectors are kept as float16, half of float32's bytes, where that is honoured: not in this process.

    Args:
        client: Any client.
        collection: Its name.
        identity: What the collection's metadata records.
        stages: How candidates are found.
        vector_options: For the multivector's :class:`qdrant_client.models.VectorParams`, such as ``datatype``.
        **options: Passed on to :meth:`QdrantClient.create_collection`.
    """
    vectors = {VECTOR_NAME: models.VectorParams(**{
        "size": identity.dimension,
        "distance": models.Distance.DOT,
        "multivector_config": models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
        "hnsw_config": models.HnswConfigDiff(m=0),
        "datatype": None if is_local(client) else models.Datatype.FLOAT16,
        **(vector_options or {}),
    })}  # fmt: skip
    vectors |= {s.name: s.vector_params(identity.dimension) for s in stages if not isinstance(s, Lexical)}
    sparse = {stage.name: stage.sparse_params() for stage in stages if isinstance(stage, Lexical)}
    record = identity.to_dict()
    if stages:
        record[STAGES_KEY] = [stage_to_dict(stage) for stage in stages]
    metadata = {**(options.pop("metadata", None) or {}), METADATA_KEY: record}
    client.create_collection(
        collection, vectors_config=vectors, sparse_vectors_config=sparse or None, metadata=metadata, **options
    )
