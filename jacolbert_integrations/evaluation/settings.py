"""How passages are kept, and how they are found: what a comparison varies of one model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ..encoding.pooling import NO_POOLING, as_pooling
from ..errors import InputError
from ..query_length import QueryLength, check_query_length

DataType = Literal["float32", "float16", "int8", "binary"]
DATA_TYPES: tuple[DataType, ...] = get_args(DataType)
_BITS: dict[DataType, int] = {"float32": 32, "float16": 16, "int8": 8, "binary": 1}

StageName = Literal["centroids", "lexical", "mean", "muvera"]
STAGE_NAMES: tuple[StageName, ...] = get_args(StageName)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One way to keep a model's vectors and to search them.

    Attributes:
        query_length: Another query-length rule than the model's own; None keeps that.
        pooling: How passages are pooled, by name; ``"none"`` keeps them as the model makes them.
        dimension: To which vectors are cut, without training; None leaves them.
        datatype: What numbers are kept as. ``"int8"`` and ``"binary"`` are as sentence-transformers quantizes.
        first_stage: What finds candidates for MaxSim: ``"centroids"``, by those that come with the model;
            ``"lexical"``, by BM25; ``"mean"``, by the mean vector; ``"muvera"``, by fixed dimensional encodings. None
            scores all passages by MaxSim.
        candidates: How many passages the first stage finds.

    Raises:
        InputError: If something has no such value.
    """

    query_length: QueryLength | None = None
    pooling: str = NO_POOLING
    dimension: int | None = None
    datatype: DataType = "float32"
    first_stage: StageName | None = None
    candidates: int = 100

    def __post_init__(self) -> None:
        if self.query_length is not None:
            check_query_length(self.query_length)
        as_pooling(self.pooling)
        if self.dimension is not None and self.dimension < 1:
            raise InputError(f"dimension is {self.dimension}, but it must be at least 1.")
        if self.datatype not in DATA_TYPES:
            raise InputError(f"datatype is {self.datatype!r}, but there are {', '.join(DATA_TYPES)}.")
        stage: str | None = self.first_stage
        if stage == "words":
            warnings.warn('"words" is called "lexical" now. The old name works for one release more.', FutureWarning, 3)
            object.__setattr__(self, "first_stage", "lexical")
        if self.first_stage is not None and self.first_stage not in STAGE_NAMES:
            raise InputError(f"first_stage is {self.first_stage!r}, but there are {', '.join(STAGE_NAMES)}.")
        if self.candidates < 1:
            raise InputError(f"candidates is {self.candidates}, but it must be at least 1.")

    def __str__(self) -> str:
        """Returns what is not as the model has it, such as ``"hierarchical-2, int8"``; nothing if all is."""
        parts = [
            None if self.query_length is None else f"queries {self.query_length}",
            None if self.pooling == NO_POOLING else self.pooling,
            None if self.dimension is None else f"{self.dimension} dimensions",
            None if self.datatype == "float32" else self.datatype,
            None if self.first_stage is None else f"{self.candidates:,} candidates by {self.first_stage}",
        ]
        return ", ".join(part for part in parts if part is not None)

    def bytes_of(self, dimension: int) -> float:
        """Returns the bytes of one vector that has ``dimension`` numbers before it is cut."""
        return _BITS[self.datatype] * (dimension if self.dimension is None else self.dimension) / 8


def settings_of(
    *,
    query_lengths: Sequence[QueryLength] = (),
    poolings: Sequence[str] = (),
    dimensions: Sequence[int] = (),
    datatypes: Sequence[DataType] = (),
    first_stages: Sequence[StageName] = (),
    candidates: Sequence[int] = (100,),
) -> list[Setting]:
    """Returns the model as it is, each change of it by itself, and each first stage with each number of candidates.

    Raises:
        InputError: If something has no such value.
    """
    return [
        Setting(),
        *[Setting(query_length=each) for each in query_lengths],
        *[Setting(pooling=each) for each in poolings],
        *[Setting(dimension=each) for each in dimensions],
        *[Setting(datatype=each) for each in datatypes if each != "float32"],
        *[Setting(first_stage=stage, candidates=count) for stage in first_stages for count in candidates],
    ]
