"""Queries of LlamaIndex's as texts to encode."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from llama_index.core.schema import QueryBundle, QueryType

from ..encoding.encoder import JaColBERT
from ..errors import InputError
from ..types import Query


def as_queries(queries: Iterable[QueryType]) -> list[QueryType]:
    """Returns several queries as a list.

    Raises:
        InputError: If ``queries`` is one query, or one of them is neither a text nor a bundle.
    """
    if isinstance(queries, str | QueryBundle):
        raise InputError(f"expected a list of queries, but got one: {str(queries)!r:.60}. Put it into a list.")
    asked = list(queries) if isinstance(queries, Iterable) else [queries]
    for place, query in enumerate(asked, 1):
        if not isinstance(query, str | QueryBundle):
            raise InputError(
                f"query {place} of {len(asked)} is a {type(query).__name__}, but it must be a string or a QueryBundle."
            )
    return asked


def as_bundles(queries: Iterable[QueryType]) -> list[QueryBundle]:
    """Returns several queries, each as a bundle.

    Raises:
        InputError: If ``queries`` is one query, or one of them is neither a text nor a bundle.
    """
    return [QueryBundle(query) if isinstance(query, str) else query for query in as_queries(queries)]


def query_strings(bundles: Sequence[QueryBundle]) -> list[str]:
    """Returns the queries as they were asked.

    Raises:
        InputError: If one has no text.
    """
    return [own[0] for own in _with_text([[bundle.query_str] for bundle in bundles])]


def search_strings(bundles: Sequence[QueryBundle]) -> list[list[str]]:
    """Returns the texts to search by: each query's, or those that a query transform such as HyDE has put in its place.

    Raises:
        InputError: If a query has no text.
    """
    return _with_text([bundle.embedding_strs for bundle in bundles])


def encode_queries(model: JaColBERT, bundles: Sequence[QueryBundle]) -> list[tuple[Query, int]]:
    """Encodes each query for a store, and returns with it how many texts it consists of.

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
