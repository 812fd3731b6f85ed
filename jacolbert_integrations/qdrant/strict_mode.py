"""Within the caps of a collection in strict mode: how much one request may ask for, and how large a filter may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from qdrant_client import models

from ..errors import InputError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StrictMode:
    """What a collection's strict mode allows; None is no limit. Without strict mode, all is allowed.

    Attributes:
        indexed_reads: Whether what is read may be filtered only by keys that have an index.
        indexed_updates: Whether what is changed may be filtered only by keys that have an index.
        exact: Whether all points may be scored, or counted.
        limit: Most points that a request may ask for.
        upserts: Most points of a request that writes.
        searches: Most searches of a request.
        conditions: Most conditions of a filter.
        condition_size: Most ids or values of a condition.
    """

    indexed_reads: bool = False
    indexed_updates: bool = False
    exact: bool = True
    limit: int | None = None
    upserts: int | None = None
    searches: int | None = None
    conditions: int | None = None
    condition_size: int | None = None

    @classmethod
    def of(cls, config: models.StrictModeConfig | models.StrictModeConfigOutput | None) -> StrictMode:
        """Reads a collection's configuration."""
        if config is None or not config.enabled:
            return cls()
        return cls(
            config.unindexed_filtering_retrieve is False,
            config.unindexed_filtering_update is False,
            config.search_allow_exact is not False,
            config.max_query_limit,
            config.upsert_max_batchsize,
            config.search_max_batchsize,
            config.filter_max_conditions,
            config.condition_max_size,
        )

    def most(self, wanted: int) -> int:
        """Returns how many points a request may ask for, where so many are wanted."""
        return wanted if self.limit is None else min(wanted, self.limit)

    def most_ids(self, wanted: int) -> int:
        """Returns how many ids a request may ask for by name, where so many are wanted."""
        return max(1, self.most(wanted) if self.condition_size is None else min(self.most(wanted), self.condition_size))

    def check_top_k(self, wanted: int, where: str) -> None:
        """Refuses to look for more points than a request may ask for.

        Raises:
            InputError: With both numbers.
        """
        if self.limit is not None and wanted > self.limit:
            raise InputError(
                f"{where} is in strict mode, and returns {self.limit} points at most (max_query_limit), but {wanted} "
                "are asked for (top_k and offset). Ask for fewer, or raise the limit."
            )

    @overload
    def fitted(self, filter: models.Filter, where: str) -> models.Filter: ...

    @overload
    def fitted(self, filter: models.Filter | None, where: str) -> models.Filter | None: ...

    def fitted(self, filter: models.Filter | None, where: str) -> models.Filter | None:
        """Splits conditions that name too many ids or values into several, which together say the same.

        Raises:
            InputError: If there are too many conditions then.
        """
        if filter is None or (self.condition_size is None and self.conditions is None):
            return filter
        found = filter if self.condition_size is None else _fitted(filter, self.condition_size)
        count = _count(found)
        if self.conditions is not None and count > self.conditions:
            raise InputError(
                f"{where} is in strict mode, and takes filters of {self.conditions} conditions at most "
                f"(filter_max_conditions), but this one has {count}. Filter by fewer values, or raise the limit."
            )
        return found


def batched(values: Sequence[T], size: int) -> list[list[T]]:
    """Splits values into lists of at most so many."""
    return [list(values[start : start + size]) for start in range(0, len(values), size)]


def _group(conditions: Any) -> list[Any]:
    if conditions is None:
        return []
    return conditions if isinstance(conditions, list) else [conditions]


def _fitted(filter: models.Filter, size: int) -> models.Filter:
    groups = {name: getattr(filter, name) for name in ("must", "should", "must_not")}
    changed: dict[str, Any] = {
        name: None if given is None else [_fitted_condition(condition, size) for condition in _group(given)]
        for name, given in groups.items()
    }
    if filter.min_should is not None:
        least = [_fitted_condition(condition, size) for condition in filter.min_should.conditions]
        changed["min_should"] = models.MinShould(conditions=least, min_count=filter.min_should.min_count)
    return models.Filter(**changed)


def _fitted_condition(condition: Any, size: int) -> Any:
    if isinstance(condition, models.Filter):
        return _fitted(condition, size)
    if isinstance(condition, models.HasIdCondition) and len(condition.has_id) > size:
        parts: list[Any] = [models.HasIdCondition(has_id=part) for part in batched(condition.has_id, size)]
        return models.Filter(should=parts)
    if isinstance(condition, models.FieldCondition):
        match = condition.match
        if isinstance(match, models.MatchAny) and len(match.any) > size:
            return models.Filter(should=[_with(condition, any=part) for part in batched(match.any, size)])
        if isinstance(match, models.MatchExcept) and len(match.except_) > size:
            return models.Filter(must=[_with(condition, except_=part) for part in batched(match.except_, size)])
    return condition


def _with(condition: models.FieldCondition, **values: Any) -> models.FieldCondition:
    match = models.MatchAny(**values) if "any" in values else models.MatchExcept(**{"except": values["except_"]})
    return condition.model_copy(update={"match": match})


def _count(filter: models.Filter) -> int:
    least = [] if filter.min_should is None else filter.min_should.conditions
    conditions = [*_group(filter.must), *_group(filter.should), *_group(filter.must_not), *least]
    inner = [one.nested.filter if isinstance(one, models.NestedCondition) else one for one in conditions]
    return sum(_count(one) if isinstance(one, models.Filter) else 1 for one in inner)
