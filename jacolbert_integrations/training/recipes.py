"""Recipes: every choice of a training run, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass

from ..query_length import QueryLength


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniRecipe:
    """Every choice that makes the mini model; two runs of one recipe give the same weights.

    Attributes:
        vocabulary_size: Tokens, special ones included.
        hidden_size: Width of the encoder.
        layers: Depth of the encoder.
        heads: Attention heads.
        dimension: Length of a token vector.
        document_maxlen: Most tokens of a document.
        query_length: The query-length rule, in training and after it: [MASK] positions that
            training never saw would be noise.
        embedding_std: Spread of the untrained word vectors. Large beside ``layer_std``, so that an
            untrained model already matches equal words, and training refines that.
        layer_std: Spread of all other untrained weights.
        dropout: In the encoder.
        window: Characters of a training passage; longer ones are cut at the ends of sentences.
        inverse_cloze: Inverse-cloze pairs for each question pair.
        cut: Share of inverse-cloze pairs whose sentence is cut out of the passage.
        batch_size: Pairs of a batch; each is a negative to the others.
        scale: Factor on the scores before the softmax.
        steps: Optimizer steps.
        learning_rate: Peak, for everything but the word vectors.
        embedding_learning_rate: Peak, for the word vectors.
        warmup_steps: Steps until the peak; linear decay follows.
        seed: Decides weights, pairs and batches.
    """

    vocabulary_size: int = 16384
    hidden_size: int = 192
    layers: int = 2
    heads: int = 4
    dimension: int = 128
    document_maxlen: int = 300
    query_length: QueryLength = "released"
    embedding_std: float = 1.0
    layer_std: float = 0.02
    dropout: float = 0.1
    window: int = 160
    inverse_cloze: float = 1.0
    cut: float = 0.7
    batch_size: int = 32
    scale: float = 1.0
    steps: int = 1000
    learning_rate: float = 5e-4
    embedding_learning_rate: float = 5e-4
    warmup_steps: int = 100
    seed: int = 42
