"""Nodes as token vectors for a reranker: from a cache, from a store, or encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from llama_index.core.schema import BaseNode

from ...encoding.encoder import JaColBERT
from ...errors import InputError
from ...text.windows import SPAN_KEY, Span, windows
from ...types import MultiVectorStore, TokenVectors
from ..nodes import node_text, to_node
from ..passage_text import PassageText
from ..stores import using_store
from .vector_cache import Passage, VectorCache

_METADATA_SHARE = 0.5
"""How much of a window may be metadata that each window repeats; longer metadata are cut as the text is."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is encoded at once, and where in the node's text it is from."""

    text: str
    span: Span


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
        texts = [PassageText.of(node) for node in nodes]
        if empty := [n.node_id for n, text in zip(nodes, texts, strict=True) if not text.whole.strip()]:
            raise InputError(
                f"{len(empty)} of {len(nodes)} nodes have no text (the first is {empty[0]!r}), so there is nothing to "
                "score them by. Leave them out."
            )
        identity = self._model.identity
        made_by = (replace(identity, name="", query_length=None), self._limit)
        keys = [(made_by, text.digest) for text in texts]
        known = {key: passage for key in dict.fromkeys(keys) if (passage := self._cache.get(key)) is not None}
        missing = {key: place for place, key in enumerate(keys) if key not in known}
        computed = self._compute([nodes[p] for p in missing.values()], [texts[p] for p in missing.values()])
        for key, passage in zip(missing, computed, strict=True):
            known[key] = passage
            self._cache.put(key, passage)
        return [known[key] for key in keys]

    def _compute(self, nodes: Sequence[BaseNode], texts: Sequence[PassageText]) -> list[Passage]:
        if not nodes:
            return []
        pieces = self._pieces(texts)
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

    def _pieces(self, texts: Sequence[PassageText]) -> list[list[_Piece]]:
        """Returns each text whole, or, where it is too long to be read at once, in windows."""
        lengths = self._model.document_lengths([text.whole for text in texts])
        return [
            [_Piece(text.whole, (text.offset, text.offset + len(text.body)))]
            if length <= self._limit
            else self._windows(text)
            for text, length in zip(texts, lengths, strict=True)
        ]

    def _windows(self, text: PassageText) -> list[_Piece]:
        lengths, limit = self._model.document_lengths, self._limit
        if lengths([text.head + text.tail])[0] > _METADATA_SHARE * limit:
            return [_Piece(text.whole[a:b], text.in_node((a, b))) for a, b in windows(text.whole, lengths, limit)]

        def with_metadata(parts: Sequence[str]) -> list[int]:
            return lengths([text.head + part + text.tail for part in parts])

        return [
            _Piece(text.head + text.body[a:b] + text.tail, (a + text.offset, b + text.offset))
            for a, b in windows(text.body, with_metadata, limit)
        ]

    def _stored(self, nodes: Sequence[BaseNode | None]) -> list[TokenVectors | None]:
        """Returns stored vectors of the nodes whose stored text has not changed."""
        ids = list(dict.fromkeys(node.node_id for node in nodes if node is not None))
        if self._store is None or not ids:
            return [None for _ in nodes]
        with using_store(self._store):
            points = self._store.get(ids)
        texts = {
            node_id: node_text(to_node(point.payload))
            for node_id, point in points.items()
            if "_node_content" in point.payload and SPAN_KEY not in point.payload
        }
        return [
            points[node.node_id].vectors if node is not None and texts.get(node.node_id) == node_text(node) else None
            for node in nodes
        ]


def score_passages(
    model: JaColBERT, query: TokenVectors, passages: Sequence[Passage]
) -> list[tuple[float, Span | None]]:
    """Scores each passage by the MaxSim of its best window, and says where that is; None if there is only one."""
    scores = model.score([query], [matrix for passage in passages for matrix in passage.vectors])[0]
    found: list[tuple[float, Span | None]] = []
    first = 0
    for passage in passages:
        own = scores[first : first + len(passage.vectors)]
        best = int(np.argmax(own))
        found.append((float(own[best]), passage.spans[best] if len(passage.spans) > 1 else None))
        first += len(passage.vectors)
    return found
