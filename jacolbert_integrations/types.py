"""What the core, the stores and the adapters say to each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .query_length import QueryLength

TokenVectors: TypeAlias = NDArray[np.float32]
"""One text: (tokens, dimension), one row per token."""

Scores: TypeAlias = NDArray[np.float32]
"""(queries, documents)."""

Payload: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Point:
    """A document on its way into a store, or out of it.

    Attributes:
        id: Any string; the same id replaces the point.
        vectors: (tokens, dimension) float32.
        payload: JSON-serialisable values, for filters and for the caller.
        text: What the vectors were made from, for a lexical first stage. A store need not keep it.
    """

    id: str
    vectors: TokenVectors = field(repr=False)
    payload: Payload = field(default_factory=dict)
    text: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Document:
    """A text on its way into a store, before it is encoded.

    Attributes:
        id: Any string; the same id replaces the document.
        text: What is encoded.
        payload: JSON-serialisable values, for filters and for the caller.
    """

    id: str
    text: str = field(repr=False)
    payload: Payload = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that a search found.

    Attributes:
        id: The id that the point was stored under.
        score: MaxSim with the query: the sum over its tokens of the best similarity.
        payload: What was stored with the point.
    """

    id: str
    score: float
    payload: Payload = field(default_factory=dict)


class Hits(list[Hit]):
    """What a search found, best first.

    Attributes:
        approximate: Whether candidates were chosen by something other than MaxSim, so that a better document
            may have been missed. The scores of those that are here are MaxSim all the same.
    """

    def __init__(self, hits: Iterable[Hit] = (), *, approximate: bool = False) -> None:
        super().__init__(hits)
        self.approximate = approximate

    def normalized(self, query: Query) -> Hits:
        """Returns the hits with the mean similarity of the query's vectors, at most 1, in place of their sum.

        MaxSim grows with the length of the query; its mean does not, so that one threshold suits all queries.

        Args:
            query: What was searched for.
        """
        count = max(len(query.vectors), 1)
        return Hits((Hit(hit.id, hit.score / count, hit.payload) for hit in self), approximate=self.approximate)


@dataclass(frozen=True, slots=True)
class Query:
    """A query as a store gets it: its token vectors, and its text for a lexical first stage.

    Attributes:
        vectors: (tokens, dimension) float32.
        text: The text that they were made from.
    """

    vectors: TokenVectors = field(repr=False)
    text: str = ""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """What made the vectors of a collection.

    Attributes:
        name: The checkpoint's hub id or folder name; informative only.
        fingerprint: SHA-256 over the weights, independent of layout and run-time dtype.
        dimension: Length of a token vector.
        document_maxlen: Most tokens of a document.
        pooling: How token vectors were pooled ("none" if they were not).
        query_length: The query-length rule; it changes no stored vector.
        configuration: SHA-256 over what else decides vectors: tokenizer, markers, skipped tokens, activations
            (:func:`~jacolbert_integrations.encoding.configuration.configuration_hash`). None where it was not
            recorded, as in collections of earlier versions.
        precision: ``"int8"`` if vectors were computed with 8-bit integers, else None. It is informative: such vectors
            can be compared with others of the model.
    """

    name: str
    fingerprint: str
    dimension: int
    document_maxlen: int
    pooling: str = "none"
    query_length: QueryLength | None = None
    configuration: str | None = None
    precision: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the values as JSON-serialisable ones."""
        return asdict(self)


Operator = Literal[
    "==", "!=", ">", ">=", "<", "<=", "in", "not in", "contains", "any", "all", "is_empty",
    "text_match", "text_match_insensitive",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of a payload value, understood by every store.

    Attributes:
        key: The payload key.
        operator: ``contains``: the stored list holds the value. ``any`` / ``all``: it shares one of,
            or holds all of, the values. ``is_empty``: the key is missing, None or an empty list.
            ``text_match``: the value is a part of the stored string; ``text_match_insensitive``: after both
            are in lower case. ``>`` and its like compare numbers, and dates in ISO 8601, which are UTC where they
            name no zone.
        value: What to compare with.
    """

    key: str
    operator: Operator
    value: Any = None


@dataclass(frozen=True, slots=True)
class WithIds:
    """Passes the points of these ids, and no other.

    Attributes:
        ids: As they were given when the points were stored.
    """

    ids: Collection[str]


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions joined by ``and``, ``or`` or ``not`` (none of them may hold); filters nest.

    A store also takes its host's own filter objects; this one lets an adapter ask for the same
    thing of any store.
    """

    conditions: Sequence[Condition | WithIds | Filter]
    how: Literal["and", "or", "not"] = "and"


@runtime_checkable
class MultiVectorStore(Protocol):
    """Keeps documents as token vectors and ranks them by exact MaxSim.

    A store answers to one model: :meth:`bind` names it, and every method but :meth:`identity` and
    :meth:`exists` wants that first.
    """

    def identity(self) -> ModelIdentity | None:
        """Returns the model that made what is stored; if nothing is, the one that :meth:`bind` named; else None."""
        ...

    def bind(self, identity: ModelIdentity) -> None:
        """Tells the store which model reads and writes from now on.

        Raises:
            ModelMismatchError: If the store holds another model's vectors. Nothing is changed.
        """
        ...

    def checked(self, points: Sequence[Point]) -> list[Point]:
        """Checks points, and returns them as :meth:`upsert` would write them, of a repeated id the last.

        Raises:
            InputError: If one cannot be written.
        """
        ...

    def upsert(self, points: Iterable[Point]) -> int:
        """Adds points, replacing those of the same id.

        All points are checked before the first is written.

        Returns:
            How many were given.

        Raises:
            VectorError: If vectors are empty, of another dimension, not finite, or all zero.
        """
        ...

    def search(self, query: Query, *, top_k: int, filter: object | None = None) -> list[Hit]:
        """Finds the best documents, highest MaxSim first.

        Args:
            query: The query.
            top_k: How many to return at most; at least 1.
            filter: A :class:`Filter`, or the host's own filter object.
        """
        ...

    def delete(self, ids: Iterable[str] | None = None, *, filter: object | None = None) -> None:
        """Removes points: by id, or all that pass a filter. Unknown ids are ignored.

        Raises:
            InputError: If neither is given, or both.
        """
        ...

    def count(self, *, filter: object | None = None) -> int:
        """Counts the points, or those that pass the filter."""
        ...

    def exists(self) -> bool:
        """Returns whether anything has been created for this store yet."""
        ...

    def get(self, ids: Sequence[str], *, with_vectors: bool = True) -> dict[str, Point]:
        """Returns stored points by id; unknown ids are left out.

        Args:
            ids: Of the points.
            with_vectors: False reads none, which is quicker: each point then has a matrix without rows.
        """
        ...

    def contains(self, ids: Sequence[str]) -> set[str]:
        """Returns which of the ids are stored; no vectors are read."""
        ...

    def points(self, *, filter: object | None = None, with_vectors: bool = True) -> Iterator[Point]:
        """Yields all points, or those that pass the filter; only some are in memory at a time.

        They come in any order, and each exactly once if nothing is written meanwhile.

        Args:
            filter: A :class:`Filter`, or the host's own filter object.
            with_vectors: False reads none, which is quicker: each point then has a matrix without rows.
        """
        ...


@runtime_checkable
class DenseSearch(Protocol):
    """What a store can also be: one that can leave words out of how it finds candidates for MaxSim."""

    def search_dense(self, query: Query, *, top_k: int, filter: object | None = None) -> list[Hit]:
        """Finds the best documents, highest MaxSim first; whether they share words with the query plays no part.

        Args:
            query: The query.
            top_k: How many to return at most; at least 1.
            filter: A :class:`Filter`, or the host's own filter object.
        """
        ...


@runtime_checkable
class IndexedPayload(Protocol):
    """What a store can also be: one that has indexes over keys of payloads, and may refuse filters without them."""

    def add_indexes(self, indexes: Mapping[str, str], *, create_missing: bool = False) -> None:
        """Adds keys that will be filtered by. Their indexes are made before the next write, and where one is needed.

        Args:
            indexes: By key, as what it is indexed: ``"keyword"``, ``"integer"``, ``"float"``, ``"bool"``,
                ``"datetime"``. What is indexed already stays as it is.
            create_missing: Whether indexes of other keys are made, too, when a filter lacks one.
        """
        ...


@runtime_checkable
class DocumentReplacing(Protocol):
    """What a store can also be: one in which several writers may replace the same document at once."""

    def replace_documents(self, points: Iterable[Point], documents: Collection[str]) -> None:
        """Adds all points of some documents, and removes what else is stored of these: windows of earlier versions.

        Args:
            points: The documents, or their windows.
            documents: Their ids.
        """
        ...


@runtime_checkable
class WordSearch(Protocol):
    """What a store can also be: one that ranks by words, without token vectors."""

    def search_words(self, text: str, *, top_k: int, filter: object | None = None) -> list[Hit]:
        """Finds the documents that share words with the text, highest BM25 first; the score of a hit is its BM25.

        Args:
            text: The query.
            top_k: How many to return at most; at least 1.
            filter: A :class:`Filter`, or the host's own filter object.

        Raises:
            UnsupportedModeError: If what is stored was not prepared for that.
        """
        ...


@runtime_checkable
class ScoresById(Protocol):
    """What a store can also be: one that scores documents that are named, so that no vector has to leave it."""

    def score(self, query: Query, ids: Sequence[str]) -> dict[str, Hit]:
        """Scores stored documents by exact MaxSim, whatever else finds candidates; unknown ids are left out.

        Args:
            query: The query.
            ids: Of the documents.

        Returns:
            By id, in the order of the ids.
        """
        ...


@runtime_checkable
class ComparesById(Protocol):
    """What a store can also be: one that compares documents that are named, so that no vector has to leave it."""

    def similarities(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[dict[str, float]] | None:
        """Computes MaxSim of stored documents, as queries, with stored documents.

        Args:
            asked: The id of each document that is a query, and the ids of those that it is compared with.

        Returns:
            For each query, scores by id; a document's with itself, too, where it is among those that it is compared
            with. What is not stored is left out. None where nothing is computed: who asks then reads the vectors.
        """
        ...
