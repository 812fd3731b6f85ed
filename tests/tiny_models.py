"""Models of other kinds with random weights, so small that they are made where they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from .conftest import STANFORD

_SIZES: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def save_cross_encoder(path: Path, outputs: int = 1) -> Path:
    tokenizer = AutoTokenizer.from_pretrained(STANFORD)
    config = BertConfig(vocab_size=len(tokenizer), initializer_range=0.5, **{**_SIZES, "num_labels": outputs})
    torch.manual_seed(0)
    BertForSequenceClassification(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def dense_model() -> SentenceTransformer:
    transformer = Transformer(str(STANFORD))
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="mean")
    return SentenceTransformer(modules=[transformer, pooling], device="cpu")
