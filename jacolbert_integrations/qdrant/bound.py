"""A Qdrant collection and its model: what the collection says of itself, and the conditions that it takes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from threading import Lock
from typing import Any, Concatenate, ParamSpec, TypeVar

from qdrant_client import models

from ..errors import MissingCollectionWarning, StoreError, StoreNotBoundError
from ..stores.addresses import check_collection_name
from ..stores.measuring import StoreModel
from ..stores.model_identity import check_identity, check_vectors
from ..stores.payloads import check_bound, check_ids
from ..text.windows import DOCUMENT_KEY
from ..types import Condition, ModelIdentity
from .answers import address_of, answered, ask
from .clients import Client, client_lock, is_in_process
from .cluster import checked_consistency, create_indexes
from .drift import LengthDrift
from .filters import payload_paths, to_qdrant
from .indexes import (
    Need,
    Schema,
    check_answers,
    checked_indexes,
    index_of,
    missing,
    missing_index_error,
    needs,
    without_blanks,
)
from .points import (
    VERSION_KEY,
    native_id,
    qdrant_id,
)
from .schema import Record, read_record
from .search import SearchOptions
from .stages import FirstStage, NearestCentroids, check_recorded, check_stages, with_centroids
from .strict_mode import StrictMode
from .text_match import PAGE as TEXT_PAGE
from .text_match import holding, text_matches
from .whole_numbers import WholeNumbers

S = TypeVar("S", bound="BoundCollection")
P = ParamSpec("P")
T = TypeVar("T")


def request(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Makes a method hold the client's lock while it runs, and raise errors of this package alone.

    See :func:`~.clients.client_lock` and :func:`~.answers.answered`.
    """

    @wraps(method)
    def asking(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with client_lock(self.client), answered(self.client, self._where):
            return method(self, *args, **kwargs)

    return asking


class BoundCollection:
    """A collection that is told its model; the arguments are those of :class:`~.store.QdrantStore`.

    Attributes:
        model: What first stages use of the model beside its identity: its centroids, and queries that it encodes when
            the collection is made. A writer, and LlamaIndex's classes, set it; None has neither.
    """

    model: StoreModel | None = None

    def __init__(
        self,
        client: Client,
        collection: str,
        *,
        first_stage: FirstStage | Sequence[FirstStage] | None = None,
        search_options: SearchOptions | None = None,
        vector_options: Mapping[str, Any] | None = None,
        shard_key: models.ShardKeySelector | None = None,
        consistency: models.ReadConsistency | str | None = None,
        indexes: Mapping[str, Schema] | None = None,
        create_missing_indexes: bool = False,
        **collection_options: Any,
    ) -> None:
        self.client = client
        self.collection = check_collection_name(collection)
        self.search_options = SearchOptions() if search_options is None else search_options
        self.vector_options = dict(vector_options or {})
        self.shard_key = shard_key
        self.consistency = checked_consistency(consistency)
        self.indexes = checked_indexes(indexes or {})
        self.create_missing_indexes = create_missing_indexes
        self.collection_options = collection_options
        asked = first_stage if first_stage is None or isinstance(first_stage, Sequence) else [first_stage]
        self._asked = None if asked is None else check_stages(asked)
        self._stages = self._asked or ()
        self._identity: ModelIdentity | None = None
        self._native_ids = False
        self._needed = checked_indexes({DOCUMENT_KEY: "keyword"})  # what this package itself filters by
        if not is_in_process(client):
            self._needed |= checked_indexes({VERSION_KEY: "integer"})
        self._there: Mapping[str, models.PayloadIndexInfo] = {}
        self._strict = StrictMode()
        self._whole = WholeNumbers(collection)
        self._prepared = False
        self._has_been_there = self._told_missing = False
        self._drift = LengthDrift()
        self._preparing = Lock()  # a writer encodes and sends in two threads

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.collection!r})"

    @request
    def bind(self, identity: ModelIdentity) -> None:
        """Tells the store which model reads and writes from now on.

        Raises:
            ModelMismatchError: If the collection holds another model's vectors.
            CollectionLayoutError: If it was not created by this package, or has other first stages than asked for.
        """
        check_bound(identity)
        for stage in self._asked or ():
            if isinstance(stage, NearestCentroids):
                stage.check(identity)
        recorded = read_record(self.client, self.collection)
        if recorded is not None:
            check_identity(recorded.identity, identity, self._where)
            if self._asked is not None:
                check_recorded(recorded.stages, self._asked, self._where)
            self._take(recorded)
        self._identity = identity

    def identity(self) -> ModelIdentity | None:
        """Returns the model that the collection records; before it is created, the one that :meth:`bind` named, if any.

        Raises:
            CollectionLayoutError: If the collection was not created by this package.
        """
        recorded = read_record(self.client, self.collection)
        return self._identity if recorded is None else recorded.identity

    @property
    def first_stage(self) -> tuple[FirstStage, ...]:
        """How candidates are found; empty if every search is exact."""
        return self._stages

    def add_indexes(self, indexes: Mapping[str, Schema], *, create_missing: bool = False) -> None:
        """Adds keys that will be filtered by, as ``indexes`` does; what is indexed already stays as it is.

        Args:
            indexes: By key, as what it is indexed.
            create_missing: Whether indexes of other keys are made, too, when strict mode asks for them.

        Raises:
            InputError: If one is no index.
        """
        self._needed |= checked_indexes(indexes)
        self.create_missing_indexes |= create_missing
        self._prepared = False

    @property
    def write_options(self) -> dict[str, Any]:
        """What each request that writes says beside its points; also those that a caller makes itself."""
        return {} if self.shard_key is None else {"shard_key_selector": self.shard_key}

    @property
    def read_options(self) -> dict[str, Any]:
        """What each request that reads says beside its question."""
        return {**self.write_options, **({} if self.consistency is None else {"consistency": self.consistency})}

    @request
    def exists(self) -> bool:
        """Returns whether the collection has been created."""
        return self.client.collection_exists(self.collection)

    def qdrant_ids(self, ids: Sequence[str]) -> list[models.ExtendedPointId]:
        """Returns the ids that points have in Qdrant."""
        return [native_id(i) if self._native_ids else qdrant_id(i) for i in check_ids(ids)]

    @request
    def condition(self, filter: object | None) -> models.Filter | None:
        """Translates a filter into Qdrant's own. For substrings, values of the collection are read.

        Raises:
            UnsupportedFilterError: If it is not one that Qdrant can apply.
            PayloadIndexError: If it lacks an index that strict mode wants, or an index would answer it wrongly.
        """
        self._look()
        return self._condition(filter)

    def _condition(self, filter: object | None, *, updating: bool = False) -> models.Filter | None:
        """Translates a filter for the collection as it was when it was looked at last."""
        condition = to_qdrant(filter, self._find_text, self._paths)
        if condition is not None and (self._strict.indexed_reads or self._strict.indexed_updates):
            condition = without_blanks(condition, self._there)
        needed = list(needs(condition))
        check_answers(needed, self._there, self._where)
        if self._strict.indexed_updates if updating else self._strict.indexed_reads:
            self._require_indexes(needed)
        self._whole.check(self.client, needed, self._there, self.read_options)
        return self._strict.fitted(condition, self._where)

    def _paths(self, key: str) -> list[str]:
        """Returns where what is stored under a key may be; in strict mode, which of these are indexed."""
        paths = payload_paths(key)
        indexed = [path for path in paths if index_of(self._there, path) is not None]
        return indexed if indexed and (self._strict.indexed_reads or self._strict.indexed_updates) else paths

    def _require_indexes(self, needed: Sequence[Need]) -> None:
        """Makes the indexes that strict mode wants, where this store may, or refuses."""
        declared = {**self._needed, **self.indexes}
        while lacking := missing(needed, self._there):
            need = lacking[0]
            schema = declared.get(need.key)
            if schema is None and self.create_missing_indexes:
                schema = models.PayloadSchemaType(need.types[0])
            if schema is None or index_of(self._there, need.key) is not None:  # one of another type is not replaced
                raise missing_index_error(need, self._where, self.collection)
            create_indexes(self.client, self.collection, {need.key: schema})
            self._look()

    def _find_text(self, condition: Condition) -> models.HasIdCondition:
        if not self.exists():
            return models.HasIdCondition(has_id=[])
        if self._strict.indexed_reads:
            self._require_indexes([need for path in self._paths(condition.key) for need in needs(holding(path))])
        page = self._strict.most(TEXT_PAGE)
        return text_matches(
            self.client, self.collection, condition, paths=self._paths(condition.key), page=page, **self.read_options
        )

    @property
    def _where(self) -> str:
        return f"the Qdrant collection {self.collection!r}"

    def _take(self, recorded: Record) -> None:
        """Notes what the collection says of itself."""
        self._stages, self._native_ids = self._with_centroids(recorded.stages), recorded.native_ids
        self._there, self._strict = recorded.indexes, recorded.strict
        self._has_been_there = True

    def _with_centroids(self, stages: tuple[FirstStage, ...]) -> tuple[FirstStage, ...]:
        return with_centroids(
            stages, [*(self._asked or ()), *self._stages], lambda: None if self.model is None else self.model.centroids
        )

    @request
    def _look(self) -> bool:
        """Returns whether the collection exists. Each search looks again: its name may be an alias, which moves."""
        recorded = read_record(self.client, self.collection)
        if recorded is None:
            self._there, self._strict = {}, StrictMode()
            return False
        check_vectors(recorded.identity, self._require_bound(), self._where)
        self._take(recorded)
        return True

    def _look_for_a_search(self) -> bool:
        """Does the same, and says if there is none: a misspelt name must not look like an empty answer."""
        exists = self._look()
        if not exists and not self._told_missing:
            said = "has been deleted" if self._has_been_there else "does not exist (yet?)"
            warnings.warn(
                f"{self._where} {said}, so that searches find nothing. {self._others()}",
                MissingCollectionWarning,
                stacklevel=3,
            )
        self._told_missing = not exists
        return exists

    def _others(self) -> str:
        try:
            names = sorted(found.name for found in ask(self.client, self.client.get_collections).collections)
        except StoreError:  # a key may be for one collection alone
            return f"It was looked for at {address_of(self.client)}."
        if not names:
            return f"There are no collections at {address_of(self.client)}."
        shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        return f"At {address_of(self.client)} there are {shown}."

    def _require_bound(self) -> ModelIdentity:
        if self._identity is None:
            raise StoreNotBoundError(
                f"the store for {self.collection!r} does not know its model yet: call bind(model.identity) first."
            )
        return self._identity
