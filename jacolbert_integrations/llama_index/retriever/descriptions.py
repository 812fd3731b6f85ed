"""A retriever in plain values: what it does, and with which model, but not over which nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llama_index.core.vector_stores.types import MetadataFilters

from ...encoding.sources import ModelSource
from ...errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieverDescription:
    """What another process needs to make the same retriever over a store of its own.

    Attributes:
        model: Where the model is loaded from.
        similarity_top_k: How many nodes to return.
        score_threshold: The least score that is returned.
        normalize_scores: Whether a score is a mean, and not a sum.
        explain: Whether scores are explained.
        filters: LlamaIndex's filters. A store's own cannot be described.
    """

    model: ModelSource
    similarity_top_k: int
    score_threshold: float | None
    normalize_scores: bool
    explain: bool
    filters: MetadataFilters | None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], name: str) -> RetrieverDescription:
        """Reads what :meth:`to_dict` wrote.

        Args:
            data: The description.
            name: What kind of retriever is expected.

        Raises:
            InputError: If something is missing from it.
        """
        try:
            filters = data["filters"]
            return cls(
                model=ModelSource(**data["model"]),
                similarity_top_k=data["similarity_top_k"],
                score_threshold=data["score_threshold"],
                normalize_scores=bool(data.get("normalize_scores", False)),  # what was described before has neither
                explain=bool(data.get("explain", False)),
                filters=None if filters is None else MetadataFilters.model_validate(filters),
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"this is no description of a {name}, as to_dict makes them: {error}.") from None

    def to_dict(self) -> dict[str, Any]:
        """Returns the description as JSON-serialisable values."""
        return {
            "model": self.model.to_dict(),
            **self.options,
            "filters": None if self.filters is None else self.filters.model_dump(mode="json"),
        }

    @property
    def options(self) -> dict[str, Any]:
        """The retriever's numbers and switches."""
        return {
            "similarity_top_k": self.similarity_top_k,
            "score_threshold": self.score_threshold,
            "normalize_scores": self.normalize_scores,
            "explain": self.explain,
        }


def describable(filters: object | None) -> MetadataFilters | None:
    """Filters that can be written down.

    Raises:
        InputError: If they are a store's own.
    """
    if filters is None or isinstance(filters, MetadataFilters):
        return filters
    raise InputError(
        f"filters is a {type(filters).__name__}, which only its store understands. Describe a retriever with "
        "MetadataFilters, or without filters."
    )
