"""Texts that are like queries, for first stages that measure what queries have in common."""

from __future__ import annotations

from collections.abc import Sequence

from ..stores.measuring import StoreModel
from ..text.sentences import sentences
from ..types import TokenVectors
from .stages import FirstStage, FixedDimensional

_MOST = 200
_CHARACTERS = 60


def sample_queries(stages: Sequence[FirstStage], texts: Sequence[str], model: StoreModel | None) -> list[TokenVectors]:
    """Encodes the first sentences of documents as queries, if a first stage measures queries.

    Args:
        stages: The first stages.
        texts: Of documents; blank ones are left out.
        model: Encodes queries; None encodes none.
    """
    measuring = any(isinstance(s, FixedDimensional) and s.center is None and s.query_center is None for s in stages)
    if model is None or not measuring:
        return []
    readable = [text for text in texts if text.strip()][:_MOST]
    return model.encode_query([_beginning(text.strip()) for text in readable]) if readable else []


def _beginning(text: str) -> str:
    _, end = next(sentences(text, 0, len(text)), (0, len(text)))
    return text[: min(end, _CHARACTERS)]
