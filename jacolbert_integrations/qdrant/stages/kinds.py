"""Which first stages there are: by name, as a collection records them, and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypeAlias

from ...errors import CollectionLayoutError, InputError, StoreFileError
from ...scoring.centroids import Centroids
from .by_words import ByWords, Lexical, QdrantBM25
from .centroids import NearestCentroids
from .mean import MeanPooled
from .muvera import FixedDimensional

Sparse: TypeAlias = Lexical | QdrantBM25 | NearestCentroids
"""Those that Qdrant keeps as sparse vectors."""

FirstStage: TypeAlias = Sparse | MeanPooled | FixedDimensional

_KINDS: dict[str, type[FirstStage]] = {
    kind.name: kind for kind in (Lexical, NearestCentroids, QdrantBM25, MeanPooled, FixedDimensional)
}

_NOT_RECORDED = ("options", "centroids")


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
    if isinstance(asked, NearestCentroids) and isinstance(recorded, NearestCentroids) and asked.centroids is None:
        wanted = recorded.nprobe if asked.nprobe is None else asked.nprobe
        return replace(asked, fingerprint=asked.fingerprint or recorded.fingerprint, nprobe=wanted)
    return asked


def with_centroids(
    stages: Sequence[FirstStage], given: Sequence[FirstStage], own: Callable[[], Centroids | None]
) -> tuple[FirstStage, ...]:
    """Gives first stages that lack their centroids what is at hand.

    Args:
        stages: First stages, such as a collection records.
        given: Others, which may have the centroids.
        own: Finds those of the model; called only if it has to be.
    """
    found = []
    for stage in stages:
        if isinstance(stage, NearestCentroids) and stage.centroids is None:
            for other in given:
                stage = stage.having(other.centroids) if isinstance(other, NearestCentroids) else stage
            stage = stage.having(own()) if stage.centroids is None else stage
        found.append(stage)
    return tuple(found)


def stages_of_names(names: Sequence[str]) -> list[FirstStage]:
    """Builds first stages with their defaults, by name.

    Raises:
        InputError: If there is none of a name.
    """
    if isinstance(names, str) or (unknown := [name for name in names if name not in _KINDS]):
        wrong = names if isinstance(names, str) else unknown
        raise InputError(f"first_stage names {wrong!r}, but expected is a list of some of {', '.join(_KINDS)}.")
    return [_KINDS[name]() for name in names]


def stage_to_dict(stage: FirstStage) -> dict[str, Any]:
    """Returns what a collection's metadata records: the kind and its parameters, but not Qdrant's own options."""
    values = {f.name: getattr(stage, f.name) for f in fields(stage) if f.name not in _NOT_RECORDED}
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
