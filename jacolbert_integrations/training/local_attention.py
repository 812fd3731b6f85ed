"""An untrained encoder whose first layer mixes each word with its neighbours."""

from __future__ import annotations

import math
from statistics import NormalDist

import torch
from torch import nn
from transformers import BertModel

_SELF, _NEXT = 12.0, 11.3
"""A word's attention to itself and to the next word, before the softmax; to far words it is near 0. Weights in
the softmax are then about .46 for the word, .23 for each neighbour, .04 for the next but one."""

_MIXED = 4.0
"""Weight of what attention brings, beside the word itself. This and the one above were chosen on JaQuAD dev."""


def position_width(hidden_size: int, heads: int) -> int:
    """Returns how much of the hidden width :func:`attend_locally` keeps for positions: an even number."""
    return 2 * (min(3 * hidden_size // 16, hidden_size // heads) // 2)


def attend_locally(backbone: BertModel, projection: nn.Linear) -> None:
    """Makes the first layer of an untrained BERT mix each word with its neighbours, in place.

    Questions and passages share more than words: they share words side by side. A token vector that
    holds some of its neighbours' matches phrases better than one that does not, but random attention is
    far from it, and training on little data does not find it.

    Positions get sinusoids (Vaswani et al., 2017) in a part of the hidden width that words leave empty
    and the projection drops. Queries and keys of the first layer read only that part: their product is
    a sum of cosines of the distance between two positions, of frequencies spread like a normal
    distribution's, so that it falls off like a bell. Values read only the words.

    Args:
        backbone: An untrained BERT. Its word vectors must be 0 in the last :func:`position_width`
            elements, with a mean of 0 and a mean square of 1 over the others.
        projection: What its hidden states go through; it reads them no more in those elements.
    """
    config = backbone.config
    hidden, head_width = config.hidden_size, config.hidden_size // config.num_attention_heads
    width = position_width(hidden, config.num_attention_heads)
    words, waves = hidden - width, width // 2
    spread = math.sqrt(-2 * math.log(_NEXT / _SELF))
    frequencies = torch.tensor([NormalDist(0, spread).inv_cdf(0.5 + (k + 0.5) / (2 * waves)) for k in range(waves)])
    # layer normalisation comes between these and the attention
    variance = (words + waves) / hidden
    gain = math.sqrt(_SELF * math.sqrt(head_width) / waves * variance)
    layer = "encoder.layer.0.attention."
    with torch.no_grad():
        positions = backbone.get_parameter("embeddings.position_embeddings.weight")
        angles = torch.arange(len(positions)).unsqueeze(1) * frequencies
        positions.zero_()
        positions[:, words:] = torch.cat([angles.cos(), angles.sin()], dim=1)
        positions[:, words::2] *= -1  # their mean, which layer normalisation takes away, is near 0 then
        backbone.get_parameter("embeddings.token_type_embeddings.weight").zero_()
        for name in ("self.query", "self.key"):
            weight = backbone.get_parameter(f"{layer}{name}.weight").zero_()
            for start in range(0, hidden, head_width):
                weight[start : start + width, words:] = gain * torch.eye(width)
        for name, factor in (("self.value", 1.0), ("output.dense", _MIXED)):
            weight = backbone.get_parameter(f"{layer}{name}.weight").zero_()
            weight[:words, :words] = factor * torch.eye(words)
        projection.weight[:, words:] = 0
