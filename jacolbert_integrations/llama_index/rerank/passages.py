"""Nodes as token vectors for a reranker: from a cache, from a store, or encoded; and their scores."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from llama_index.core.schema import BaseNode

from ...encoding.encoder import JaColBERT
from ...errors import InputError
from ...stores.payload_text import NODE_KEY
from ...text.windows import SPAN_KEY, Span, windows
from ...types import MultiVectorStore, Payload, TokenVectors
from ..nodes import node_text, to_node
from ..passage_text import PassageText
from ..provenance import ScoredBy
from ..stores import using_store
from .vector_cache import Passage, VectorCache

_METADATA_SHARE = 0.5
"""How much of a window may be metadata that each window repeats; longer metadata are cut as the text is."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What of a node is encoded at once.

    Attributes:
        text: What is encoded.
        span: Where in the node's own text it is from.
        place: Where it is in all that is embedded of the node; None if it is not a part of that, because metadata are
            repeated in it.
    """

    text: str
    span: Span
    place: Span | None


class NodeScore(NamedTuple):
    """The MaxSim of a node.

    Attributes:
        maxsim: Of its best window.
        window: Where in the node that is; None if all of it was read at once.
        by: Who computed it.
    """

    maxsim: float
    window: Span | None
    by: ScoredBy

    @classmethod
    def best(cls, scores: Sequence[float], spans: Sequence[Span], by: ScoredBy) -> NodeScore:
        """Builds it of the scores of a node's windows, and where these are."""
        place = int(np.argmax(scores))
        return cls(scores[place], spans[place] if len(spans) > 1 else None, by)


class PassageEncoder:
    """Turns nodes into passages, and computes no vectors that are there already.

    Args:
        model: Encodes.
        cache: What was computed before.
        store: What was written before; only passages that are read whole are taken from there.
        window_size: Most tokens that are read at once; None is what the model reads.
    """

    def __init__(
        self, model: JaColBERT, cache: VectorCache, store: MultiVectorStore | None, window_size: int | None = None
    ) -> None:
        self._model = model
        self._cache = cache
        self._store = store
        self._limit = model.document_maxlen if window_size is None else window_size

    def encode(self, nodes: Sequence[BaseNode]) -> list[Passage]:
        """Returns the nodes' passages; all that have to be computed are computed in one call.

        Raises:
            InputError: If a node has no text.
        """
        texts = passage_texts(nodes)
        keys = self._keys(texts)
        known = {key: passage for key in dict.fromkeys(keys) if (passage := self._cache.get(key)) is not None}
        missing = {key: place for place, key in enumerate(keys) if key not in known}
        computed = self._compute([nodes[p] for p in missing.values()], [texts[p] for p in missing.values()])
        for key, passage in zip(missing, computed, strict=True):
            known[key] = passage
            self._cache.put(key, passage)
        return [known[key] for key in keys]

    def kept(self, texts: Sequence[PassageText]) -> list[bool]:
        """Returns which texts' vectors are in the cache."""
        return [self._cache.get(key) is not None for key in self._keys(texts)]

    def _keys(self, texts: Sequence[PassageText]) -> list[Hashable]:
        return [(self._made_by, text.digest) for text in texts]

    @cached_property
    def _made_by(self) -> Hashable:
        return replace(self._model.identity, name="", query_length=None), self._limit

    def _compute(self, nodes: Sequence[BaseNode], texts: Sequence[PassageText]) -> list[Passage]:
        if not nodes:
            return []
        pieces = self.pieces(texts)
        stored = self._stored([node if len(own) == 1 else None for node, own in zip(nodes, pieces, strict=True)])
        wanted = [piece.text for own, vectors in zip(pieces, stored, strict=True) if vectors is None for piece in own]
        encoded = iter(self._model.encode_document(wanted) if wanted else [])
        return [
            Passage(
                tuple(next(encoded) for _ in own) if vectors is None else (vectors,),
                tuple(piece.span for piece in own),
            )
            for own, vectors in zip(pieces, stored, strict=True)
        ]

    def pieces(self, texts: Sequence[PassageText]) -> list[list[Piece]]:
        """Returns each text whole, or, where it is too long to be read at once, in windows."""
        fitting = self._model.documents_fit([text.whole for text in texts], self._limit)
        return [
            [Piece(text.whole, (text.offset, text.offset + len(text.body)), (0, len(text.whole)))]
            if fits
            else self._windows(text)
            for text, fits in zip(texts, fitting, strict=True)
        ]

    def _windows(self, text: PassageText) -> list[Piece]:
        lengths, limit = self._model.document_lengths, self._limit
        if lengths([text.head + text.tail])[0] > _METADATA_SHARE * limit:
            spans = windows(text.whole, lengths, limit)
            return [Piece(text.whole[a:b], text.in_node((a, b)), (a, b)) for a, b in spans]

        def with_metadata(parts: Sequence[str]) -> list[int]:
            return lengths([text.head + part + text.tail for part in parts])

        alone = not text.head and not text.tail
        return [
            Piece(
                text.head + text.body[a:b] + text.tail,
                (a + text.offset, b + text.offset),
                (a, b) if alone else None,
            )
            for a, b in windows(text.body, with_metadata, limit)
        ]

    def _stored(self, nodes: Sequence[BaseNode | None]) -> list[TokenVectors | None]:
        """Returns stored vectors of the nodes whose stored text has not changed."""
        ids = list(dict.fromkeys(node.node_id for node in nodes if node is not None))
        if self._store is None or not ids:
            return [None for _ in nodes]
        with using_store(self._store):
            points = self._store.get(ids)
        texts = {i: stored_text(point.payload) for i, point in points.items() if SPAN_KEY not in point.payload}
        return [
            points[node.node_id].vectors if node is not None and texts.get(node.node_id) == node_text(node) else None
            for node in nodes
        ]


def stored_text(payload: Payload) -> str | None:
    """Returns what was embedded of the node that a payload holds; None if it holds none."""
    return node_text(to_node(payload)) if NODE_KEY in payload else None


def passage_texts(nodes: Sequence[BaseNode]) -> list[PassageText]:
    """Returns what is embedded of each node.

    Raises:
        InputError: If a node has no text.
    """
    texts = [PassageText.of(node) for node in nodes]
    if empty := [n.node_id for n, text in zip(nodes, texts, strict=True) if not text.whole.strip()]:
        raise InputError(
            f"{len(empty)} of {len(nodes)} nodes have no text (the first is {empty[0]!r}), so there is nothing to "
            "score them by. Leave them out."
        )
    return texts
