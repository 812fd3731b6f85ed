"""Models that training starts from when there is no ColBERT to start from."""

from __future__ import annotations

import string
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, set_seed

from ..checkpoints.layouts import ColBERTSettings
from ..encoding.encoder import JaColBERT
from ..encoding.saving import save_scratch
from ..encoding.transformer import load_strictly
from ..errors import CheckpointNotFoundError
from ..query_length import QueryLength
from ..text.tokenization import JapaneseTokenizer
from .local_attention import attend_locally, position_width
from .vocabulary import learn_vocabulary
from .word_vectors import rarity_weighted_vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A small BERT with a projection, to be trained from nothing.

    Attributes:
        vocabulary_size: Tokens, special ones included.
        hidden_size: Width of the encoder.
        layers: Depth of the encoder.
        heads: Attention heads.
        dimension: Length of a token vector.
        document_maxlen: Most tokens of a document.
        query_length: The query-length rule of the model.
        embedding_std: Spread of the untrained word vectors. Large beside ``layer_std``, so that an
            untrained model already matches equal words, and training refines that.
        rarity_weighted: Frequent words begin alike and rare ones apart
            (:func:`~jacolbert_integrations.training.word_vectors.rarity_weighted_vectors`), so that an
            untrained model already weighs words as well. Else all begin apart.
        local_attention: The first layer begins by mixing each word with its neighbours
            (:func:`~jacolbert_integrations.training.local_attention.attend_locally`), which takes
            3/16 of the hidden width for positions. Else attention begins random.
        layer_std: Spread of all other untrained weights.
        dropout: In the encoder.
        seed: Decides the weights.
    """

    vocabulary_size: int = 16384
    hidden_size: int = 192
    layers: int = 2
    heads: int = 4
    dimension: int = 128
    document_maxlen: int = 300
    query_length: QueryLength = "released"
    embedding_std: float = 1.0
    rarity_weighted: bool = True
    local_attention: bool = True
    layer_std: float = 0.02
    dropout: float = 0.0
    seed: int = 42


def build_untrained(texts: Iterable[str], architecture: Architecture) -> JaColBERT:
    """Builds an untrained model with a vocabulary of its own, learned from ``texts``.

    Raises:
        InputError: If the vocabulary's size leaves no room for words.
    """
    texts = list(texts)
    tokenizer = JapaneseTokenizer(learn_vocabulary(texts, architecture.vocabulary_size))
    set_seed(architecture.seed)
    backbone = BertModel(
        BertConfig(
            vocab_size=len(tokenizer.vocabulary),
            hidden_size=architecture.hidden_size,
            num_hidden_layers=architecture.layers,
            num_attention_heads=architecture.heads,
            intermediate_size=4 * architecture.hidden_size,
            hidden_dropout_prob=architecture.dropout,
            attention_probs_dropout_prob=architecture.dropout,
            initializer_range=architecture.layer_std,
        ),
        add_pooling_layer=False,
    )
    positions = position_width(architecture.hidden_size, architecture.heads) if architecture.local_attention else 0
    words = backbone.embeddings.word_embeddings.weight.data
    vectors = words[:, : architecture.hidden_size - positions]
    words[:, vectors.shape[1] :] = 0
    if architecture.rarity_weighted:
        std, seed = architecture.embedding_std, architecture.seed
        vectors.copy_(rarity_weighted_vectors(tokenizer, texts, vectors.shape[1], std=std, seed=seed))
    else:
        nn.init.normal_(vectors, std=architecture.embedding_std)
    projection = _projection(architecture.hidden_size, architecture.dimension)
    if architecture.local_attention:
        attend_locally(backbone, projection)
    settings = _settings(architecture.document_maxlen, architecture.query_length)
    with tempfile.TemporaryDirectory() as folder:
        save_scratch(Path(folder) / "untrained", backbone, projection, tokenizer, settings)
        return JaColBERT.from_pretrained(Path(folder) / "untrained", dtype=torch.float32)


def from_backbone(
    name_or_path: str | Path,
    *,
    dimension: int = 128,
    document_maxlen: int = 300,
    seed: int = 42,
    device: str | None = None,
) -> JaColBERT:
    """Builds a model of a pretrained encoder, such as ``tohoku-nlp/bert-base-japanese-v3``, and a new projection.

    This is how JaColBERT v1 began. Until it is trained, its vectors mean nothing.

    Args:
        name_or_path: A hub id or directory of a pretrained encoder.
        dimension: Length of a token vector.
        document_maxlen: Most tokens of a document.
        seed: Decides the projection.
        device: As in sentence-transformers.

    Raises:
        CheckpointError: If there is no such encoder, or it is incomplete.
    """
    try:
        backbone = load_strictly(AutoModel, str(name_or_path), dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(str(name_or_path))
    except OSError as error:
        raise CheckpointNotFoundError(f"{name_or_path} is no pretrained encoder that can be had: {error}") from error
    set_seed(seed)
    projection = _projection(backbone.config.hidden_size, dimension)
    with tempfile.TemporaryDirectory() as folder:
        save_scratch(
            Path(folder) / "untrained", backbone, projection, tokenizer, _settings(document_maxlen, "released")
        )
        return JaColBERT.from_pretrained(Path(folder) / "untrained", device=device, dtype=torch.float32)


def _projection(hidden: int, dimension: int) -> nn.Linear:
    projection = nn.Linear(hidden, dimension, bias=False)
    nn.init.orthogonal_(projection.weight)
    return projection


def _settings(document_maxlen: int, query_length: QueryLength) -> ColBERTSettings:
    return ColBERTSettings(
        query_marker="[unused0]",
        document_marker="[unused1]",
        query_maxlen=32,
        document_maxlen=document_maxlen,
        skiplist=tuple(string.punctuation),
        query_length=query_length,
    )
