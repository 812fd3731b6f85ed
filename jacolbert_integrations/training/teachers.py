"""Teachers: what scores the passages that a student learns to rank.

JaColBERTv2.5 distils from
BAAI/bge-reranker-v2-m3, with the scores min-max normalised per query (arXiv 2407.20750).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from ..checkpoints.weights import fingerprint
from ..encoding.encoder import JaColBERT
from ..errors import CheckpointNotFoundError, InputError, TeacherError, TrainingDataError, TruncationWarning
from ..evaluation.bm25 import BM25
from ..scoring.maxsim import maxsim
from .data.examples import read_examples
from .rankers import check_corpus, dense_fingerprint, digest, late_interaction_fingerprint, load_dense

DEFAULT_CROSS_ENCODER = "BAAI/bge-reranker-v2-m3"
"""JaColBERTv2.5's teacher, the best of those that its authors compared."""

Pair: TypeAlias = tuple[str, str]
"""A query and a passage."""


class Teacher(Protocol):
    """Scores pairs of a query and a passage; only scores of one query are ever compared.

    Attributes:
        name: What to call it in reports.
    """

    name: str

    @property
    def fingerprint(self) -> str:
        """What decides its scores: kind, weights, settings."""
        ...

    def score(self, pairs: Sequence[Pair]) -> Sequence[float]:
        """Scores each pair; the higher, the better the passage answers the query."""
        ...


class CrossEncoderTeacher:
    """Scores pairs with a cross-encoder that has one output.

    Args:
        model: A sentence-transformers ``CrossEncoder``, or the directory or hub id of one.
        activation: ``"identity"`` gives logits. ``CrossEncoder.predict`` itself applies a sigmoid to
            most models of one output, which rounds good passages to 1 and bad ones to 0: after it,
            differences among the negatives, which a student is to learn, are all but gone.
        batch_size: Pairs of a forward pass.
        device: Of a model that is loaded here, as in sentence-transformers.

    Raises:
        CheckpointNotFoundError: If there is no such model.
        InputError: If it has more than one output, or ``activation`` is none.
    """

    def __init__(
        self,
        model: CrossEncoder | str | Path = DEFAULT_CROSS_ENCODER,
        *,
        activation: Literal["identity", "sigmoid"] = "identity",
        batch_size: int = 32,
        device: str | None = None,
    ) -> None:
        if activation not in ("identity", "sigmoid"):
            raise InputError(f"activation is {activation!r}, but it must be 'identity' or 'sigmoid'.")
        self.name = "cross-encoder" if isinstance(model, CrossEncoder) else str(model)
        self.model = model if isinstance(model, CrossEncoder) else _load_cross_encoder(str(model), device)
        if self.model.num_labels != 1:
            raise InputError(
                f"{self.name} has {self.model.num_labels} outputs, but a teacher has one, the relevance. "
                "Give a reranker, no classifier."
            )
        self._activation: Literal["identity", "sigmoid"] = activation
        self._batch_size = batch_size

    @cached_property
    def fingerprint(self) -> str:
        """The weights, and what else decides the scores."""
        settings = [self.model.prompts, self.model.default_prompt_name, self.model.max_seq_length]
        return f"cross-encoder {fingerprint(self.model.state_dict())} {self._activation} {json.dumps(settings)}"

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Does the same as :meth:`Teacher.score`."""
        scores = self.model.predict(
            list(pairs),
            batch_size=self._batch_size,
            show_progress_bar=False,
            activation_fn=torch.nn.Identity() if self._activation == "identity" else torch.nn.Sigmoid(),
        )
        return [float(score) for score in scores]


class DenseTeacher:
    """Scores pairs by the similarity of single vectors, as the model itself defines it, with the model's prompts.

    Args:
        model: Any sentence-transformers model, such as ``intfloat/multilingual-e5-base``.
        name: What to call it in reports.
        batch_size: Texts encoded at once.
    """

    def __init__(self, model: SentenceTransformer, *, name: str = "dense", batch_size: int = 32) -> None:
        self.model = model
        self.name = name
        self._batch_size = batch_size

    @classmethod
    def from_pretrained(cls, name: str, *, device: str | None = None) -> DenseTeacher:
        """Scores with the model of a directory or hub id.

        Raises:
            CheckpointNotFoundError: If there is no such model.
        """
        return cls(load_dense(name, device), name=name)

    @cached_property
    def fingerprint(self) -> str:
        """The weights, and what else decides the vectors and their similarity."""
        return dense_fingerprint(self.model)

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Does the same as :meth:`Teacher.score`; a text that occurs in several pairs is encoded once."""
        queries = {query: row for row, query in enumerate(dict.fromkeys(query for query, _ in pairs))}
        passages = {passage: row for row, passage in enumerate(dict.fromkeys(passage for _, passage in pairs))}
        query_vectors = self.model.encode_query(
            list(queries), batch_size=self._batch_size, show_progress_bar=False, convert_to_tensor=True
        )[[queries[query] for query, _ in pairs]]
        vectors = self.model.encode_document(
            list(passages), batch_size=self._batch_size, show_progress_bar=False, convert_to_tensor=True
        )[[passages[passage] for _, passage in pairs]]
        scores: list[float] = self.model.similarity_pairwise(query_vectors, vectors).float().tolist()
        return scores


class LateInteractionTeacher:
    """Scores pairs by MaxSim.

    Args:
        model: The model.
    """

    def __init__(self, model: JaColBERT) -> None:
        self.model = model
        self.name = model.name
        self._told = False

    @property
    def fingerprint(self) -> str:
        """The weights, and the lengths that texts are read to."""
        return late_interaction_fingerprint(self.model)

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Does the same as :meth:`Teacher.score`; a text that occurs in several pairs is encoded once.

        Warns:
            TruncationWarning: The first time that texts are longer than the model reads.
        """
        queries = list(dict.fromkeys(query for query, _ in pairs))
        passages = list(dict.fromkeys(passage for _, passage in pairs))
        with self._one_truncation_warning():
            query_vectors = dict(zip(queries, self.model.encode_query(queries, show_progress_bar=False), strict=True))
            encoded = self.model.encode_document(passages, show_progress_bar=False)
        passage_vectors = dict(zip(passages, encoded, strict=True))
        scores: list[float] = []
        for query, group in groupby(pairs, key=itemgetter(0)):
            documents = [passage_vectors[passage] for _, passage in group]
            scores += maxsim([query_vectors[query]], documents, device=self.model.model.device)[0].tolist()
        return scores

    @contextmanager
    def _one_truncation_warning(self) -> Iterator[None]:
        """Suppresses all but one truncation warning: every batch has long passages."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for warning in caught:
            cut = issubclass(warning.category, TruncationWarning)
            if not (cut and self._told):
                self._told = self._told or cut
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


class BM25Teacher:
    """Scores pairs by BM25 over MeCab words, with the word statistics of a corpus.

    Args:
        passages: The corpus: every passage that will be scored, and any others.
        k1: How soon more of the same word stops counting.
        b: How much long passages are held back.

    Raises:
        InputError: If the corpus is empty, or one string.
        MissingExtraError: If the ``evaluation`` extra is not installed.
    """

    name = "bm25"

    def __init__(self, passages: Sequence[str], *, k1: float = 1.2, b: float = 0.75) -> None:
        texts = check_corpus(passages)
        self._index = BM25(texts, k1=k1, b=b)
        self._column = {text: column for column, text in enumerate(texts)}
        self.fingerprint = f"bm25 k1={k1} b={b} {digest([text] for text in texts)}"

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Does the same as :meth:`Teacher.score`.

        Raises:
            TeacherError: If a passage is not in the corpus.
        """
        scores: list[float] = []
        for query, group in groupby(pairs, key=itemgetter(0)):
            row = self._index.score([query])[0]
            for _, passage in group:
                if passage not in self._column:
                    raise TeacherError(
                        f"the passage {passage!r:.60} is not among the {len(self._column)} that BM25 has the words of. "
                        "Give the teacher a corpus with every passage that it is to score."
                    )
                scores.append(float(row[self._column[passage]]))
        return scores


class PrecomputedTeacher:
    """Scores that are known already.

    Args:
        scores: (query, passage) to score.
        name: What to call it in reports.
    """

    def __init__(self, scores: Mapping[Pair, float], *, name: str = "precomputed") -> None:
        self.name = name
        self._scores = dict(scores)

    @classmethod
    def from_file(cls, file: str | Path) -> PrecomputedTeacher:
        """Reads a file of examples with scores (:func:`~jacolbert_integrations.training.data.examples.read_examples`).

        Raises:
            TrainingDataError: If the file cannot be read, an example has no scores, or two give one pair
                different scores.
        """
        scores: dict[Pair, float] = {}
        for number, example in enumerate(read_examples(file), 1):
            if example.scores is None:
                raise TrainingDataError(f"example {number} of {file} has no scores. Give each passage one.")
            for passage, score in zip(example.passages, example.scores, strict=True):
                known = scores.setdefault((example.query, passage), score)
                if known != score:
                    raise TrainingDataError(
                        f"example {number} of {file} gives the passage {passage!r:.40} the score {score}, but an "
                        f"earlier one gives it {known} for the same query. Leave one of them."
                    )
        return cls(scores, name=Path(file).name)

    @cached_property
    def fingerprint(self) -> str:
        """The scores."""
        return f"precomputed {digest((q, p, repr(score)) for (q, p), score in sorted(self._scores.items()))}"

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Does the same as :meth:`Teacher.score`.

        Raises:
            TeacherError: If a pair has no score.
        """
        missing = [pair for pair in pairs if pair not in self._scores]
        if missing:
            raise TeacherError(
                f"{self.name} has no score for {len(missing)} of {len(pairs)} pairs, first for the query "
                f"{missing[0][0]!r:.60} and the passage {missing[0][1]!r:.60}."
            )
        return [self._scores[pair] for pair in pairs]


def _load_cross_encoder(name: str, device: str | None) -> CrossEncoder:
    try:
        model: CrossEncoder = CrossEncoder(name, device=device)
    except OSError as error:
        raise CheckpointNotFoundError(f"there is no cross-encoder {name!r}: {str(error).splitlines()[0]}") from error
    return model
