"""The Qdrant collection of a late-interaction model, and the record of what made it."""

from __future__ import annotations

from typing import Any

from qdrant_client import QdrantClient, models

from ..binding import identity_from_dict
from ..errors import CollectionLayoutError
from ..types import ModelIdentity

VECTOR_NAME = "colbert"
"""The named multivector of a document's token vectors."""

METADATA_KEY = "jacolbert"
"""Where the collection's metadata says what made it."""

MAX_FLOATS = 1_048_576
"""Qdrant takes strictly fewer floats than this in one multivector; its local mode does not check."""


def read_identity(client: QdrantClient, collection: str) -> ModelIdentity | None:
    """What made a collection; None if it does not exist.

    Raises:
        CollectionLayoutError: If it exists and is none of ours.
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
    identity = identity_from_dict(record, f"the Qdrant collection {collection!r}")
    if vectors[VECTOR_NAME].size != identity.dimension:
        raise CollectionLayoutError(
            f"the Qdrant collection {collection!r} holds vectors of {vectors[VECTOR_NAME].size} dimensions, but its "
            f"metadata says {identity.dimension}."
        )
    return identity


def create_collection(client: QdrantClient, collection: str, identity: ModelIdentity, **options: Any) -> None:
    """Makes a collection for a model's token vectors.

    There is no HNSW graph over them: building one over multivectors costs quadratic time, and the
    scan that takes its place is exact. Vectors have length 1, so that the dot product is the cosine.

    Args:
        client: Any client.
        collection: Its name.
        identity: What the collection's metadata records.
        **options: Passed on to :meth:`QdrantClient.create_collection`.
    """
    vectors = models.VectorParams(
        size=identity.dimension,
        distance=models.Distance.DOT,
        multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
        hnsw_config=models.HnswConfigDiff(m=0),
    )
    metadata = {**(options.pop("metadata", None) or {}), METADATA_KEY: identity.to_dict()}
    client.create_collection(collection, vectors_config={VECTOR_NAME: vectors}, metadata=metadata, **options)
