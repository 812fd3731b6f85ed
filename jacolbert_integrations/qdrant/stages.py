"""First stages: what a collection has beside its multivector, to find candidates for MaxSim fast."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from ..errors import CollectionLayoutError, InputError, StatisticsWarning, StoreFileError, UnsupportedModeError
from ..scoring.muvera import Muvera
from ..text.cleaning import clean
from ..text.lexical import LexicalEncoder, SparseVector
from ..text.tokenization import WordSplitter
from ..types import Point, Query, TokenVectors

if TYPE_CHECKING:
    from typing_extensions import Self

Value: TypeAlias = models.SparseVector | models.Document | list[float]

BM25_MODEL = "qdrant/bm25"
"""The name of Qdrant's own BM25, where it computes vectors by itself."""

_PRIOR_DOCUMENTS = 100
_PRIOR_WORDS = 300.0

_FEW_VECTORS = 100
"""Of so few token vectors, the mean is mostly that of control tokens, which no other document's mean is like."""

_QDRANT_WORDS = 0.44  # of its Japanese tokenizer for each of MeCab's, over JSQuAD's passages (46.2 to 105.0)


@dataclass(frozen=True)
class _ByWords:
    """What finds candidates by the words that they share with the query.

    Attributes:
        average_words: Words of an average document. None counts those that are written first, together with a prior.
        k1: How soon more of the same word stops counting.
        b: How much long documents are held back.
        options: For :class:`qdrant_client.models.SparseVectorParams`.
    """

    average_words: float | None = None
    k1: float = 1.2
    b: float = 0.75
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def measured(self, points: Sequence[Point], queries: Sequence[TokenVectors] = ()) -> Self:  # noqa: ARG002
        """Returns the stage with the average length of these documents and of a prior, if none was given.

        A collection keeps the average for good, and may begin with a single short note. So these documents count
        together with 100 of 300 words, as long as passages get: an average that is too high costs nothing, but one
        that is too low costs much (``benchmarks/first_documents.py``).

        Raises:
            InputError: If there are none.
        """
        if self.average_words is not None:
            return self
        if not points:
            raise InputError(
                f"{type(self).__name__} needs average_words, or documents to count the words of when it is made."
            )
        splitter = WordSplitter()
        words = sum(len(splitter.split(point.text)) for point in points)
        return replace(self, average_words=(_PRIOR_DOCUMENTS * _PRIOR_WORDS + words) / (_PRIOR_DOCUMENTS + len(points)))

    def sparse_params(self) -> models.SparseVectorParams:
        """Builds Qdrant's parameters of the sparse vector."""
        return models.SparseVectorParams(modifier=models.Modifier.IDF, **self.options)


@dataclass(frozen=True)
class Lexical(_ByWords):
    """Candidates by the words that they share with the query: BM25 over MeCab words, its IDF kept by Qdrant.

    Attributes:
        average_words: Words of an average document. None counts those that are written first, together with a prior.
        k1: How soon more of the same word stops counting.
        b: How much long documents are held back.
        options: For :class:`qdrant_client.models.SparseVectorParams`.
    """

    name: ClassVar[str] = "lexical"

    def encode_points(self, points: Sequence[Point]) -> list[Value]:
        """Encodes each point's text as a sparse vector."""
        return [_sparse(self._encoder.encode_document(point.text)) for point in points]

    def encode_query(self, query: Query) -> Value:
        """Encodes the query's text as a sparse vector.

        Raises:
            InputError: If it has no text.
        """
        return _sparse(self._encoder.encode_query(_text(query)))

    @cached_property
    def _encoder(self) -> LexicalEncoder:
        return LexicalEncoder(1.0 if self.average_words is None else self.average_words, self.k1, self.b)


@dataclass(frozen=True)
class QdrantBM25(_ByWords):
    """Candidates by Qdrant's own BM25, on a server or in Edge: only the text is sent, and words are split there.

    It suits collections that other programs search by words, too. :class:`Lexical` finds more of what MaxSim would
    (``benchmarks/local_stores.py``). Texts are NFKC-normalised before, which Qdrant does not do. There is none in
    local mode.

    Attributes:
        average_words: MeCab words of an average document; Qdrant itself counts .44 for each, because it leaves some
            out. None counts those that are written first.
        k1: How soon more of the same word stops counting.
        b: How much long documents are held back.
        options: For :class:`qdrant_client.models.SparseVectorParams`.
    """

    name: ClassVar[str] = "bm25"

    def encode_points(self, points: Sequence[Point]) -> list[Value]:
        """Returns each point's text, which Qdrant encodes."""
        return [self._document(point.text) for point in points]

    def encode_query(self, query: Query) -> Value:
        """Returns the query's text, which Qdrant encodes.

        Raises:
            InputError: If it has none.
        """
        return self._document(_text(query))

    def _document(self, text: str) -> models.Document:
        average = _QDRANT_WORDS * (1.0 if self.average_words is None else self.average_words)
        config = models.Bm25Config(
            k=self.k1,
            b=self.b,
            avg_len=max(average, 1.0),
            tokenizer=models.TokenizerType.MULTILINGUAL,
            language="japanese",
        )
        plain = config.model_dump(mode="json", exclude_none=True)  # over gRPC the client sends no model of its own
        return models.Document(text=unicodedata.normalize("NFKC", clean(text)), model=BM25_MODEL, options=plain)


@dataclass(frozen=True)
class MeanPooled:
    """Candidates by the mean of the token vectors, in an HNSW graph. Small, and the least accurate.

    Attributes:
        options: For :class:`qdrant_client.models.VectorParams`, such as ``quantization_config``.
    """

    name: ClassVar[str] = "mean"

    options: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def measured(self, points: Sequence[Point], queries: Sequence[TokenVectors] = ()) -> MeanPooled:  # noqa: ARG002
        """Returns the stage itself: there is nothing to measure."""
        return self

    def vector_params(self, dimension: int) -> models.VectorParams:
        """Builds Qdrant's parameters of the vector."""
        return models.VectorParams(**{"size": dimension, "distance": models.Distance.COSINE, **self.options})

    def encode_points(self, points: Sequence[Point]) -> list[Value]:
        """Computes the mean of each point's token vectors."""
        return [_mean(point.vectors).tolist() for point in points]

    def encode_query(self, query: Query) -> Value:
        """Computes the mean of the query's token vectors."""
        mean: list[float] = _mean(query.vectors).tolist()
        return mean


@dataclass(frozen=True)
class FixedDimensional:
    """Candidates by fixed dimensional encodings, whose inner product estimates MaxSim (MUVERA), in an HNSW graph.

    The defaults make encodings of 2,048 floats. Token vectors of a trained model have much in common: hyperplanes
    through the origin have nearly all of them on one side, and tell little. So what they have in common, their mean,
    is taken off first, of documents and of queries, which the paper does not do. These are two means, as a model puts
    queries elsewhere, which it marks, and may fill with [MASK] (``benchmarks/muvera_centers.py``).

    Attributes:
        hyperplanes: Of each repetition; they cut 2 to their number of cells.
        projection: Dimensions that are left of each cell.
        repetitions: How often it is done.
        seed: Decides hyperplanes and projections.
        center: (dimension,) what is taken off of documents. None takes the mean token vector of those that are
            written first; an empty tuple takes off nothing, as in the paper.
        query_center: (dimension,) what is taken off of queries. None takes the mean token vector of the first sentences
            of these documents, encoded as queries, where a model writes into the store; else, and where ``center`` is
            given, ``center``.
        options: For :class:`qdrant_client.models.VectorParams`, such as ``quantization_config``.
    """

    name: ClassVar[str] = "muvera"

    hyperplanes: int = 4
    projection: int = 8
    repetitions: int = 16
    seed: int = 42
    center: tuple[float, ...] | None = None
    query_center: tuple[float, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def measured(self, points: Sequence[Point], queries: Sequence[TokenVectors] = ()) -> FixedDimensional:
        """Returns the stage with the mean token vectors of these documents and queries, if no center was given.

        Args:
            points: Documents.
            queries: (tokens, dimension) each; without any, ``query_center`` stays as it is.

        Raises:
            InputError: If there are no documents.
        """
        if self.center is not None:
            return self
        if not points:
            raise InputError("FixedDimensional needs a center, or documents to take the mean of when it is made.")
        vectors = np.concatenate([point.vectors for point in points])
        if len(vectors) < _FEW_VECTORS:
            warnings.warn(
                f"the center of the first stage 'muvera' is the mean of only {len(vectors)} token vectors, those of "
                "the first documents, and stays so for all that come later. Write a passage or more of ordinary length "
                "first, give a center, or copy the collection with reindex once it has grown.",
                StatisticsWarning,
                stacklevel=4,
            )
        own = self.query_center
        if own is None and queries:
            own = _rounded(np.concatenate(queries))
        return replace(self, center=_rounded(vectors), query_center=own)

    def vector_params(self, dimension: int) -> models.VectorParams:
        """Builds Qdrant's parameters of the vector."""
        size = self._muvera(dimension).size
        return models.VectorParams(**{"size": size, "distance": models.Distance.DOT, **self.options})

    def encode_points(self, points: Sequence[Point]) -> list[Value]:
        """Encodes each point's token vectors as one vector."""
        if not points:
            return []
        encode = self._muvera(points[0].vectors.shape[1]).encode_document
        return list(encode([_less(point.vectors, self.center) for point in points]).tolist())

    def encode_query(self, query: Query) -> Value:
        """Encodes the query's token vectors as one vector."""
        encode = self._muvera(query.vectors.shape[1]).encode_query
        center = self.center if self.query_center is None else self.query_center
        encoding: list[float] = encode(_less(query.vectors, center)).tolist()
        return encoding

    def _muvera(self, dimension: int) -> Muvera:
        if dimension not in self._made:
            self._made[dimension] = Muvera(dimension, self.hyperplanes, self.projection, self.repetitions, self.seed)
        return self._made[dimension]

    @cached_property
    def _made(self) -> dict[int, Muvera]:
        return {}


FirstStage: TypeAlias = Lexical | QdrantBM25 | MeanPooled | FixedDimensional
ByWords: TypeAlias = Lexical | QdrantBM25

_KINDS: dict[str, type[FirstStage]] = {kind.name: kind for kind in (Lexical, QdrantBM25, MeanPooled, FixedDimensional)}


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
    if not point.text.strip() and any(isinstance(stage, ByWords) for stage in stages):
        raise InputError(
            f"point {point.id!r} has no text, which the lexical first stage finds it by. Give Point(text=...), "
            "or make the collection without that stage."
        )


def check_recorded(recorded: Sequence[FirstStage], asked: Sequence[FirstStage], where: str) -> None:
    """Refuses to open a collection with other first stages than it has.

    Raises:
        CollectionLayoutError: If they differ.
    """
    by_name = {stage.name: stage for stage in recorded}
    asked = [_as_measured(stage, by_name.get(stage.name)) for stage in asked]
    if sorted(recorded, key=lambda s: s.name) != sorted(asked, key=lambda s: s.name):
        raise CollectionLayoutError(
            f"{where} finds candidates by {list(recorded) or 'no first stage'}, not by {list(asked) or 'none'}. Open "
            "it with first_stage=None, or index into a new collection."
        )


def _as_measured(asked: FirstStage, recorded: FirstStage | None) -> FirstStage:
    """Fills in what was measured when the collection was created and is not given now."""
    if isinstance(asked, ByWords) and isinstance(recorded, ByWords) and asked.average_words is None:
        return replace(asked, average_words=recorded.average_words)
    if isinstance(asked, FixedDimensional) and isinstance(recorded, FixedDimensional) and asked.center is None:
        own = recorded.query_center if asked.query_center is None else asked.query_center
        return replace(asked, center=recorded.center, query_center=own)
    return asked


def stages_of_names(names: Sequence[str]) -> list[FirstStage]:
    """Builds first stages with their defaults, by name.

    Raises:
        InputError: If there is none of a name.
    """
    if isinstance(names, str) or (unknown := [name for name in names if name not in _KINDS]):
        wrong = names if isinstance(names, str) else unknown
        raise InputError(f"first_stage names {wrong!r}, but expected is a list of some of {', '.join(_KINDS)}.")
    return [_KINDS[name]() for name in names]


def encode_words(stages: Sequence[FirstStage], text: str, where: str) -> tuple[str, Value | None]:
    """Encodes a text as a query for the lexical first stage alone.

    Returns:
        The stage's name, and the value to ask it for; None if the text holds no word.

    Raises:
        UnsupportedModeError: If no stage is lexical.
        InputError: If there is no text.
    """
    stage = next((stage for stage in stages if isinstance(stage, ByWords)), None)
    if stage is None:
        raise UnsupportedModeError(
            f"{where} cannot be searched by words: it finds candidates by {[s.name for s in stages] or 'nothing'}. "
            "Index into a new collection that has a lexical first stage, such as Lexical()."
        )
    value = stage.encode_query(Query(np.empty((0, 0), np.float32), text))
    return stage.name, None if isinstance(value, models.SparseVector) and not value.indices else value


def stage_to_dict(stage: FirstStage) -> dict[str, Any]:
    """Returns what a collection's metadata records: the kind and its parameters, but not Qdrant's own options."""
    values = {f.name: getattr(stage, f.name) for f in fields(stage) if f.name != "options"}
    if values.get("query_center", ()) is None:  # as collections are recorded that were made without a model
        del values["query_center"]
    return {"kind": stage.name, **values}


def stage_from_dict(values: Mapping[str, Any], where: str) -> FirstStage:
    """Reads a recorded first stage.

    Raises:
        StoreFileError: If there is no such kind, or its parameters are not those of this release.
    """
    try:
        given: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items() if n != "kind"}
        return _KINDS[values["kind"]](**given)
    except (KeyError, TypeError) as error:
        raise StoreFileError(
            f"{where} has a first stage that this release cannot read ({error!r}): {values}."
        ) from None


def _text(query: Query) -> str:
    if not query.text.strip():
        raise InputError(
            "the query has no text, which the lexical first stage searches by. Give Query(text=...), or search "
            "with exact=True."
        )
    return query.text


def _less(vectors: TokenVectors, center: tuple[float, ...] | None) -> TokenVectors:
    return vectors - np.asarray(center, np.float32) if center else vectors


def _rounded(vectors: TokenVectors) -> tuple[float, ...]:
    return tuple(round(value, 5) for value in _mean(vectors).tolist())


def _mean(vectors: TokenVectors) -> NDArray[np.float32]:
    mean: NDArray[np.float32] = np.asarray(vectors, np.float32).mean(axis=0)
    return mean


def _sparse(vector: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=list(vector), values=list(vector.values()))
