"""Untrained encoders that begin by mixing each word with its neighbours."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import layer_norm
from transformers import BertConfig, BertModel

from jacolbert_integrations.text.squad import read_squad
from jacolbert_integrations.training.architecture import Architecture, build_untrained
from jacolbert_integrations.training.local_attention import attend_locally, position_width
from jacolbert_integrations.types import TokenVectors

from ..conftest import JAQUAD_EXCERPT

SHAPE = Architecture(vocabulary_size=4000, hidden_size=128, layers=1, heads=4, dimension=128)


def untrained_bert() -> tuple[BertModel, nn.Linear]:
    torch.manual_seed(0)
    config = BertConfig(vocab_size=50, hidden_size=128, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=128)  # fmt: skip
    config._attn_implementation = "eager"  # the one that gives its weights
    bert, projection = BertModel(config, add_pooling_layer=False), nn.Linear(128, 128, bias=False)
    bert.train(False)
    words = bert.get_parameter("embeddings.word_embeddings.weight").data
    vectors = torch.randn(50, 128 - position_width(128, 4))
    words.zero_()
    words[:, : vectors.shape[1]] = layer_norm(vectors, vectors.shape[1:])
    attend_locally(bert, projection)
    return bert, projection


def test_attention_falls_off_with_distance() -> None:
    bert, projection = untrained_bert()
    ids = torch.randint(0, 50, (1, 300))
    with torch.no_grad():
        output = bert(input_ids=ids, output_attentions=True)
    (weights,) = output.attentions[0]  # (heads, tokens, tokens)
    for head in weights[:, 5:-5]:
        for row, place in zip(head, range(5, 295), strict=True):
            near = row[place - 2 : place + 3]
            torch.testing.assert_close(near, torch.tensor([0.04, 0.23, 0.46, 0.23, 0.04]), atol=0.05, rtol=0)
    assert not projection.weight[:, 104:].any()


def token_vectors(local: bool, text: str) -> TokenVectors:
    texts = [passage.text for passage in read_squad([JAQUAD_EXCERPT]).passages]
    model = build_untrained(texts, replace(SHAPE, local_attention=local))
    return model.encode_document([text])[0]


@pytest.mark.parametrize(("local", "changed"), [(True, True), (False, False)])
def test_a_word_knows_its_neighbours_alone(local: bool, changed: bool) -> None:
    first, second = (token_vectors(local, f"手塚治虫は{word}で生まれた漫画家である") for word in ("日本", "世界"))
    assert first.shape == second.shape
    same = (first * second).sum(axis=1)
    place = int(same.argmin())  # the word itself
    assert (same[[place - 1, place + 1]] < 0.98).all() == changed
    far = [i for i in range(len(same)) if abs(i - place) > 3]
    assert len(far) > 5
    assert (same[far] > 0.99).all()


def test_positions_fit_any_shape() -> None:
    assert position_width(128, 4) == 24
    assert position_width(192, 4) == 36
    assert position_width(16, 2) == 2
    assert position_width(128, 16) == 8  # no wider than a head
    texts = ["手塚治虫は日本の漫画家である。"] * 3
    for heads in (1, 2, 8):
        shape = Architecture(vocabulary_size=200, hidden_size=16, layers=1, heads=heads, dimension=8)
        assert build_untrained(texts, shape).encode_document(texts)[0].shape[1] == 8
