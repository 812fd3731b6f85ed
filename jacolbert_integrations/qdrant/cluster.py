"""What a server needs beside a collection before the first write: shard keys and payload indexes."""

from __future__ import annotations

from collections.abc import Mapping

from qdrant_client import QdrantClient, models

from ..errors import InputError
from .clients import Client, is_local_mode
from .retrying import REJECTED


def checked_consistency(consistency: object) -> models.ReadConsistency | None:
    """Returns how many replicas have to agree as Qdrant's own models say it: over gRPC its client takes no strings.

    Raises:
        InputError: If it is none.
    """
    if consistency is None or isinstance(consistency, models.ReadConsistencyType):
        return consistency
    if isinstance(consistency, int) and not isinstance(consistency, bool) and consistency > 0:
        return consistency
    names = [kind.value for kind in models.ReadConsistencyType]
    if consistency in names:
        return models.ReadConsistencyType(consistency)
    raise InputError(f"consistency is {consistency!r:.60}, but it must be a number of replicas, or {', '.join(names)}.")


def create_shard_keys(client: Client, collection: str, selector: models.ShardKeySelector) -> None:
    """Makes those shard keys of a collection with custom sharding that are missing.

    Args:
        client: Any client; one whose engine runs in this process has no shards, and nothing happens.
        collection: Its name.
        selector: What reads and writes will select by.
    """
    if not isinstance(client, QdrantClient) or is_local_mode(client):
        return
    for key in _keys(selector):
        if key in _existing(client, collection):
            continue
        try:
            client.create_shard_key(collection, key)
        except REJECTED:
            if key not in _existing(client, collection):  # or another process was first
                raise


def create_indexes(client: Client, collection: str, indexes: Mapping[str, models.PayloadFieldSchema]) -> None:
    """Makes payload indexes; one that is there as asked stays.

    Args:
        client: Any client; local mode scans, and nothing happens.
        collection: Its name.
        indexes: By payload key what to index it as.
    """
    if is_local_mode(client):
        return
    for key, schema in indexes.items():
        client.create_payload_index(collection, key, field_schema=schema, wait=True)


def _keys(selector: models.ShardKeySelector) -> list[models.ShardKey]:
    if isinstance(selector, models.ShardKeyWithFallback):
        return [selector.target, selector.fallback]
    return selector if isinstance(selector, list) else [selector]


def _existing(client: QdrantClient, collection: str) -> set[models.ShardKey]:
    return {shard.key for shard in client.list_shard_keys(collection).shard_keys or ()}
