"""How long a benchmark's queries are for a model, and what each query-length rule makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from ..encoding.encoder import JaColBERT
from ..errors import InputError
from ..query_length import QUERY_LENGTHS, padded_query_length


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLengths:
    """How long queries are for a model.

    Attributes:
        tokens: Of each query, control tokens included, before any cut and without [MASK]s.
        maxlen: What each rule cuts queries to, if they are longer.
        vectors: How many vectors a query has by each rule, on average.
    """

    tokens: tuple[int, ...]
    maxlen: Mapping[str, int]
    vectors: Mapping[str, float]

    @classmethod
    def of(cls, model: JaColBERT, queries: Sequence[str]) -> QueryLengths:
        """Counts the tokens of queries.

        Args:
            model: The model. One that makes its queries in its own way has no rules.
            queries: The texts.
        """
        tokens = model.query_lengths(queries)
        maxlen: dict[str, int] = {}
        vectors: dict[str, float] = {}
        for rule in QUERY_LENGTHS:
            try:
                most = model.with_query_length(rule).query_maxlen
            except InputError:
                break
            maxlen[rule] = most
            vectors[rule] = mean(min(padded_query_length(min(n, most), rule, most), most) for n in tokens)
        return cls(tokens=tuple(tokens), maxlen=maxlen, vectors=vectors)

    def cut(self, rule: str) -> float:
        """Returns the share of queries that a rule cuts."""
        return mean(length > self.maxlen[rule] for length in self.tokens)
