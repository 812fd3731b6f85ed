"""Fewer vectors a document: groups of token vectors replaced by their means (arXiv 2409.14683)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling, HierarchicalTokenPooling
from torch import nn

from ..errors import InputError
from ..scoring.vectors import as_token_vectors, check_values
from ..types import TokenVectors

PoolingMethod = Literal["hierarchical", "kmeans", "sequential"]
METHODS: tuple[PoolingMethod, ...] = get_args(PoolingMethod)
NO_POOLING = "none"

_LARGEST_FACTOR = 16
_PROTECTED = 1
_ROUNDS = 20
_VANISHED = 1e-6
"""A mean of unit vectors that is shorter than this is rounding error, and points nowhere."""


@dataclass(frozen=True, slots=True)
class Pooling:
    """How to pool the token vectors of a document before they are stored.

    The first ``protected`` vectors stay as they are. The other n are put into ``max(n // factor, 1)`` groups,
    as sentence-transformers does it, and each group becomes its mean, scaled to length 1. Only ``"hierarchical"`` may
    make fewer, where distances are equal. A group whose vectors cancel each other out is represented by its first.

    Attributes:
        method: ``"hierarchical"``: Ward's clustering on cosine distance, by sentence-transformers' own
            ``HierarchicalTokenPooling``; the best in the paper. ``"kmeans"``: k-means on the cosine, from
            vectors far apart, so that it needs no chance. ``"sequential"``: runs of consecutive tokens, whose
            lengths differ by at most one; by far the fastest.
        factor: How many vectors become one, on average, 2 to 16. In the paper 2 costs next to nothing, 3 and 4
            little.
        protected: How many leading vectors are left alone. 1 is that of [CLS].

    Raises:
        InputError: If there is no such method, or a number is out of its range.
    """

    method: PoolingMethod = "hierarchical"
    factor: int = 2
    protected: int = _PROTECTED

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method is {self.method!r}, but a pooling method is one of {', '.join(METHODS)}.")
        if not _is_integer(self.factor) or not 2 <= self.factor <= _LARGEST_FACTOR:
            raise InputError(f"factor is {self.factor!r}, but it must be an integer from 2 to {_LARGEST_FACTOR}.")
        if not _is_integer(self.protected) or self.protected < 0:
            raise InputError(f"protected is {self.protected!r}, but it must be an integer of at least 0.")

    def __str__(self) -> str:
        """Returns the name under which collections record it, such as ``"hierarchical-2"``."""
        suffix = "" if self.protected == _PROTECTED else f"-protected-{self.protected}"
        return f"{self.method}-{self.factor}{suffix}"

    @classmethod
    def parse(cls, name: str) -> Pooling:
        """Builds a pooling from its name, the reverse of :class:`str`.

        Args:
            name: Such as ``"kmeans-3"`` or ``"hierarchical-2-protected-0"``.

        Raises:
            InputError: If it is no such name.
        """
        number = "(0|[1-9][0-9]{0,17})"
        found = re.fullmatch(f"({'|'.join(METHODS)})-{number}(?:-protected-{number})?", name)
        if found is None:
            raise InputError(
                f"{name!r} names no pooling. Write a method ({', '.join(METHODS)}) and a factor, such as "
                "'hierarchical-2', and where other than one vector is protected, 'hierarchical-2-protected-0'."
            )
        method, factor, protected = found.groups()
        return cls(cast("PoolingMethod", method), int(factor), _PROTECTED if protected is None else int(protected))

    def pool(self, matrices: Iterable[TokenVectors]) -> list[TokenVectors]:
        """Pools documents, each by itself.

        Args:
            matrices: (tokens, dimension) each, rows of length 1, as ``encode_document`` gives them.

        Returns:
            A (vectors, dimension) float32 array a document, its rows of length 1: the protected vectors, then the
            means. The order of the means is the method's own.

        Raises:
            VectorError: If a matrix is malformed.
        """
        return [self._pool_one(matrix, f"document {place}") for place, matrix in enumerate(matrices)]

    def groups(self, matrix: TokenVectors) -> list[list[int]]:
        """Says of each vector that :meth:`pool` gives which ones of the document it is the mean of.

        Args:
            matrix: (tokens, dimension), as for :meth:`pool`.

        Returns:
            Rows of ``matrix``, for each row of what it becomes.

        Raises:
            VectorError: If the matrix is malformed.
        """
        matrix = as_token_vectors(matrix, "the document")
        check_values(matrix, "the document")
        tokens = np.ascontiguousarray(matrix[self.protected :])
        alone = [[row] for row in range(min(self.protected, len(matrix)))]
        if len(tokens) < 2:
            return [*alone, *[[self.protected + row] for row in range(len(tokens))]]
        labels = _ward_labels(tokens, self.factor) if self.method == "hierarchical" else self._labels(tokens)
        return [*alone, *[(np.flatnonzero(labels == label) + self.protected).tolist() for label in np.unique(labels)]]

    def _pool_one(self, matrix: TokenVectors, what: str) -> TokenVectors:
        matrix = as_token_vectors(matrix, what)
        check_values(matrix, what)
        tokens = np.ascontiguousarray(matrix[self.protected :])
        if len(tokens) < 2:
            return matrix
        if self.method == "hierarchical":
            means = _ward_means(tokens, self.factor)
        else:
            means = _unit_means(tokens, self._labels(tokens))
        return np.concatenate([matrix[: self.protected], means])

    def _labels(self, tokens: TokenVectors) -> NDArray[np.intp]:
        groups = max(len(tokens) // self.factor, 1)
        if self.method == "kmeans":
            return _kmeans_labels(tokens, groups)
        return np.arange(len(tokens)) * groups // len(tokens)


def as_pooling(value: Pooling | str | None) -> Pooling | None:
    """Returns the pooling of a name; None and ``"none"`` mean no pooling.

    Raises:
        InputError: If it is anything else.
    """
    if value is None or isinstance(value, Pooling):
        return value
    if not isinstance(value, str):
        raise InputError(f"pooling is {value!r}, but a Pooling, its name or None is expected.")
    return None if value == NO_POOLING else Pooling.parse(value)


def pipeline_pooling(modules: Iterable[nn.Module]) -> str:
    """Returns the name of the pooling that a sentence-transformers pipeline itself applies to documents.

    Returns:
        ``"none"``, or what tells one such pipeline's vectors from another's. A pooling that :class:`Pooling` can
        do has the same name here, because it gives the same vectors.
    """
    return "+".join(_module_name(module) for module in modules if _pools_documents(module)) or NO_POOLING


def is_pooling(module: nn.Module) -> bool:
    """Returns whether a module of a sentence-transformers pipeline pools tokens."""
    return isinstance(module, BaseTokenPooling)


def _pools_documents(module: nn.Module) -> bool:
    if not isinstance(module, BaseTokenPooling) or not module.applies_to("document"):
        return False
    return not isinstance(module, HierarchicalTokenPooling) or module.pool_factor > 1


def _module_name(module: nn.Module) -> str:
    if type(module) is HierarchicalTokenPooling:
        factor, protected = module.pool_factor, module.num_protected_tokens
        if factor == int(factor) and 2 <= factor <= _LARGEST_FACTOR:
            return str(Pooling("hierarchical", int(factor), protected))
    settings = {k: v for k, v in cast("BaseTokenPooling", module).get_config_dict().items() if k != "tasks"}
    return f"{type(module).__name__}({json.dumps(settings, sort_keys=True, default=str)})"


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _ward_means(tokens: TokenVectors, factor: int) -> TokenVectors:
    means = _ward(tokens, factor)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    if lengths.min() <= _VANISHED:
        return _unit_means(tokens, _ward_labels(tokens, factor))
    unit: TokenVectors = means / lengths
    return unit


def _ward_labels(tokens: TokenVectors, factor: int) -> NDArray[np.intp]:
    # The module does not say which vectors it put together. A mark of its own on each of them, orthogonal to all
    # else, changes no product of two vectors, and shows in the mean.
    marked = np.concatenate([tokens, np.eye(len(tokens), dtype=np.float32)], axis=1)
    members = _ward(marked, factor)[:, tokens.shape[1] :] > 0
    labels: NDArray[np.intp] = members.argmax(axis=0)
    return labels


def _ward(tokens: TokenVectors, factor: int) -> TokenVectors:
    module = HierarchicalTokenPooling(factor, num_protected_tokens=0, normalize_embeddings=False)
    means: TokenVectors = module.pool_one(torch.from_numpy(tokens)).numpy()
    return means


def _kmeans_labels(tokens: TokenVectors, groups: int) -> NDArray[np.intp]:
    """Runs Lloyd's algorithm on the unit sphere. No group is ever empty."""
    centres = tokens[_spread(tokens, groups)]
    labels = np.full(len(tokens), -1)
    for _ in range(_ROUNDS):
        similarities = tokens @ centres.T
        nearest, best = similarities.argmax(axis=1), similarities.max(axis=1)
        counts = np.bincount(nearest, minlength=groups)
        for empty in np.flatnonzero(counts == 0):
            # it gets the vector that is farthest from its centre and not alone there
            farthest = np.where(counts[nearest] > 1, best, np.inf).argmin()
            counts[nearest[farthest]] -= 1
            counts[empty] = 1
            nearest[farthest] = empty
        if np.array_equal(nearest, labels):
            break
        labels, centres = nearest, _unit_means(tokens, nearest)
    return labels


def _spread(tokens: TokenVectors, count: int) -> list[int]:
    """Chooses vectors far apart: the one farthest from the mean, then always the farthest from those chosen."""
    chosen = [int((tokens @ tokens.sum(axis=0)).argmin())]
    closest = tokens @ tokens[chosen[0]]
    while len(chosen) < count:
        chosen.append(int(closest.argmin()))
        closest = np.maximum(closest, tokens @ tokens[chosen[-1]])
    return chosen


def _unit_means(tokens: TokenVectors, labels: NDArray[np.intp]) -> TokenVectors:
    """Computes the mean of each group, scaled to length 1; a group whose vectors cancel out gets its first vector.

    Args:
        tokens: (tokens, dimension).
        labels: (tokens,) the groups, each of 0 to the greatest with a vector at least.
    """
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    means = np.add.reduceat(tokens[order], starts) / np.bincount(labels)[:, None].astype(np.float32)
    vanished = np.linalg.norm(means, axis=1) <= _VANISHED
    means[vanished] = tokens[order[starts[vanished]]]
    unit: TokenVectors = means / np.linalg.norm(means, axis=1, keepdims=True)
    return unit
