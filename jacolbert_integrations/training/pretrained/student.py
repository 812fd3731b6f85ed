"""A ColBERT that begins with pretrained weights: fewer pieces, fewer layers, and a projection of what differs."""

from __future__ import annotations

import string
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm
from transformers import BertConfig, BertModel, PreTrainedTokenizerBase

from ...checkpoints.layouts import ColBERTSettings
from ...encoding.encoder import JaColBERT
from ...encoding.saving import save_scratch
from ...errors import InputError
from ...query_length import QueryLength
from ..vocabulary import SPECIAL_TOKENS
from .reading import PretrainedWeights
from .tokenizer import choose_pieces, fast_tokenizer, original_ids, token_ids

_TOGETHER, _LONGEST = 32, 256  # texts of a batch, and tokens of a text, that the directions are found by


@dataclass(frozen=True, slots=True, kw_only=True)
class Student:
    """What a student keeps of the pretrained model.

    Attributes:
        vocabulary_size: Tokens, special ones included; None keeps all pieces.
        layers: Which layers are kept, from 0, in rising order; None keeps all.
        dimension: Length of a token vector.
        document_maxlen: Most tokens of a document.
        query_length: The query-length rule of the model.
    """

    vocabulary_size: int | None = 20_000
    layers: tuple[int, ...] | None = None
    dimension: int = 128
    document_maxlen: int = 512
    query_length: QueryLength = "released"


def build_student(
    weights: PretrainedWeights,
    texts: Sequence[str],
    student: Student,
    *,
    directions_of: Sequence[str] | None = None,
    show_progress_bar: bool | None = None,
) -> JaColBERT:
    """Builds a ColBERT of pretrained weights, ready to be trained.

    The markers begin as the words "query" and "passage", which e5 had before its texts. The projection begins as the
    directions in which token vectors differ most, so that the model ranks well before any training.

    Args:
        weights: From :func:`~.reading.read_pretrained`.
        texts: They decide which pieces are kept.
        student: What to keep.
        directions_of: Passages, some hundreds, whose token vectors decide the projection; None takes ``texts``.
        show_progress_bar: None shows one after a second, on a terminal.

    Raises:
        InputError: If there are no texts, a layer that is to be kept is none, or the vocabulary's size leaves no
            room for words.
    """
    if not texts or (directions_of is not None and not directions_of):
        raise InputError("there are no texts to choose pieces and directions by.")
    backbone, tokenizer = build_backbone(weights, texts, student)
    settings = ColBERTSettings(
        query_marker="[unused0]",
        document_marker="[unused1]",
        query_maxlen=32,
        document_maxlen=student.document_maxlen,
        skiplist=tuple(string.punctuation),
        query_length=student.query_length,
    )
    projection = nn.Linear(weights.hidden, student.dimension, bias=False)
    passages = texts if directions_of is None else directions_of
    moments = _second_moments(backbone, tokenizer, passages, show_progress_bar)
    projection.weight.data = main_directions(*moments, student.dimension)
    with tempfile.TemporaryDirectory() as folder:
        save_scratch(Path(folder) / "untrained", backbone, projection, tokenizer, settings)
        return JaColBERT.from_pretrained(Path(folder) / "untrained", dtype=torch.float32)


def build_backbone(
    weights: PretrainedWeights, texts: Sequence[str], student: Student
) -> tuple[BertModel, PreTrainedTokenizerBase]:
    """Builds the encoder with what the student keeps of it, and the tokenizer of its vocabulary.

    Raises:
        InputError: If a layer is none, or the vocabulary's size leaves no room for words.
    """
    layers = tuple(range(weights.layers)) if student.layers is None else student.layers
    if not layers or list(layers) != sorted(set(layers)) or not 0 <= layers[0] <= layers[-1] < weights.layers:
        raise InputError(f"the layers {layers} are none: give some of 0 to {weights.layers - 1}, in rising order.")
    vocabulary = weights.vocabulary
    special = original_ids(vocabulary)
    if student.vocabulary_size is None:
        control = set(vocabulary.control.values()) | {special["[MASK]"]}
        kept = [index for index in range(len(vocabulary.pieces)) if index not in control]
    else:
        kept = choose_pieces(vocabulary, texts, student.vocabulary_size, positions=weights.positions)
    rows = token_ids(kept, special)
    config = BertConfig(
        vocab_size=len(rows),
        hidden_size=weights.hidden,
        num_hidden_layers=len(layers),
        num_attention_heads=weights.heads,
        intermediate_size=weights.inner,
        max_position_embeddings=weights.positions,
        type_vocab_size=weights.types,
        layer_norm_eps=weights.epsilon,
        hidden_dropout_prob=0.0,  # a short training has no time to unlearn what it would disturb
        attention_probs_dropout_prob=0.0,
        pad_token_id=SPECIAL_TOKENS.index("[PAD]"),
    )
    backbone = BertModel(config, add_pooling_layer=False)
    backbone.load_state_dict(_state(weights, rows, layers))
    backbone.eval()  # type: ignore[no-untyped-call]
    return backbone, fast_tokenizer(vocabulary, kept, positions=weights.positions)


_EMBEDDINGS = {
    "emb.word": "word_embeddings.weight",
    "emb.pos": "position_embeddings.weight",
    "emb.type": "token_type_embeddings.weight",
    "emb.ln.w": "LayerNorm.weight",
    "emb.ln.b": "LayerNorm.bias",
}
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_KINDS = {"w": "weight", "b": "bias"}


def _state(weights: PretrainedWeights, rows: Sequence[int], layers: Sequence[int]) -> dict[str, Tensor]:
    """Returns the weights under the names of transformers' ``BertModel``."""
    state = {f"embeddings.{name}": weights.tensors[ours] for ours, name in _EMBEDDINGS.items()}
    words = "embeddings.word_embeddings.weight"
    state[words] = state[words][torch.tensor(rows)]
    for place, layer in enumerate(layers):
        for part, name in _LAYER.items():
            for kind, ending in _KINDS.items():
                state[f"encoder.layer.{place}.{name}.{ending}"] = weights.tensors[f"l{layer}.{part}.{kind}"]
    return {name: tensor.clone() for name, tensor in state.items()}


def _second_moments(
    backbone: BertModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], show_progress_bar: bool | None
) -> tuple[Tensor, Tensor]:
    """Computes the mean (hidden,) and covariance (hidden, hidden) of the texts' token vectors."""
    width, longest = backbone.config.hidden_size, min(_LONGEST, backbone.config.max_position_embeddings)
    count, total, squares = 0, torch.zeros(width, dtype=torch.float64), torch.zeros(width, width, dtype=torch.float64)
    bar = tqdm(
        range(0, len(texts), _TOGETHER),
        desc="Directions",
        disable=None if show_progress_bar is None else not show_progress_bar,
        delay=1.0 if show_progress_bar is None else 0.0,
    )
    with torch.inference_mode():
        for start in bar:
            batch = list(texts[start : start + _TOGETHER])
            features = tokenizer(batch, padding=True, truncation=True, max_length=longest, return_tensors="pt")
            hidden = backbone(**features).last_hidden_state[features["attention_mask"].bool()].double()
            count += len(hidden)
            total += hidden.sum(0)
            squares += hidden.T @ hidden
    mean = total / count
    return mean, squares / count - torch.outer(mean, mean)


def main_directions(mean: Tensor, covariance: Tensor, dimension: int) -> Tensor:
    """Computes the directions in which vectors differ most, none of them along their mean: (dimension, hidden).

    The vectors of e5 all lie close to one direction, their mean, which tells no token from another.

    Args:
        mean: (hidden,).
        covariance: (hidden, hidden).
        dimension: How many; at most the width less one.
    """
    away = torch.eye(len(mean), dtype=mean.dtype) - torch.outer(mean, mean) / mean.dot(mean)
    _, vectors = torch.linalg.eigh(away @ covariance @ away)
    directions: Tensor = vectors[:, -dimension:].flip(-1).T.float().contiguous()
    return directions
