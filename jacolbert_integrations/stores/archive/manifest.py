"""What an archive says that it holds, and how its files are called."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ...types import ModelIdentity

StoredDtype = Literal["float32", "float16"]
DTYPES: tuple[StoredDtype, ...] = get_args(StoredDtype)

FORMAT = "jacolbert-points"
VERSION = 1
MANIFEST = "manifest.json"

MOST_BYTES = 1 << 30
"""Of one file in an archive, which is read at once."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an archive.

    Attributes:
        points: How many points it holds.
        tokens: How many token vectors they have together.
        vectors_sha256: Of its safetensors file.
        points_sha256: Of its JSON lines.
    """

    points: int
    tokens: int
    vectors_sha256: str
    points_sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive holds.

    Attributes:
        model: What made the vectors.
        dtype: How they are kept in the file.
        parts: The parts, in their order.
    """

    model: ModelIdentity
    dtype: StoredDtype
    parts: tuple[Part, ...]

    @property
    def points(self) -> int:
        """How many points there are."""
        return sum(part.points for part in self.parts)

    @property
    def tokens(self) -> int:
        """How many token vectors they have together."""
        return sum(part.tokens for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Returns the manifest as JSON-serialisable values."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "model": self.model.to_dict(),
            "dtype": self.dtype,
            "points": self.points,
            "tokens": self.tokens,
            "parts": [
                {
                    "name": part_name(number),
                    "points": part.points,
                    "tokens": part.tokens,
                    "sha256": {"safetensors": part.vectors_sha256, "jsonl": part.points_sha256},
                }
                for number, part in enumerate(self.parts)
            ],
        }


def part_name(number: int) -> str:
    """Returns the name of a part's files in the archive, without their endings."""
    return f"part-{number:05}"


def sha256(content: bytes) -> str:
    """Computes the checksum of a file, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
