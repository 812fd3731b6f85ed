"""What a store may want of its model beside its identity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ..scoring.centroids import Centroids
from ..types import TokenVectors


class StoreModel(Protocol):
    """What a model does for the first stages of a store."""

    @property
    def centroids(self) -> Centroids | None:
        """The centroids that come with the model; None if none do.

        Raises:
            ModelMismatchError: If they are of other weights.
        """
        ...

    def encode_query(self, texts: Sequence[str], /) -> list[TokenVectors]:
        """Encodes queries, (tokens, dimension) float32 each."""
        ...


@runtime_checkable
class ModelUsing(Protocol):
    """A store that may want to use its model.

    Attributes:
        model: The model; None where only its identity is known.
    """

    model: StoreModel | None
