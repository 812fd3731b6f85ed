"""Where the score of a query and a document comes from, token by token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from ..encoding.encoder import JaColBERT
from ..encoding.pooling import NO_POOLING, Pooling, pipeline_pooling
from ..errors import InputError, NoOffsetsError
from ..text.sentences import Span
from ..text.windows import windows
from ..types import TokenVectors
from .locating import Token, TokenKind, locate_vectors
from .matches import Match

_ROUNDING = 1e-6
KINDS: tuple[TokenKind, ...] = get_args(TokenKind)


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one token of a query adds to the score.

    Attributes:
        token: The query's token; its characters are the query's.
        similarity: The product of its vector with the most similar one of the document, at most 1. It is what the
            token adds. (Where a query is the mean of several texts, it is that part of the product.)
        partners: The tokens of that vector: one, or of a document whose vectors were pooled, all that became one.
            Their characters are the document's.
    """

    token: Token
    similarity: float
    partners: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where the score of a query and a document comes from.

    Attributes:
        query: The query.
        document: The document.
        contributions: What each token of the query adds, in the query's order; [MASK]s and control tokens count as
            words do.
        window: Where the part of the document that was read begins and ends; None if it was read as one, from its
            beginning to what the model reads.
    """

    query: str
    document: str
    contributions: tuple[Contribution, ...]
    window: Span | None = None

    @property
    def score(self) -> float:
        """MaxSim: the sum of all similarities. It is the score that the document is ranked by."""
        return math.fsum(each.similarity for each in self.contributions)

    @property
    def by_kind(self) -> dict[TokenKind, float]:
        """What all tokens of a kind add together."""
        return {
            kind: math.fsum(each.similarity for each in self.contributions if each.token.kind == kind) for kind in KINDS
        }

    @property
    def matches(self) -> list[Match]:
        """The pieces of the document that the query's words matched, in the order of the text.

        Control tokens, markers, prompts and [MASK]s are left out on both sides, and so are pieces that stand for no
        character. Of several of the query's tokens with one partner, the best counts.
        """
        best: dict[Span, float] = {}
        for each in self.contributions:
            if each.token.span is not None:
                for partner in each.partners:
                    if partner.span is not None and partner.span[0] < partner.span[1]:
                        best[partner.span] = max(best.get(partner.span, -math.inf), each.similarity)
        return [Match(start, end, similarity) for (start, end), similarity in sorted(best.items())]

    def as_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON can hold it."""
        contributions = [
            {
                **_told(each.token, self.query),
                "similarity": each.similarity,
                "partners": [_told(partner, self.document) for partner in each.partners],
            }
            for each in self.contributions
        ]
        return {
            "query": self.query,
            "document": self.document,
            "score": self.score,
            "by_kind": self.by_kind,
            "window": self.window,
            "contributions": contributions,
        }


def explain(
    model: JaColBERT,
    query: str | Sequence[str],
    document: str,
    *,
    too_long: Literal["cut", "split"] = "cut",
    window: Span | None = None,
) -> Explanation:
    """Says which token of a document each token of a query matched, and what that adds to the score.

    The sum is the score that :meth:`~jacolbert_integrations.JaColBERT.score` gives, to the rounding of float32; a store
    that keeps vectors with fewer digits gives it with fewer.

    Args:
        model: The model that ranks. If it pools documents, a match is with all tokens of a pooled vector.
        query: The query. Of several texts, such as a query transform makes, it is the mean over them that ranks; each
            token then adds that part of its similarity, and the explanation's query is all of them, line by line.
        document: The document.
        too_long: Of a document of more tokens than the model reads: ``"cut"`` explains its beginning; ``"split"`` cuts
            it into windows of whole sentences, as a writer does, and explains the one of the highest score.
        window: Where the part of the document that was scored begins and ends, in characters, if that is known.

    Raises:
        InputError: If one of the texts is no string, there is no query, or ``too_long`` is neither.
        NoOffsetsError: If the model's tokenizer cannot say where its tokens come from: MeCab's with WordPiece and all
            of the ``tokenizers`` library can. Or if its pooling cannot say which vectors became one.
    """
    if too_long not in ("cut", "split"):
        raise InputError(f"too_long is {too_long!r}, but it must be 'cut' or 'split'.")
    text, vectors, tokens = _query(model, query)
    spans: Sequence[Span | None] = [window]
    if window is None and too_long == "split" and model.document_lengths([document])[0] > model.document_maxlen:
        spans = windows(document, model.document_lengths, model.document_maxlen) or [None]  # of white space alone
    explained = [
        Explanation(text, document, _contributions(model, vectors, tokens, document, span), span) for span in spans
    ]
    return max(explained, key=lambda explanation: explanation.score)


def find_matches(model: JaColBERT, query: str, document: str) -> list[Match]:
    """Finds for each word of the query the piece of the document that MaxSim pairs it with.

    See :attr:`Explanation.matches`. A piece begins and ends with a whole character, and has no white space around it.

    Args:
        model: The model that ranks. If it pools documents, their tokens are matched unpooled all the same, as a pooled
            vector is of no one place in the text.
        query: The query.
        document: The document. Of one that the model cuts, the beginning is matched.

    Returns:
        Matches in the order of the text. Two may overlap, where tokens share a character.

    Raises:
        InputError: If one of the texts is no string.
        NoOffsetsError: If the model's tokenizer cannot say where its tokens come from: MeCab's with WordPiece and all
            of the ``tokenizers`` library can.
    """
    return explain(model.unpooled, query, document).matches


def _query(model: JaColBERT, query: str | Sequence[str]) -> tuple[str, TokenVectors, list[Token]]:
    texts: list[Any] = list(query) if isinstance(query, list | tuple) else [query]
    if not texts:
        raise InputError("there is no query to explain.")
    located = [locate_vectors(model.unpooled, text, "query") for text in texts]
    begins, tokens = 0, list[Token]()
    for text, (_, own) in zip(texts, located, strict=True):
        tokens += [_moved(token, begins) for token in own]
        begins += len(text) + 1
    vectors = np.concatenate([own for own, _ in located])
    return "\n".join(texts), (vectors / len(texts)).astype(np.float32), tokens


def _contributions(
    model: JaColBERT, query: TokenVectors, tokens: Sequence[Token], document: str, window: Span | None
) -> tuple[Contribution, ...]:
    text = document if window is None else document[slice(*window)]
    vectors, members = _vectors(model, text)
    if not len(query) or not len(vectors):
        return ()
    if window is not None:
        members = [tuple(_moved(token, window[0]) for token in each) for each in members]
    products = query @ vectors.T
    similarities = products.max(axis=1)
    # [CLS] and [SEP] may have one vector but for rounding, which differs from processor to processor: then the first
    partners = (products >= similarities[:, None] - _ROUNDING).argmax(axis=1)
    return tuple(
        Contribution(token, float(similarity), members[partner])
        for token, similarity, partner in zip(tokens, similarities, partners, strict=True)
    )


def _vectors(model: JaColBERT, document: str) -> tuple[TokenVectors, list[tuple[Token, ...]]]:
    """Returns the vectors of a document that are ranked, and the tokens of each."""
    vectors, tokens = locate_vectors(model.unpooled, document, "document")
    pooling = _pooling(model)
    if pooling is None:
        return vectors, [(token,) for token in tokens]
    groups = pooling.groups(vectors)
    return pooling.pool([vectors])[0], [tuple(tokens[place] for place in group) for group in groups]


def _pooling(model: JaColBERT) -> Pooling | None:
    own = pipeline_pooling(model.model.children())
    if model.pooling is not None or own == NO_POOLING:
        return model.pooling
    try:
        return Pooling.parse(own)
    except InputError:
        raise NoOffsetsError(
            f"{model.name} pools documents by itself ({own}), in a way that does not say which vectors became one. "
            "Explain the model without its pooling: its .unpooled."
        ) from None


def _moved(token: Token, by: int) -> Token:
    return token if token.span is None else replace(token, span=(token.span[0] + by, token.span[1] + by))


def _told(token: Token, text: str) -> dict[str, Any]:
    characters = None if token.span is None else text[slice(*token.span)]
    return {"piece": token.piece, "kind": token.kind, "span": token.span, "characters": characters}
