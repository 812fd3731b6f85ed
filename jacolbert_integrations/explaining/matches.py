"""Which words of a document a query matched: the part of late interaction that people can see."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from ..encoding.encoder import JaColBERT
from ..encoding.transformer import ColBERTTransformer
from ..errors import TruncationWarning
from ..text.tokenization import JapaneseTokenizer


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

    [MASK] and control tokens are left out on both sides. Of several query tokens with the same
    partner, the best counts.

    Args:
        model: The model that ranks. If it pools documents, their tokens are matched unpooled all the same.
        query: The query.
        document: The document.

    Returns:
        Matches in the order of the text; none where the model's tokenizer cannot say where its
        tokens come from.
    """
    transformer = model.model[0]
    if not isinstance(transformer, ColBERTTransformer) or not isinstance(transformer.text_tokenizer, JapaneseTokenizer):
        return []
    if model.model.prompts.get("query") or model.model.prompts.get("document"):
        return []  # the prompt's tokens would be taken for the text's
    query_ids = transformer.tokenize_texts([query], "query")[0]
    document_ids = transformer.tokenize_texts([document], "document")[0]
    model = model.unpooled  # a pooled vector is of no one place in the text
    first_word = 1 + len(transformer.query_marker_ids)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)  # the ranking has warned of it already
        query_vectors = model.encode_query([query])[0][first_word : query_ids.length - 1]
        document_vectors = model.encode_document([document])[0]
    if not len(query_vectors):
        return []

    skipped = model.skipped_ids
    kept = [place for place, index in enumerate(document_ids.ids) if index not in skipped]
    offset = 1 + len(transformer.document_marker_ids)
    _, spans = transformer.text_tokenizer.encode_with_spans(document)
    spans = spans[: document_ids.length - 1 - offset]

    products = query_vectors @ document_vectors.T
    best: dict[tuple[int, int], float] = {}
    for column, similarity in zip(products.argmax(axis=1), products.max(axis=1), strict=True):
        place = kept[int(column)] - offset
        if 0 <= place < len(spans) and spans[place][0] < spans[place][1]:
            best[spans[place]] = max(best.get(spans[place], -np.inf), float(similarity))
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
