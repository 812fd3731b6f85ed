"""First stages: what a collection has beside its multivector, to find candidates for MaxSim fast.

May import: ``errors``, ``scoring``, ``text`` and ``types``, and qdrant-client's models. Begin with ``kinds.py``; each
kind has a file of its own.
"""

from .by_words import BM25_MODEL, ByWords, Lexical, QdrantBM25, check_text, encode_words
from .centroids import NearestCentroids
from .kinds import (
    FirstStage,
    Sparse,
    check_recorded,
    check_stages,
    stage_from_dict,
    stage_to_dict,
    stages_of_names,
    with_centroids,
)
from .mean import MeanPooled
from .muvera import FixedDimensional

__all__ = [
    "BM25_MODEL",
    "ByWords",
    "FirstStage",
    "FixedDimensional",
    "Lexical",
    "MeanPooled",
    "NearestCentroids",
    "QdrantBM25",
    "Sparse",
    "check_recorded",
    "check_stages",
    "check_text",
    "encode_words",
    "stage_from_dict",
    "stage_to_dict",
    "stages_of_names",
    "with_centroids",
]
