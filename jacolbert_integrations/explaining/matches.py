"""Which words of a document a query matched: the part of late interaction that people can see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..encoding.encoder import JaColBERT
from ..text.sentences import Span
from .locating import locate_vectors


@dataclass(frozen=True, slots=True)
class Match:
    """A piece of a document that is the best match of a query's token.

    Attributes:
        start: Where it begins in the document's text.
        end: Where it ends.
        similarity: The product of the two vectors, at most 1.
    """

    start: int
    end: int
    similarity: float


def find_matches(model: JaColBERT, query: str, document: str) -> list[Match]:
    """Finds for each word of the query the piece of the document that MaxSim pairs it with.

    Control tokens, markers, prompts and [MASK] tokens are left out on both sides, and so are pieces that stand for no
    character, such as a lone ▁. Of several query tokens with the same partner, the best counts. A piece begins and ends
    with a whole character, and has no white space around it.

    Args:
        model: The model that ranks. If it pools documents, their tokens are matched unpooled all the same.
        query: The query.
        document: The document. Of one that the model cuts, the beginning is matched.

    Returns:
        Matches in the order of the text. Two may overlap, where tokens share a character.

    Raises:
        InputError: If one of the texts is no string.
        NoOffsetsError: If the model's tokenizer cannot say where its tokens come from: MeCab's with WordPiece and all
            of the ``tokenizers`` library can.
    """
    model = model.unpooled  # a pooled vector is of no one place in the text
    query_vectors, query_spans = locate_vectors(model, query, "query")
    document_vectors, document_spans = locate_vectors(model, document, "document")
    words = query_vectors[np.array([span is not None for span in query_spans], bool)]
    if not len(words) or not len(document_vectors):
        return []
    products = words @ document_vectors.T
    best: dict[Span, float] = {}
    for column, similarity in zip(products.argmax(axis=1), products.max(axis=1), strict=True):
        span = document_spans[int(column)]
        if span is not None and span[0] < span[1]:
            best[span] = max(best.get(span, -np.inf), float(similarity))
    return [Match(start, end, similarity) for (start, end), similarity in sorted(best.items())]


def highlight(
    text: str, matches: list[Match], *, at_least: float = 0.5, opening: str = "【", closing: str = "】"
) -> str:
    """Marks the matched pieces of the text.

    Args:
        text: The document that the matches are of.
        matches: From :func:`find_matches`.
        at_least: Weaker matches stay unmarked.
        opening: Put before a matched piece; neighbours are marked as one.
        closing: Put after it.
    """
    marked = np.zeros(len(text) + 1, bool)
    for match in matches:
        if match.similarity >= at_least:
            marked[match.start : match.end] = True
    pieces: list[str] = []
    inside = False
    for index, character in enumerate(text):
        if marked[index] != inside:
            pieces.append(closing if inside else opening)
            inside = not inside
        pieces.append(character)
    return "".join(pieces) + (closing if inside else "")
