"""What ranks a corpus when negatives are mined: BM25, a dense model, or a late-interaction model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from ..checkpoints.weights import fingerprint
from ..encoding.configuration import configuration_hash
from ..encoding.encoder import JaColBERT
from ..errors import CheckpointNotFoundError, InputError, VectorError
from ..evaluation.bm25 import BM25
from ..scoring.maxsim import PackedDocuments
from ..types import Scores


class Ranking(NamedTuple):
    """The passages that a ranker puts first for one query.

    Attributes:
        columns: (n,) int64: their positions in the corpus, best first; n is at most the depth asked for.
        scores: (n,) float32, never rising.
        own: The score of the passage that was named beside the query; None if none was.
    """

    columns: NDArray[np.int64]
    scores: NDArray[np.float32]
    own: float | None = None


class Ranker(Protocol):
    """Ranks one fixed corpus, exactly and always in the same way.

    Attributes:
        name: What to call it in reports.
    """

    name: str

    @property
    def passages(self) -> Sequence[str]:
        """The corpus."""
        ...

    @property
    def fingerprint(self) -> str:
        """What, beside the corpus, decides its answers: kind, weights, settings."""
        ...

    def rank(self, queries: Sequence[str], depth: int, own: Sequence[int | None]) -> list[Ranking]:
        """Ranks the best ``depth`` passages of each query; of equal scores, the earlier in the corpus comes first.

        Args:
            queries: The queries.
            depth: How many passages to return at most.
            own: For each query a position in the corpus whose score is wanted too, or None.
        """
        ...


class BM25Ranker:
    """Ranks by BM25 over MeCab words. Passages without a word of the query are not ranked at all.

    Args:
        passages: The corpus.
        k1: How soon more of the same word stops counting.
        b: How much long passages are held back.

    Raises:
        InputError: If the corpus is empty, or one string.
    """

    name = "bm25"

    def __init__(self, passages: Sequence[str], *, k1: float = 1.2, b: float = 0.75) -> None:
        self.passages = check_corpus(passages)
        self._k1, self._b = k1, b

    @property
    def fingerprint(self) -> str:
        """The parameters."""
        return f"bm25 k1={self._k1} b={self._b}"

    @cached_property
    def _index(self) -> BM25:
        return BM25(self.passages, k1=self._k1, b=self._b)

    def rank(self, queries: Sequence[str], depth: int, own: Sequence[int | None]) -> list[Ranking]:
        """Does the same as :meth:`Ranker.rank`.

        Raises:
            MissingExtraError: If the ``evaluation`` extra is not installed.
        """
        rows = (self._index.score([query])[0] for query in queries)  # one row at a time is in memory
        return [_top(row, depth, column, matching=True) for row, column in zip(rows, own, strict=True)]


class DenseRanker:
    """Ranks by the similarity of single vectors, as the model itself defines it, with the model's prompts.

    The similarity is the model's own. The selection is not ``util.semantic_search``: that one keeps
    any of several equal scores, and does not tell how a given passage scored.

    Args:
        model: Any sentence-transformers model, such as ``intfloat/multilingual-e5-base``.
        passages: The corpus; encoded once, when first ranked.
        name: What to call it in reports.
        batch_size: Passages encoded at once.
        show_progress_bar: Of the corpus's encoding.

    Raises:
        InputError: If the corpus is empty, or one string.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        passages: Sequence[str],
        *,
        name: str = "dense",
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
    ) -> None:
        self.model = model
        self.passages = check_corpus(passages)
        self.name = name
        self._batch_size = batch_size
        self._show_progress_bar = show_progress_bar

    @classmethod
    def from_pretrained(cls, name: str, passages: Sequence[str], *, device: str | None = None) -> DenseRanker:
        """Ranks with the model of a directory or hub id.

        Raises:
            CheckpointNotFoundError: If there is no such model.
            InputError: If the corpus is empty, or one string.
        """
        return cls(load_dense(name, device), passages, name=name)

    @cached_property
    def fingerprint(self) -> str:
        """The weights, and what else decides the vectors and their similarity."""
        return dense_fingerprint(self.model)

    @cached_property
    def _documents(self) -> torch.Tensor:
        return self.model.encode_document(
            list(self.passages),
            batch_size=self._batch_size,
            show_progress_bar=self._show_progress_bar,
            convert_to_tensor=True,
        )

    def rank(self, queries: Sequence[str], depth: int, own: Sequence[int | None]) -> list[Ranking]:
        """Does the same as :meth:`Ranker.rank`."""
        vectors = self.model.encode_query(
            list(queries), batch_size=self._batch_size, show_progress_bar=False, convert_to_tensor=True
        )
        with torch.inference_mode():
            scores = self.model.similarity(vectors, self._documents).float().cpu().numpy()
        return [_top(row, depth, column) for row, column in zip(scores, own, strict=True)]


class LateInteractionRanker:
    """Ranks by exact MaxSim.

    The corpus's token vectors stay in memory, on the model's device: 4 bytes a dimension a token.

    Args:
        model: The model.
        passages: The corpus; encoded once, when first ranked.
        show_progress_bar: Of the corpus's encoding.

    Raises:
        InputError: If the corpus is empty, or one string.
    """

    def __init__(self, model: JaColBERT, passages: Sequence[str], *, show_progress_bar: bool | None = None) -> None:
        self.model = model
        self.name = model.name
        self.passages = check_corpus(passages)
        self._show_progress_bar = show_progress_bar

    @property
    def fingerprint(self) -> str:
        """The weights, and the lengths that texts are read to."""
        return late_interaction_fingerprint(self.model)

    @cached_property
    def _documents(self) -> PackedDocuments:
        vectors = self.model.encode_document(self.passages, show_progress_bar=self._show_progress_bar)
        return PackedDocuments(vectors, device=self.model.model.device)

    def rank(self, queries: Sequence[str], depth: int, own: Sequence[int | None]) -> list[Ranking]:
        """Does the same as :meth:`Ranker.rank`."""
        scores = self._documents.score(self.model.encode_query(queries, show_progress_bar=False))
        return [_top(row, depth, column) for row, column in zip(scores, own, strict=True)]


def load_dense(name: str, device: str | None) -> SentenceTransformer:
    """Loads a single-vector model from a directory or the hub.

    Raises:
        CheckpointNotFoundError: If there is none.
    """
    try:
        return SentenceTransformer(name, device=device)
    except OSError as error:
        raise CheckpointNotFoundError(f"there is no model {name!r}: {str(error).splitlines()[0]}") from error


def dense_fingerprint(model: SentenceTransformer) -> str:
    """Describes what decides a single-vector model's similarities: weights, prompts, maximal length."""
    settings = [model.prompts, model.default_prompt_name, model.max_seq_length]
    return f"dense {fingerprint(model.state_dict())} {model.similarity_fn_name} {json.dumps(settings)}"


def late_interaction_fingerprint(model: JaColBERT) -> str:
    """Describes what decides a late-interaction model's scores: weights, configuration and maximal lengths."""
    return (
        f"late-interaction {model.fingerprint} {configuration_hash(model.model)} query_length={model.query_length} "
        f"document_maxlen={model.document_maxlen}"
    )


def check_corpus(passages: Sequence[str]) -> list[str]:
    """Checks the corpus, and returns it as a list.

    Raises:
        InputError: If it is empty, or one string, or something in it is no text.
    """
    if isinstance(passages, str):
        raise InputError(f"expected a list of passages, but got one string: {passages!r:.60}")
    texts = list(passages)
    if not texts:
        raise InputError("there are no passages. Give the corpus.")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"passage {index} is a {type(text).__name__}, but passages are texts.")
    return texts


def digest(rows: Iterable[Sequence[str]]) -> str:
    """Computes the SHA-256 of texts, for a journal's header."""
    value = hashlib.sha256()
    for row in rows:
        value.update(json.dumps(row).encode() + b"\n")
    return value.hexdigest()


def _top(scores: Scores, depth: int, own: int | None, *, matching: bool = False) -> Ranking:
    """Returns the best of one row (passages,) of scores; with ``matching`` only those above 0."""
    if not np.isfinite(scores).all():
        raise VectorError("the similarities of a query hold NaN or infinity: the model's weights are damaged.")
    candidates = np.flatnonzero(scores > 0) if matching else np.arange(len(scores))
    if depth < len(candidates):  # all that tie with the last are kept, so that the order below decides
        candidates = candidates[scores[candidates] >= np.partition(scores[candidates], -depth)[-depth]]
    best = candidates[np.argsort(-scores[candidates], kind="stable")[:depth]]
    return Ranking(best.astype(np.int64), scores[best], None if own is None else float(scores[own]))
