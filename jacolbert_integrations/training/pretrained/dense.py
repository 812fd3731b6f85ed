"""The pretrained model as it was published: one vector a text."""

from __future__ import annotations

import tempfile

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from .reading import PretrainedWeights
from .student import Student, build_backbone

_PROMPTS = {"query": "query: ", "document": "passage: "}


def dense_model(weights: PretrainedWeights) -> SentenceTransformer:
    """Builds multilingual-e5-small: the mean of its token vectors, of length 1, with its prompts.

    It finds hard negatives and scores them (:class:`~..rankers.DenseRanker`), and shows that the weights were read
    rightly: it ranks as published.

    Args:
        weights: From :func:`~.reading.read_pretrained`.
    """
    backbone, tokenizer = build_backbone(weights, [], Student(vocabulary_size=None))
    with tempfile.TemporaryDirectory() as folder:
        backbone.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        # e5 has no pooler, which transformers would make of random numbers
        encoder = Transformer(folder, max_seq_length=weights.positions, model_kwargs={"add_pooling_layer": False})
    modules = [encoder, Pooling(weights.hidden, pooling_mode="mean"), Normalize()]
    return SentenceTransformer(modules=modules, prompts=_PROMPTS, similarity_fn_name="cosine")
