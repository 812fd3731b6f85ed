"""Models of qdrant-client as those of Qdrant Edge, which has the same ones under its own classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from enum import Enum
from typing import Any

import numpy as np
from pydantic import BaseModel
from qdrant_client import models

from ...errors import InputError, MissingExtraError
from ..stages import BM25_MODEL

try:
    import qdrant_edge as edge
except ImportError:
    raise MissingExtraError("qdrant-edge-py", "edge") from None

__all__ = ["edge", "from_edge_vector", "to_edge", "to_edge_prefetch", "to_edge_query", "to_edge_vector"]

_HNSW_DEFAULTS = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000}  # Qdrant's own; Edge wants all three

_RENAMED: dict[type[BaseModel], str] = {
    models.DatetimeRange: "RangeDateTime",
    models.OptimizersConfigDiff: "EdgeOptimizersConfig",
    models.Range: "RangeFloat",
    models.VectorParams: "EdgeVectorParams",
}

_RENAMED_ENUMS: dict[type[Enum], str] = {models.Datatype: "VectorStorageDatatype"}

_UNKNOWN_TO_EDGE: dict[type[BaseModel], set[str]] = {
    models.OptimizersConfigDiff: {"memmap_threshold", "flush_interval_sec", "max_optimization_threads"},
}


def to_edge(value: Any) -> Any:
    """Converts a model of qdrant-client, with all that it holds, to Edge's.

    Lists and dictionaries are gone through; plain values stay.

    Raises:
        InputError: If Edge has no such thing.
    """
    if isinstance(value, BaseModel):
        special = _SPECIAL.get(type(value))
        return _model(value) if special is None else special(value)
    if isinstance(value, Enum):
        return _enum(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [to_edge(item) for item in value]
    if isinstance(value, Mapping):
        return {key: to_edge(item) for key, item in value.items()}
    return value


def _fields(value: BaseModel) -> dict[str, Any]:
    return {name: given for name in type(value).model_fields if (given := getattr(value, name)) is not None}


def _model(value: BaseModel) -> Any:
    kind = type(value)
    found = getattr(edge, _RENAMED.get(kind, kind.__name__), None)
    given = _fields(value)
    if found is None or given.keys() & _UNKNOWN_TO_EDGE.get(kind, set()):
        raise InputError(f"Qdrant Edge cannot do what {value!r} asks for. Leave it out, or use a Qdrant server.")
    return found(
        **{name: to_edge(field) for name, field in given.items() if name != "type" or "Index" not in str(kind)}
    )


def _enum(value: Enum) -> Any:
    found = getattr(edge, _RENAMED_ENUMS.get(type(value), type(value).__name__), None)
    wanted = str(value.value).replace("_", "").lower()
    for name in dir(found):
        if name.replace("_", "").lower() == wanted:
            return getattr(found, name)
    raise InputError(f"Qdrant Edge has no {value}. Choose another, or use a Qdrant server.")


def _filter(value: models.Filter) -> Any:
    def conditions(given: Any) -> Any:
        return to_edge(given) if given is None or isinstance(given, list) else [to_edge(given)]

    return edge.Filter(
        must=conditions(value.must),
        should=conditions(value.should),
        must_not=conditions(value.must_not),
        min_should=to_edge(value.min_should),
    )


def _field(value: models.FieldCondition) -> Any:
    if isinstance(value.match, models.MatchAny) and not value.match.any:
        return edge.HasIdCondition(set())  # of nothing: Edge has no empty list of values
    return _model(value)


def _match_value(value: models.MatchValue) -> Any:
    # Edge 0.9 reads Python's True as the integer 1, and numpy's as what it is.
    wanted: Any = np.bool_(value.value) if isinstance(value.value, bool) else value.value
    return edge.MatchValue(wanted)


def _match_except(value: models.MatchExcept) -> Any:
    return edge.MatchExcept(value.except_)


def _sparse(value: models.SparseVectorParams) -> Any:
    index = {} if value.index is None else {name: to_edge(field) for name, field in _fields(value.index).items()}
    modifier = None if value.modifier in (None, models.Modifier.NONE) else to_edge(value.modifier)
    return edge.EdgeSparseVectorParams(modifier=modifier, **index)


def _hnsw(value: models.HnswConfigDiff) -> Any:
    return edge.HnswIndexConfig(**{**_HNSW_DEFAULTS, **{n: to_edge(field) for n, field in _fields(value).items()}})


def _fusion(value: models.FusionQuery) -> Any:
    return edge.Fusion.Rrf(k=2) if value.fusion is models.Fusion.RRF else edge.Fusion.Dbsf()  # 2: as the server has it


def _rrf(value: models.RrfQuery) -> Any:
    return edge.Fusion.Rrf(k=2 if value.rrf.k is None else value.rrf.k, weights=value.rrf.weights)


def _order(value: models.OrderBy) -> Any:
    return edge.OrderBy(key=value.key, **({} if value.direction is None else {"direction": to_edge(value.direction)}))


_SPECIAL: dict[type[BaseModel], Callable[[Any], Any]] = {
    models.Filter: _filter,
    models.FieldCondition: _field,
    models.MatchValue: _match_value,
    models.MatchExcept: _match_except,
    models.IsEmptyCondition: lambda value: edge.IsEmptyCondition(value.is_empty.key),
    models.IsNullCondition: lambda value: edge.IsNullCondition(value.is_null.key),
    models.HasIdCondition: lambda value: edge.HasIdCondition(set(value.has_id)),
    models.HasVectorCondition: lambda value: edge.HasVectorCondition(value.has_vector),
    models.NestedCondition: lambda value: edge.NestedCondition(value.nested.key, to_edge(value.nested.filter)),
    models.HnswConfigDiff: _hnsw,
    models.SparseVectorParams: _sparse,
    models.ScalarQuantization: lambda value: _model(value.scalar),
    models.ProductQuantization: lambda value: _model(value.product),
    models.BinaryQuantization: lambda value: _model(value.binary),
    models.TurboQuantization: lambda value: _model(value.turbo),
    models.FusionQuery: _fusion,
    models.RrfQuery: _rrf,
    models.OrderBy: _order,
    models.OrderByQuery: lambda value: _order(value.order_by),
}


def to_edge_vector(vector: Any) -> Any:
    """Converts a vector, or several by name, to lists, which Edge reads in half the time that arrays take."""
    if isinstance(vector, Mapping):
        return {name: to_edge_vector(each) for name, each in vector.items()}
    if isinstance(vector, models.SparseVector):
        return edge.SparseVector(vector.indices, vector.values)
    if isinstance(vector, models.Document):
        return _bm25(vector).embed_document(vector.text)
    return vector.tolist() if isinstance(vector, np.ndarray) else vector


def _bm25(document: models.Document) -> Any:
    """Builds Edge's BM25 for a text, which a server applies by itself."""
    options = document.options
    if isinstance(options, dict):
        options = models.Bm25Config(**options)
    if document.model != BM25_MODEL or options is None:
        raise InputError(f"Qdrant Edge makes vectors of texts by {BM25_MODEL} only, not by {document.model!r}.")
    return edge.Bm25(edge.Bm25Config(**{name: to_edge(field) for name, field in _fields(options).items()}))


def to_edge_query(query: Any, using: str | None) -> Any:
    """Converts the query of a search or a prefetch: nearest vectors, or a fusion.

    Raises:
        InputError: If Edge has no such query.
    """
    if query is None or isinstance(query, models.FusionQuery | models.RrfQuery | models.OrderByQuery):
        return to_edge(query)
    if isinstance(query, models.NearestQuery):
        query = query.nearest
    if isinstance(query, models.Document):
        return edge.Query.Nearest(_bm25(query).embed_query(query.text), using)
    if isinstance(query, np.ndarray | list | models.SparseVector):
        return edge.Query.Nearest(to_edge_vector(query), using)
    raise InputError(f"this client asks Qdrant Edge for vectors and fusions only, not for {query!r}.")


def to_edge_prefetch(prefetch: models.Prefetch | list[models.Prefetch] | None) -> list[Any]:
    """Stages that find candidates, nested ones too."""
    stages = [] if prefetch is None else prefetch if isinstance(prefetch, list) else [prefetch]
    return [
        edge.Prefetch(
            limit=10 if stage.limit is None else stage.limit,
            query=to_edge_query(stage.query, stage.using),
            prefetches=to_edge_prefetch(stage.prefetch),
            params=to_edge(stage.params),
            filter=to_edge(stage.filter),
            score_threshold=stage.score_threshold,
        )
        for stage in stages
    ]


def from_edge_vector(vector: Any) -> Any:
    """Converts a vector that Edge returned to qdrant-client's form."""
    if isinstance(vector, dict):
        return {name: from_edge_vector(each) for name, each in vector.items()}
    if isinstance(vector, edge.SparseVector):
        return models.SparseVector(indices=vector.indices, values=vector.values)
    return vector
