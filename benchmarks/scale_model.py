"""What a collection costs, from the bytes and rates of a passage: arithmetic alone, nothing is measured here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

GB, TB, GIB = 10**9, 10**12, 2**30
MAX_FLOATS = 1_048_576
"""Qdrant takes strictly fewer floats than this in one multivector."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured on a small collection. Bytes are of a passage on average, where nothing else is said.

    Attributes:
        made_with: Model, data, package and machine, in words.
        passages: Of the collection.
        tokens: Of a passage, control tokens included, by tokenizer.
        dimension: Of a token vector.
        vectors: Token vectors, by pooling.
        longest: Token vectors of the longest passage, unpooled.
        vector_bytes: Of a token vector, by data type.
        offset_bytes: Where a passage's token vectors are, in their file.
        id_bytes: Its id and version.
        payload_bytes: Text, title, id and hash, as Qdrant keeps them.
        sparse_bytes: The sparse vector, beside the inverted index.
        postings: Words, each counted once.
        terms: Different words of all passages.
        term_bytes: Of a term in the inverted index, beside its postings.
        centroids: Centroids that its token vectors are nearest to, each counted once.
        centroid_bytes: Its sparse vector of centroids, beside the inverted index.
        encoding_floats: Of a MUVERA encoding.
        encoding_bytes: Of a MUVERA encoding as float16.
        copy_bytes: Of its quantized copy, by kind.
        link_bytes: Of its links in the HNSW graph.
        overhead: All that the segments take on the disk, over the sum of what is named here.
        sent_bytes: Of a number in a request, by protocol.
        rates: Passages a second on one processor core, by what is done.
    """

    made_with: str
    passages: int
    tokens: Mapping[str, float]
    dimension: int
    vectors: Mapping[str, float]
    longest: int
    vector_bytes: Mapping[str, float]
    offset_bytes: float
    id_bytes: float
    payload_bytes: float
    sparse_bytes: float
    postings: float
    terms: int
    term_bytes: float
    centroids: float
    centroid_bytes: float
    encoding_floats: int
    encoding_bytes: float
    copy_bytes: Mapping[str, float]
    link_bytes: float
    overhead: float
    sent_bytes: Mapping[str, float]
    rates: Mapping[str, float]


def _assumed(default: float, why: str) -> Any:
    return field(default=default, metadata={"why": why})


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What is not measured: each a number with its reason, and an argument of the command."""

    passages: int = _assumed(100_000_000, "the question")
    replicas: int = _assumed(2, "copies of each shard: one may be lost")
    fewest_nodes: int = _assumed(3, "the least of which one may fail and the others still agree")
    shards_per_node: int = _assumed(1, "the least that fills all nodes: each shard ranks candidates of its own")
    node_memory_gib: float = _assumed(64.0, "GiB of a node")
    node_disk_tb: float = _assumed(1.0, "TB (10^12 bytes) of a node")
    memory_fill: float = _assumed(
        0.75, "of the memory; the rest is for the system, its page cache and segments in work"
    )
    disk_fill: float = _assumed(0.7, "of the disk; optimizing writes a segment anew before the old one goes")
    candidates: int = _assumed(
        500, "that each shard ranks by MaxSim: half of the default of `SearchOptions`, since shards are many"
    )
    top_k: int = _assumed(10, "hits whose payload each shard reads")
    page_bytes: int = _assumed(4096, "which a disk reads at once: a run of bytes touches one page more than it fills")
    posting_bytes: float = _assumed(8.0, "a number and a weight of 4 bytes each; Qdrant packs the numbers tighter")
    terms: int = _assumed(5_000_000, "different words in a shard, names and numbers included: a guess")
    hnsw_m: int = _assumed(16, "Qdrant's default; all 2 m links of a point are counted, the most there can be")
    link_bytes: float = _assumed(4.0, "a point's number; Qdrant packs links tighter")
    id_memory: float = _assumed(2.0, "times an id's bytes on the disk: ids are found in both directions")
    request_bytes: int = _assumed(6_000_000, "as `QdrantWriter` fills requests")
    devices: int = _assumed(8, "that encode at once, each an equal share")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a collection keeps.

    Attributes:
        name: What it is called.
        pooling: Of the token vectors, as :class:`Measured` names it.
        datatype: Of the token vectors.
        centroids: Whether centroids find candidates, too.
        copy: With MUVERA encodings, the kind of their quantized copy; None is without MUVERA.
    """

    name: str
    pooling: str
    datatype: str
    centroids: bool = False
    copy: str | None = None


PLANS = (
    Plan("float16, words first", "none", "float16"),
    Plan("pooled by 2, float16, words first", "hierarchical-2", "float16"),
    Plan("pooled by 2, turbo8, words first", "hierarchical-2", "turbo8"),
    Plan("pooled by 2, turbo8, words and centroids first", "hierarchical-2", "turbo8", centroids=True),
    Plan("pooled by 2, turbo8, words and MUVERA first", "hierarchical-2", "turbo8", copy="int8"),
)
"""All find candidates by their words (BM25); the last two also by centroids, or by MUVERA encodings."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a passage, of one kind.

    Attributes:
        disk: That it takes there.
        memory: That a search needs there.
    """

    disk: float
    memory: float = 0.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What a plan costs.

    Attributes:
        disk: Bytes of one copy of the collection on the disk.
        memory: Bytes of one copy that have to be in memory.
        nodes_by_disk: Nodes whose disks hold all copies.
        nodes_by_memory: Nodes whose memories do.
        nodes: The most of these, and of the fewest.
        shards: Of the collection, each with its copies.
        reads: From the disk for a query, from all shards.
        read_bytes: Of these.
        sent_bytes: To write all passages once, by protocol.
        requests: Of these, by protocol.
    """

    disk: float
    memory: float
    nodes_by_disk: int
    nodes_by_memory: int
    nodes: int
    shards: int
    reads: int
    read_bytes: float
    sent_bytes: Mapping[str, float]
    requests: Mapping[str, int]


def pieces(plan: Plan, measured: Measured, assumed: Assumptions) -> dict[str, Piece]:
    """What a passage takes, piece by piece, the vocabulary left out: that is of a shard."""
    postings = measured.postings * assumed.posting_bytes
    found = {
        "token vectors": Piece(measured.vectors[plan.pooling] * measured.vector_bytes[plan.datatype]),
        "their places": Piece(measured.offset_bytes, measured.offset_bytes),
        "payload, text included": Piece(measured.payload_bytes),
        "ids": Piece(measured.id_bytes, assumed.id_memory * measured.id_bytes),
        "words, sparse vectors": Piece(measured.sparse_bytes),
        "words, inverted index": Piece(postings, postings),
    }
    if plan.centroids:
        postings = measured.centroids * assumed.posting_bytes
        found["centroids, sparse vectors"] = Piece(measured.centroid_bytes)
        found["centroids, inverted index"] = Piece(postings, postings)
    if plan.copy is not None:
        copy, links = measured.copy_bytes[plan.copy], graph_links(assumed.hnsw_m) * assumed.link_bytes
        found["MUVERA, float16"] = Piece(measured.encoding_bytes)
        found[f"MUVERA, {plan.copy} copy"] = Piece(copy, copy)
        found["MUVERA, HNSW graph"] = Piece(links, links)
    return found


def graph_links(m: int) -> float:
    """The most links of a point on average: 2 m at the ground, and m on each level above, which 1 in m points reach."""
    return 2 * m + m / (m - 1)


def nodes_for(total: float, of_node: float, fixed: float) -> int:
    """How many nodes hold something.

    Args:
        total: Bytes of all copies.
        of_node: Bytes that a node can be given.
        fixed: Of these what each node needs, however many there are.

    Raises:
        ValueError: If a node has no room beside what is fixed.
    """
    if of_node <= fixed:
        raise ValueError(f"a node has room for {of_node:,.0f} bytes, of which {fixed:,.0f} are taken already.")
    return ceil(total / (of_node - fixed))


def cost(plan: Plan, measured: Measured, assumed: Assumptions) -> Cost:
    """What a plan costs.

    Raises:
        ValueError: If nodes are too small for the vocabulary alone.
    """
    kept = pieces(plan, measured, assumed).values()
    disk = assumed.passages * sum(piece.disk for piece in kept) * measured.overhead
    memory = assumed.passages * sum(piece.memory for piece in kept)
    vocabulary = assumed.terms * measured.term_bytes
    # A node has as many shards' copies as there are copies of a shard, each with its own vocabulary.
    on_node = vocabulary * assumed.replicas * assumed.shards_per_node
    room_on_disk, room = (
        assumed.node_disk_tb * TB * assumed.disk_fill,
        assumed.node_memory_gib * GIB * assumed.memory_fill,
    )
    by_disk = nodes_for(assumed.replicas * disk, room_on_disk, on_node)
    by_memory = nodes_for(assumed.replicas * memory, room, on_node)
    nodes = max(assumed.fewest_nodes, assumed.replicas, by_disk, by_memory)
    shards = nodes * assumed.shards_per_node
    matrix = measured.vectors[plan.pooling] * measured.vector_bytes[plan.datatype]
    of_shard = assumed.candidates * (matrix + assumed.page_bytes)
    of_shard += assumed.top_k * (measured.payload_bytes + assumed.page_bytes)
    sent = {protocol: assumed.passages * sent_bytes(plan, measured, protocol) for protocol in measured.sent_bytes}
    return Cost(
        disk=disk + shards * vocabulary,
        memory=memory + shards * vocabulary,
        nodes_by_disk=by_disk,
        nodes_by_memory=by_memory,
        nodes=nodes,
        shards=shards,
        reads=shards * (assumed.candidates + assumed.top_k),
        read_bytes=shards * of_shard,
        sent_bytes=sent,
        requests={protocol: ceil(total / assumed.request_bytes) for protocol, total in sent.items()},
    )


def sent_bytes(plan: Plan, measured: Measured, protocol: str) -> float:
    """Bytes of a passage in a request: vectors travel as float32, whatever they are kept as."""
    numbers = measured.vectors[plan.pooling] * measured.dimension + 2 * measured.postings
    if plan.centroids:
        numbers += 2 * measured.centroids
    if plan.copy is not None:
        numbers += measured.encoding_floats
    return numbers * measured.sent_bytes[protocol] + measured.payload_bytes


def device_hours(passages: float, rate: float) -> float:
    """Hours of one device, at so many passages a second."""
    return passages / rate / 3600
