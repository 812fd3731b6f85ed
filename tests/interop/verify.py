"""Loads a checkpoint with another library, and compares its vectors with those that this package gave.

It runs in that library's own environment, and needs nothing of this package::

    python verify.py --library pylate --checkpoint exported --expected expected.npz --save saved-again

``expected.npz`` holds the texts, ``queries`` and ``documents``, and their vectors: ``query_0``,
``document_0`` and so on. The largest difference is printed; above 1e-4 the exit status is 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

TOLERANCE = 1e-4
Vectors = list[Any]


def colbert_ai(checkpoint: str, queries: list[str], documents: list[str], save: str | None) -> tuple[Vectors, Vectors]:
    """As an index of colbert-ai is made and searched."""
    from colbert.infra import ColBERTConfig  # type: ignore[import-not-found]
    from colbert.modeling.checkpoint import Checkpoint  # type: ignore[import-not-found]
    from colbert.modeling.colbert import ColBERT  # type: ignore[import-not-found]

    ColBERT.loaded_extensions = True  # a C++ kernel that scores an index, and is compiled at first use
    model = Checkpoint(checkpoint, colbert_config=ColBERTConfig(), verbose=0)
    found = model.queryFromText(queries, bsize=8, to_cpu=True)
    vectors, *_ = model.docFromText(documents, bsize=8, keep_dims=False)
    if save is not None:
        model.save(save)
    return [query.numpy() for query in found], [document.numpy() for document in vectors]


def pylate(checkpoint: str, queries: list[str], documents: list[str], save: str | None) -> tuple[Vectors, Vectors]:
    """As PyLate encodes."""
    from pylate import models  # type: ignore[import-not-found]

    model = models.ColBERT(checkpoint, device="cpu")
    vectors = model.encode(queries, is_query=True), model.encode(documents, is_query=False)
    if save is not None:
        model.save_pretrained(save)
    return vectors


def sentence_transformers(
    checkpoint: str, queries: list[str], documents: list[str], save: str | None
) -> tuple[Vectors, Vectors]:
    """As sentence-transformers 6 encodes."""
    from sentence_transformers import MultiVectorEncoder

    model = MultiVectorEncoder(checkpoint, device="cpu")
    found = model.encode_query(queries, convert_to_numpy=True)
    vectors = model.encode_document(documents, convert_to_numpy=True)
    if save is not None:
        model.save_pretrained(save)
    return list(found), list(vectors)


LIBRARIES: dict[str, Callable[..., tuple[Vectors, Vectors]]] = {
    "colbert-ai": colbert_ai,
    "pylate": pylate,
    "sentence-transformers": sentence_transformers,
}


def largest_difference(expected: Vectors, found: Vectors) -> float:
    """Over all vectors; infinite where a text has another number of them."""
    differences = [0.0]
    for mine, theirs in zip(expected, found, strict=True):
        if mine.shape != theirs.shape:
            print(f"  expected vectors of shape {mine.shape}, but got {theirs.shape}")
        differences.append(float(np.abs(mine - theirs).max()) if mine.shape == theirs.shape else float("inf"))
    return max(differences)


def main() -> int:
    """Runs the comparison; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True, choices=LIBRARIES)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--expected", required=True)
    parser.add_argument("--save", help="where the library shall save the checkpoint again")
    arguments = parser.parse_args()
    with np.load(arguments.expected) as arrays:
        texts = {task: arrays[name].tolist() for task, name in (("query", "queries"), ("document", "documents"))}
        expected = {task: [arrays[f"{task}_{i}"] for i in range(len(texts[task]))] for task in texts}
    queries, documents = LIBRARIES[arguments.library](
        arguments.checkpoint, texts["query"], texts["document"], arguments.save
    )
    largest = largest_difference(expected["query"] + expected["document"], [*queries, *documents])
    print(
        f"{arguments.library} {version(arguments.library)}, transformers {version('transformers')}, torch "
        f"{version('torch')}: {len(queries)} queries, {len(documents)} documents, largest difference {largest:.1e}"
    )
    return 0 if largest <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
