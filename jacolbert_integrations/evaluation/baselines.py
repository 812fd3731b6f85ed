"""What late interaction is compared with: one vector a text, and cross-encoders that rerank."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..errors import InputError
from ..types import Scores
from .benchmark import Benchmark
from .embeddings import EmbeddingCache
from .rankings import Run, ranked
from .timing import milliseconds

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, SentenceTransformer
    from torch import nn

_TOGETHER = 16
"""Queries whose candidates a cross-encoder reads between two writes to the cache."""


class Dense:
    """A sentence-transformers model that makes one vector of a text.

    Args:
        name: Its directory or hub id.
        benchmark: Passages and queries.
        prompts: What comes before queries and before passages; None takes the model's own.
        cache: Keeps the vectors; None keeps nothing.
        show_progress_bar: None shows one on a terminal.

    Raises:
        InputError: If it cannot be loaded.
    """

    def __init__(
        self,
        name: str,
        benchmark: Benchmark,
        *,
        prompts: tuple[str, str] | None = None,
        cache: EmbeddingCache | None = None,
        show_progress_bar: bool | None = None,
    ) -> None:
        from sentence_transformers import SentenceTransformer

        options: dict[str, Any] = {} if prompts is None else {"prompts": dict(zip(_TASKS, prompts, strict=True))}
        self.model: SentenceTransformer = _loaded(SentenceTransformer, name, **options)
        self._asked = list(benchmark.queries.values())
        self._show = show_progress_bar
        made_by = {"dense": _digest(self.model), "prompts": self.model.prompts}

        def vectors(texts: list[str], task: str) -> NDArray[np.float32]:
            if cache is None:
                return self._encode(texts, task)
            return cache.matrix({**made_by, "task": task}, [texts], lambda: self._encode(texts, task))

        self._documents = vectors(list(benchmark.passages.values()), "document")
        self._queries = vectors(self._asked, "query")

    @property
    def bytes_per_passage(self) -> float:
        """What a passage takes."""
        return 4.0 * float(self._documents.shape[1])

    def score(self, places: Sequence[int]) -> Scores:
        """Computes (queries, passages) float32 by the model's own similarity, of the queries at some places."""
        return self._similarity(self._queries[list(places)])

    def milliseconds(self, count: int) -> float:
        """Measures the median time to encode a query and to find the ten best passages in memory."""

        def ask(place: int) -> NDArray[np.intp]:
            query = self._encode([self._asked[place]], "query", show=False)
            return np.argsort(-self._similarity(query)[0])[:10]

        return milliseconds(ask, min(count, len(self._asked)))

    def _encode(self, texts: list[str], task: str, *, show: bool | None = None) -> NDArray[np.float32]:
        encode = self.model.encode_query if task == "query" else self.model.encode_document
        bar = self._show if show is None else show
        found = encode(texts, convert_to_numpy=True, show_progress_bar=bool(bar))
        return np.asarray(found, np.float32)

    def _similarity(self, queries: NDArray[np.float32]) -> Scores:
        scores: Scores = self.model.similarity(queries, self._documents).cpu().numpy()
        return scores


_TASKS = ("query", "document")


class Reranker:
    """A cross-encoder that reads each query with the passages which something else found for it.

    Args:
        name: Its directory or hub id.
        benchmark: Passages and queries.
        cache: Keeps the scores; None keeps nothing.
        show_progress_bar: None shows one after a second, on a terminal.

    Raises:
        InputError: If it cannot be loaded, or gives more than one score.
    """

    def __init__(
        self,
        name: str,
        benchmark: Benchmark,
        *,
        cache: EmbeddingCache | None = None,
        show_progress_bar: bool | None = None,
    ) -> None:
        from sentence_transformers import CrossEncoder

        self.model: CrossEncoder = _loaded(CrossEncoder, name)
        if self.model.num_labels != 1:
            raise InputError(f"{name} gives {self.model.num_labels} scores for a pair, but a reranker gives one.")
        self.name = name
        self._passages = list(benchmark.passages.values())
        self._asked = list(benchmark.queries.values())
        self._cache = cache
        self._show = show_progress_bar
        self._made_by = {"reranker": _digest(self.model)}

    def run(self, name: str, found: Sequence[Sequence[int]], benchmark: Benchmark) -> Run:
        """Ranks the passages that were found for each query.

        Args:
            name: Of the run.
            found: Of each query the places of passages.
            benchmark: What they are of.
        """
        ids = list(benchmark.passages)
        rankings = {}
        queries = list(benchmark.queries)
        with tqdm(
            total=len(queries),
            desc=f"{self.name}: queries",
            disable=None if self._show is None else not self._show,
            delay=1.0 if self._show is None else 0.0,
        ) as bar:
            for start in range(0, len(queries), _TOGETHER):
                rows = range(start, min(start + _TOGETHER, len(queries)))
                scores = iter(self._read([(row, place) for row in rows for place in found[row]]))
                for row in rows:
                    rankings[queries[row]] = ranked([(ids[place], next(scores)) for place in found[row]])
                bar.update(len(rows))
        return Run(name, rankings)

    def milliseconds(self, found: Sequence[Sequence[int]], count: int) -> float:
        """Measures the median time to read one query with its passages."""
        return milliseconds(
            lambda row: self._predict([(row, place) for place in found[row]]), min(count, len(self._asked))
        )

    def _read(self, pairs: Sequence[tuple[int, int]]) -> list[float]:
        if self._cache is None or not pairs:
            return self._predict(pairs)
        texts = [[self._asked[query] for query, _ in pairs], [self._passages[passage] for _, passage in pairs]]
        found = self._cache.matrix(
            self._made_by, texts, lambda: np.array(self._predict(pairs), np.float32).reshape(-1, 1)
        )
        return [float(score) for score in found[:, 0]]

    def _predict(self, pairs: Sequence[tuple[int, int]]) -> list[float]:
        if not pairs:
            return []
        texts = [(self._asked[query], self._passages[passage]) for query, passage in pairs]
        return [float(score) for score in self.model.predict(texts, show_progress_bar=False)]


def _loaded(kind: Any, name: str, **options: Any) -> Any:
    try:
        return kind(name, **options)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:  # whatever is wrong with it
        first = str(error).strip().splitlines()
        raise InputError(
            f"{name} cannot be loaded as a {kind.__name__} of sentence-transformers: {first[0] if first else error}"
        ) from None


def _digest(model: nn.Module) -> str:
    """Computes the SHA-256 of all weights, and of what the modules are."""
    digest = hashlib.sha256(str(model).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
