"""Queries of LlamaIndex's as texts to encode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from llama_index.core.schema import QueryBundle, QueryType

from ..encoder import JaColBERT
from ..errors import InputError
from ..types import Query


def as_bundles(queries: Sequence[QueryType]) -> list[QueryBundle]:
    """Several queries, each as a bundle.

    Raises:
        InputError: If ``queries`` is one query.
    """
    if isinstance(queries, str | QueryBundle):
        raise InputError(f"expected a list of queries, but got one: {str(queries)!r:.60}. Put it into a list.")
    return [QueryBundle(query) if isinstance(query, str) else query for query in queries]


def query_strings(bundles: Sequence[QueryBundle]) -> list[str]:
    """The queries as they were asked.

    Raises:
        InputError: If one has no text.
    """
    return [own[0] for own in _with_text([[bundle.query_str] for bundle in bundles])]


def search_strings(bundles: Sequence[QueryBundle]) -> list[list[str]]:
    """The texts to search by: each query's, or those that a query transform such as HyDE has put into its place.

    Raises:
        InputError: If a query has no text.
    """
    return _with_text([bundle.embedding_strs for bundle in bundles])


def encode_queries(model: JaColBERT, bundles: Sequence[QueryBundle]) -> list[tuple[Query, int]]:
    """Each query as stores take it, and of how many texts it is.

    Of several texts, the vectors follow one another: MaxSim is a sum over them, so that the score, divided by their
    number, is the mean over the texts.

    Raises:
        InputError: If a query has no text.
    """
    texts = search_strings(bundles)
    vectors = iter(model.encode_query([text for own in texts for text in own]))
    return [(Query(np.concatenate([next(vectors) for _ in own]), "\n".join(own)), len(own)) for own in texts]


def _with_text(texts: Sequence[Sequence[str]]) -> list[list[str]]:
    kept = [[text for text in own if text.strip()] for own in texts]
    if not all(kept):
        place = kept.index([])
        what = f"query {place + 1} of {len(kept)}" if len(kept) > 1 else "the query"
        raise InputError(f"{what} has no text, so there is nothing to look for.")
    return kept
