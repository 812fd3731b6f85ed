"""First stages: what a collection has beside its multivector, to find candidates for MaxSim fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

import numpy as np
from qdrant_client import models

from ..errors import CollectionLayoutError, InputError, StoreFileError
from ..lexical import LexicalEncoder, SparseVector
from ..muvera import Muvera
from ..tokenization import WordSplitter
from ..types import Point, Query

Value: TypeAlias = models.SparseVector | list[float]


@dataclass(frozen=True)
class Lexical:
    """Candidates by the words that they share with the query: BM25 over MeCab words, its IDF kept by Qdrant.

    Attributes:
        average_words: Words of an average document. None counts those that are written first.
        k1: How soon more of the same word stops counting.
        b: How much long documents are held back.
        options: For :class:`qdrant_client.models.SparseVectorParams`.
    """

    name: ClassVar[str] = "lexical"

    average_words: float | None = None
    k1: float = 1.2
    b: float = 0.75
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def measured(self, points: Sequence[Point]) -> Lexical:
        """Itself with the average length of these documents, if none was given.

        Raises:
            InputError: If there are none.
        """
        if self.average_words is not None:
            return self
        if not points:
            raise InputError("the lexical first stage needs average_words, or documents to count the words of.")
        splitter = WordSplitter()
        words = sum(len(splitter.split(point.text)) for point in points)
        return replace(self, average_words=max(words / len(points), 1.0))

    def sparse_params(self) -> models.SparseVectorParams:
        """What Qdrant has to know of the vector."""
        return models.SparseVectorParams(modifier=models.Modifier.IDF, **self.options)

    def encode_points(self, points: Sequence[Point]) -> list[Value]:
        """Of each point the sparse vector of its text."""
        return [_sparse(self._encoder.encode_document(point.text)) for point in points]

    def encode_query(self, query: Query) -> Value:
        """The sparse vector of the query's text.

        Raises:
            InputError: If it has no text.
        """
        if not query.text.strip():
            raise InputError(
                "the query has no text, which the lexical first stage searches by. Give Query(text=...), or search "
                "with exact=True."
            )
        return _sparse(self._encoder.encode_query(query.text))

    @cached_property
    def _encoder(self) -> LexicalEncoder:
        return LexicalEncoder(1.0 if self.average_words is None else self.average_words, self.k1, self.b)


@dataclass(frozen=True)
class MeanPooled:
    """Candidates by the mean of the token vectors, in an HNSW graph. Small, and the least accurate.

    Attributes:
        options: For :class:`qdrant_client.models.VectorParams`, such as ``quantization_config``.
    """

    name: ClassVar[str] = "mean"

    options: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def vector_params(self, dimension: int) -> models.VectorParams:
        """What Qdrant has to know of the vector."""
        return models.VectorParams(**{"size": dimension, "distance": models.Distance.COSINE, **self.options})

    def encode_points(self, points: Sequence[Point]) -> list[Value]:
        """Of each point the mean of its token vectors."""
        return [_mean(point.vectors) for point in points]

    def encode_query(self, query: Query) -> Value:
        """The mean of the query's token vectors."""
        return _mean(query.vectors)


@dataclass(frozen=True)
class FixedDimensional:
    """Candidates by fixed dimensional encodings, whose inner product estimates MaxSim (MUVERA), in an HNSW graph.

    The defaults make encodings of 2,048 floats.

    Attributes:
        hyperplanes: Of each repetition; they cut 2 to their number of cells.
        projection: Dimensions that are left of each cell.
        repetitions: How often it is done.
        seed: Decides hyperplanes and projections.
        options: For :class:`qdrant_client.models.VectorParams`, such as ``quantization_config``.
    """

    name: ClassVar[str] = "muvera"

    hyperplanes: int = 4
    projection: int = 8
    repetitions: int = 16
    seed: int = 42
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def vector_params(self, dimension: int) -> models.VectorParams:
        """What Qdrant has to know of the vector."""
        size = self._muvera(dimension).size
        return models.VectorParams(**{"size": size, "distance": models.Distance.DOT, **self.options})

    def encode_points(self, points: Sequence[Point]) -> list[Value]:
        """Of each point the encoding of its token vectors."""
        if not points:
            return []
        encode = self._muvera(points[0].vectors.shape[1]).encode_document
        return list(encode([point.vectors for point in points]).tolist())

    def encode_query(self, query: Query) -> Value:
        """The encoding of the query's token vectors."""
        encoding: list[float] = self._muvera(query.vectors.shape[1]).encode_query(query.vectors).tolist()
        return encoding

    def _muvera(self, dimension: int) -> Muvera:
        if dimension not in self._made:
            self._made[dimension] = Muvera(dimension, self.hyperplanes, self.projection, self.repetitions, self.seed)
        return self._made[dimension]

    @cached_property
    def _made(self) -> dict[int, Muvera]:
        return {}


FirstStage: TypeAlias = Lexical | MeanPooled | FixedDimensional

_KINDS: dict[str, type[FirstStage]] = {kind.name: kind for kind in (Lexical, MeanPooled, FixedDimensional)}


def check_stages(stages: Sequence[FirstStage]) -> tuple[FirstStage, ...]:
    """Refuses what is no first stage, and two of a kind.

    Raises:
        InputError: If there is one.
    """
    for stage in stages:
        if not isinstance(stage, tuple(_KINDS.values())):
            names = ", ".join(kind.__name__ for kind in _KINDS.values())
            raise InputError(f"{stage!r} is no first stage. There are {names}.")
    if len({stage.name for stage in stages}) < len(stages):
        raise InputError(f"a collection has one first stage of a kind, not {[stage.name for stage in stages]}.")
    return tuple(stages)


def check_text(point: Point, stages: Sequence[FirstStage]) -> None:
    """Refuses a point that a lexical first stage could not find.

    Raises:
        InputError: If it has no text.
    """
    if not point.text.strip() and any(isinstance(stage, Lexical) for stage in stages):
        raise InputError(
            f"point {point.id!r} has no text, which the lexical first stage finds it by. Give Point(text=...), "
            "or make the collection without that stage."
        )


def check_recorded(recorded: Sequence[FirstStage], asked: Sequence[FirstStage], where: str) -> None:
    """Refuses to open a collection with other first stages than it has.

    Raises:
        CollectionLayoutError: If they differ.
    """
    lexical = next((stage for stage in recorded if isinstance(stage, Lexical)), None)
    if lexical is not None:  # an average that was not given is the one that was measured
        average = lexical.average_words
        asked = [
            replace(s, average_words=average) if isinstance(s, Lexical) and s.average_words is None else s
            for s in asked
        ]
    if sorted(recorded, key=lambda s: s.name) != sorted(asked, key=lambda s: s.name):
        raise CollectionLayoutError(
            f"{where} finds candidates by {list(recorded) or 'no first stage'}, not by {list(asked) or 'none'}. Open "
            "it with first_stage=None, or index into a new collection."
        )


def stage_to_dict(stage: FirstStage) -> dict[str, Any]:
    """What a collection's metadata records: the kind and its parameters. Qdrant keeps its own options itself."""
    return {"kind": stage.name, **{f.name: getattr(stage, f.name) for f in fields(stage) if f.name != "options"}}


def stage_from_dict(values: Mapping[str, Any], where: str) -> FirstStage:
    """Reads a recorded first stage.

    Raises:
        StoreFileError: If there is no such kind, or its parameters are not those of this release.
    """
    try:
        return _KINDS[values["kind"]](**{name: value for name, value in values.items() if name != "kind"})
    except (KeyError, TypeError) as error:
        raise StoreFileError(
            f"{where} has a first stage that this release cannot read ({error!r}): {values}."
        ) from None


def _mean(vectors: Any) -> list[float]:
    mean: list[float] = np.asarray(vectors, np.float32).mean(axis=0).tolist()
    return mean


def _sparse(vector: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=list(vector), values=list(vector.values()))
