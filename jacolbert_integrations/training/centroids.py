"""Centroids of a model's token vectors, learned from texts."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..errors import InputError, MissingExtraError, TrainingDataError, TruncationWarning
from ..scoring.centroids import Centroids
from ..types import TokenVectors

if TYPE_CHECKING:
    from ..encoding.encoder import JaColBERT

COUNT = 16_384
"""How many centroids are learned if nothing else is said."""

NPROBE = 16
"""How many of them a token vector of a query looks at if nothing else is said: between what two models want."""

_FEWEST_VECTORS = 4
_MOST_VECTORS = 32
"""Of each centroid: fewer are too few to learn from, and more change little."""

_BATCH = 256


def learn_centroids(
    model: JaColBERT,
    texts: Iterable[str],
    *,
    count: int = COUNT,
    nprobe: int = NPROBE,
    iterations: int = 10,
    seed: int = 42,
    show_progress_bar: bool | None = None,
) -> Centroids:
    """Learns the centroids of a model's token vectors by k-means.

    A collection finds candidates by them (:class:`~jacolbert_integrations.qdrant.NearestCentroids`). They serve every
    collection of the model, and best those whose texts are like these. So many texts are encoded, in random order, as
    give 32 token vectors for each centroid, or all of them. What is longer than the model reads is cut.

    Args:
        model: The model.
        texts: Much and varied text: some 4,000 passages are enough for as many centroids as the default.
        count: How many centroids. More find more, and take longer to learn and to look at.
        nprobe: How many of them each token vector of a query looks at, if nothing else is said. Where a model puts
            queries far from documents, it takes more to find the same: 4 are best for jacolbert-mini, 32 for
            jacolbert-small. ``benchmarks/two_stage.py --nprobe`` shows what is best for yours.
        iterations: Of k-means, at most.
        seed: Decides the order of the texts, and where k-means begins.
        show_progress_bar: None shows one after a second, on a terminal.

    Returns:
        The centroids, which record the model that they belong to.

    Raises:
        InputError: If ``count`` or ``iterations`` is below 2 or 1, or ``nprobe`` not below ``count``.
        TrainingDataError: If the texts have fewer than four token vectors for each centroid.
        MissingExtraError: If scikit-learn is not installed.
    """
    for name, value, least in (("count", count, 2), ("iterations", iterations, 1)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(f"{name} is {value!r}, but it must be an integer of at least {least}.")
    if not isinstance(nprobe, int) or isinstance(nprobe, bool) or not 1 <= nprobe < count:
        raise InputError(f"nprobe is {nprobe!r}, but it must be an integer of at least 1, and less than {count}.")
    k_means = _k_means_class()
    given = [text for text in texts if text.strip()]
    random.Random(seed).shuffle(given)
    documents = _encoded(model, given, _MOST_VECTORS * count, show_progress_bar)
    vectors = np.concatenate([*documents, np.empty((0, model.dimension), np.float32)])[: _MOST_VECTORS * count]
    if len(vectors) < _FEWEST_VECTORS * count:
        raise TrainingDataError(
            f"the texts have {len(vectors):,} token vectors, too few for {count:,} centroids, which want "
            f"{_FEWEST_VECTORS * count:,} at least. Give more text, or learn {len(vectors) // _FEWEST_VECTORS:,} "
            "centroids of it."
        )
    found, _ = _k_means(k_means, vectors, count, iterations, seed)
    directions = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    _, groups = _k_means(k_means, directions, max(1, round(count**0.5)), 20, seed)
    sizes = np.bincount(groups)
    ordered = directions[np.argsort(groups, kind="stable")]
    values = np.round(127 * ordered / np.abs(ordered).max(axis=1, keepdims=True)).astype(np.int8)
    return Centroids(values, sizes[sizes > 0].tolist(), model=model.fingerprint, nprobe=nprobe)


def _encoded(model: JaColBERT, texts: Sequence[str], most: int, show_progress_bar: bool | None) -> list[TokenVectors]:
    """Encodes texts until there are so many vectors."""
    parts: list[TokenVectors] = []
    there = 0
    bar = tqdm(
        total=most,
        desc="Encoding",
        unit=" vectors",
        delay=1.0 if show_progress_bar is None else 0.0,
        disable=None if show_progress_bar is None else not show_progress_bar,
    )
    with bar, warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)  # the beginning of a text teaches as well as the rest
        for begin in range(0, len(texts), _BATCH):
            found = model.encode_document(texts[begin : begin + _BATCH], show_progress_bar=False)
            parts += found
            new = sum(map(len, found))
            there += new
            bar.update(new)
            if there >= most:
                break
    return parts


def _k_means_class() -> Any:
    try:
        from sklearn.cluster import KMeans
    except ImportError:
        raise MissingExtraError("scikit-learn", "training") from None
    return KMeans


def _k_means(
    k_means: Any, vectors: TokenVectors, count: int, iterations: int, seed: int
) -> tuple[TokenVectors, NDArray[np.int32]]:
    """Returns the means, (count, dimension), and the number of the nearest one for each vector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it has not converged after so few iterations
        found = k_means(count, init="random", n_init=1, max_iter=iterations, random_state=seed).fit(vectors)
    return found.cluster_centers_, found.labels_
