"""First stages by the words that documents share with the query: BM25, ours and Qdrant's."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from qdrant_client import models

from ...errors import InputError, UnsupportedModeError
from ...text.cleaning import clean
from ...text.lexical import LexicalEncoder, SparseVector
from ...text.tokenization import WordSplitter
from ...types import Point, Query, TokenVectors
from .values import Value

if TYPE_CHECKING:
    from typing_extensions import Self

BM25_MODEL = "qdrant/bm25"
"""The name of Qdrant's own BM25, where it computes vectors by itself."""

_PRIOR_DOCUMENTS = 100
_PRIOR_WORDS = 300.0

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

    def size_of(self, point: Point) -> int:
        """Returns about how many numbers are sent of a point: two a word, which is two characters or more."""
        return len(point.text)


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


ByWords: TypeAlias = Lexical | QdrantBM25


def check_text(point: Point, stages: Sequence[object]) -> None:
    """Refuses a point that a lexical first stage could not find.

    Raises:
        InputError: If it has no text.
    """
    if not point.text.strip() and any(isinstance(stage, ByWords) for stage in stages):
        raise InputError(
            f"point {point.id!r} has no text, which the lexical first stage finds it by. Give Point(text=...), "
            "or make the collection without that stage."
        )


def encode_words(stages: Sequence[Any], text: str, where: str) -> tuple[str, Value | None]:
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


def _text(query: Query) -> str:
    if not query.text.strip():
        raise InputError(
            "the query has no text, which the lexical first stage searches by. Give Query(text=...), or search "
            "with exact=True."
        )
    return query.text


def _sparse(vector: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=list(vector), values=list(vector.values()))
