"""The page that ``scale.py`` makes: plans, hours, bytes a passage, and what was measured and assumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields

from scale_model import GB, MAX_FLOATS, PLANS, TB, Assumptions, Measured, cost, device_hours, graph_links, pieces

MB = 10**6


def report(measured: Measured, assumed: Assumptions, rates: Mapping[str, float]) -> str:
    """The Markdown file."""
    sections = [
        f"# What {assumed.passages:,} passages cost",
        introduction(measured),
        "\n".join(plans(measured, assumed)),
        reading(measured, assumed),
        "## Encoding",
        "\n".join(hours(assumed, rates)),
        encoding(),
        "## Bytes of a passage",
        "\n".join(passage(measured, assumed)),
        "\n".join(choices(measured)),
        first_stage(measured, assumed),
        "## What was measured",
        "\n".join(figures(measured)),
        "## What is assumed",
        "\n".join(assumptions(assumed)),
        "## Limits",
        "\n".join(limits(measured)),
    ]
    return "\n\n".join(sections) + "\n"


def introduction(measured: Measured) -> str:
    return f"""\
Made by `python benchmarks/scale.py --output benchmarks/scale.md`, which measures a small collection and reckons the
rest. No collection of this size was made, no server was measured, and no GPU.

Measured: {measured.made_with}.

GB are 10^9 bytes, TB 10^12. Every number that is not measured is an argument of the script, such as
`--passages`, `--replicas` or `--node-memory-gib`."""


def plans(measured: Measured, assumed: Assumptions) -> Iterator[str]:
    """A row a plan."""
    yield (
        "| | bytes a passage | disk, one copy | memory, one copy | nodes (for disk, for memory) | shards "
        "| read for a query | sent by gRPC | sent by REST |"
    )
    yield "|---" + "|--:" * 8 + "|"
    for plan in PLANS:
        found = cost(plan, measured, assumed)
        sent = [
            f"{quantity(found.sent_bytes[protocol])}, {found.requests[protocol]:,} requests"
            for protocol in ("gRPC", "REST")
        ]
        yield (
            f"| {plan.name} | {found.disk / assumed.passages:,.0f} | {quantity(found.disk)} | {quantity(found.memory)} "
            f"| **{found.nodes}** ({found.nodes_by_disk}, {found.nodes_by_memory}) | {found.shards} "
            f"| {quantity(found.read_bytes)}, {found.reads:,} reads | {sent[0]} | {sent[1]} |"
        )


def quantity(size: float) -> str:
    """Bytes as people write them, to three figures."""
    unit, name = next(
        ((unit, name) for unit, name in ((TB, "TB"), (GB, "GB"), (MB, "MB")) if size >= unit), (1_000, "kB")
    )
    value = size / unit
    return f"{value:,.0f} {name}" if value >= 100 else f"{value:.3g} {name}"


def reading(measured: Measured, assumed: Assumptions) -> str:
    own = assumed.candidates * assumed.shards_per_node
    return f"""\
Disk and memory are of one copy of the collection, without replicas; nodes are for {assumed.replicas} copies. A node
has {assumed.node_memory_gib:g} GiB of memory and {assumed.node_disk_tb:g} TB of disk; there are at least
{assumed.fewest_nodes}. Exact MaxSim of everything would read all token vectors for each query, so every plan has a
first stage: the words of a passage (BM25), and in the last two plans also centroids or MUVERA encodings.

- In memory are the first stage, where each passage's vectors are, and the ids. Token vectors (`memory=COLD`), payload
  and MUVERA's float16 encodings stay on the disk. Bytes of a passage include {100 * (measured.overhead - 1):.1f} %
  that the measured collection took more than the sum of its pieces.
- Each shard ranks {assumed.candidates} candidates of its own, because Qdrant applies MaxSim before it merges shards
  (so its source says, `local_shard/query.rs`; no cluster was measured). So a query reads {own:,} matrices for each
  node, which is why there are as few shards as fill the nodes; with more shards, lower
  `SearchOptions(candidates=...)`. Nothing is taken off for what the page cache holds already.
- Vectors travel as float32 whatever they are kept as. With gRPC a number takes {measured.sent_bytes["gRPC"]:.2f}
  bytes, with REST {measured.sent_bytes["REST"]:.1f}, so take gRPC: `prefer_grpc=True`, or `jacolbert index --grpc`.
- Data type, memory, shards and copies are given when the collection is made: `QdrantStore(client, name,
  first_stage=..., vector_options={{"datatype": models.Datatype.TURBO8, "memory": models.Memory.COLD}},
  shard_number=..., replication_factor={assumed.replicas})` and a first batch of documents. `jacolbert index`,
  `QdrantWriter` or, with many workers, [`examples/ray_indexing.py`](../examples/ray_indexing.py) write the rest, and go
  on where they were stopped."""


def hours(assumed: Assumptions, rates: Mapping[str, float]) -> Iterator[str]:
    """A row for each thing that is done to a passage before it is sent."""
    yield f"| | passages a second | hours of one device | hours of {assumed.devices} |"
    yield "|---|--:|--:|--:|"
    for name, rate in rates.items():
        whole = device_hours(assumed.passages, rate)
        yield f"| {name} | {figure(rate)} | {figure(whole)} | {figure(whole / assumed.devices)} |"


def figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def encoding() -> str:
    return """\
A device is one processor core here. Hours are linear in passages and devices: each encodes a share of its own, with
nothing shared but the collection. The second row is a BERT of 12 layers and 768 dimensions with random weights, the
shape of JaColBERT, with its vocabulary: speed does not depend on the weights. **No GPU was measured**: time
`model.encode_document` on yours with some thousand passages, and give `--passages-per-second-per-device`, which adds a
row. Rates are of one run on a machine that had other work to do: take them as lower bounds."""


def passage(measured: Measured, assumed: Assumptions) -> Iterator[str]:
    """A row a piece, a column a plan."""
    found = [pieces(plan, measured, assumed) for plan in PLANS]
    every = {name: piece for each in found for name, piece in each.items()}
    yield "| | " + " | ".join(plan.name for plan in PLANS) + " | in memory |"
    yield "|---" + "|--:" * (len(PLANS) + 1) + "|"
    for name, piece in every.items():
        columns = [f"{each[name].disk:,.0f}" if name in each else "" for each in found]
        yield f"| {name} | {' | '.join(columns)} | {piece.memory:,.0f} |"
    sums = [f"{sum(piece.disk for piece in each.values()):,.0f}" for each in found]
    yield f"| sum | {' | '.join(sums)} | |"
    with_overhead = [f"{measured.overhead * sum(piece.disk for piece in each.values()):,.0f}" for each in found]
    yield f"| as segments fill the disk | {' | '.join(with_overhead)} | |"


def choices(measured: Measured) -> Iterator[str]:
    """Bytes of a passage's token vectors, by pooling and data type."""
    yield "Token vectors alone, by pooling and data type:"
    yield ""
    yield "| pooling | vectors | " + " | ".join(sorted(measured.vector_bytes)) + " |"
    yield "|---|--:" + "|--:" * len(measured.vector_bytes) + "|"
    for pooling, count in measured.vectors.items():
        sizes = [f"{count * measured.vector_bytes[name]:,.0f}" for name in sorted(measured.vector_bytes)]
        yield f"| {pooling} | {count:.1f} | {' | '.join(sizes)} |"


def first_stage(measured: Measured, assumed: Assumptions) -> str:
    return f"""\
The vocabulary of the inverted index is of a shard, not of a passage:
{quantity(assumed.terms * measured.term_bytes)} each, in memory and on the disk. The links of the HNSW graph are counted
as the most that there can be, {graph_links(assumed.hnsw_m):.1f} of {assumed.link_bytes:g} bytes; the measured
collection, small as it is, took {measured.link_bytes:.0f} bytes a passage. A binary copy of the MUVERA encodings in
place of int8 would take {measured.copy_bytes["binary"]:,.0f} bytes of memory for
{measured.copy_bytes["int8"]:,.0f}; what it does to recall was not measured.
[small_indexes.md](small_indexes.md) says what pooling and data types cost in quality."""


def figures(measured: Measured) -> Iterator[str]:
    """What the small collection showed."""
    yield "| | |"
    yield "|---|--:|"
    yield f"| passages | {measured.passages:,} |"
    for name, count in measured.tokens.items():
        yield f"| tokens a passage, {name} | {count:.1f} |"
    for name, count in measured.vectors.items():
        yield f"| token vectors a passage, {'unpooled' if name == 'none' else name} | {count:.1f} |"
    for name, size in sorted(measured.vector_bytes.items()):
        yield f"| bytes a token vector, {name} | {size:,.0f} |"
    yield f"| different words a passage | {measured.postings:.1f} |"
    yield f"| different words in all | {measured.terms:,} |"
    yield f"| bytes a word in the inverted index, beside its postings | {measured.term_bytes:.1f} |"
    yield f"| centroids a passage | {measured.centroids:.1f} |"
    yield f"| bytes a MUVERA encoding, {measured.encoding_floats:,} x float16 | {measured.encoding_bytes:,.0f} |"
    for name, size in measured.copy_bytes.items():
        yield f"| bytes of its {name} copy | {size:,.0f} |"
    yield f"| segments on the disk over the sum of their pieces | {measured.overhead:.3f} |"
    for name, size in measured.sent_bytes.items():
        yield f"| bytes a number in a request, {name} | {size:.2f} |"


def assumptions(assumed: Assumptions) -> Iterator[str]:
    """Each with its value and its reason."""
    yield "| argument | value | reason |"
    yield "|---|--:|---|"
    for each in fields(assumed):
        yield f"| `--{each.name.replace('_', '-')}` | {getattr(assumed, each.name):,} | {each.metadata['why']} |"


def limits(measured: Measured) -> Iterator[str]:
    """What these numbers do not say."""
    most = (MAX_FLOATS - 1) // measured.dimension
    small, jacolbert = measured.tokens.values()
    ratio = jacolbert / small
    yield f"""\
- Qdrant takes strictly fewer than {MAX_FLOATS:,} floats in one point's multivector: {most:,} vectors of
  {measured.dimension} dimensions. The longest passage here has {measured.longest}.
- Passages are paragraphs of Wikipedia. Yours may be longer: bytes and hours grow with their tokens. Vectors are counted
  with jacolbert-small; JaColBERT's own vocabulary cuts these passages into {ratio:.2f} times as many tokens.
- Qdrant Edge was measured, the server's engine in one process. A server adds its write-ahead log, and while it
  optimizes, room for the segments that it writes anew, for which `--disk-fill` leaves a share.
- Bytes are no latency. How many queries a second the disks can serve follows from the reads of a query; how good a
  first stage is among 100 million passages was not measured.
- No payload index is counted. A keyword index, such as that of a writer that splits documents into windows, is in
  memory too."""
