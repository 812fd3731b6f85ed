"""The losses: against values worked out by hand, and against sentence-transformers' own."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers.base.modules import Dense
from sentence_transformers.multi_vector_encoder.losses import (
    MultiVectorDistillKLDivLoss,
    MultiVectorMarginMSELoss,
    MultiVectorMultipleNegativesRankingLoss,
)
from sentence_transformers.multi_vector_encoder.modules.token_pooling import HierarchicalTokenPooling
from torch import Tensor, nn

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.errors import InputError
from jacolbert_integrations.training.heads import (
    ProjectionHeads,
    add_heads,
    of_dimension,
    remove_heads,
    split_dimensions,
)
from jacolbert_integrations.training.losses import (
    LateInteractionLoss,
    MultiVectorSoftmaxLoss,
    cached_in_batch_loss,
    min_max,
)

from ..conftest import STANFORD


class Given(nn.Module):
    """A model whose token vectors are its input."""

    def forward(self, features: dict[str, Tensor], **_: Any) -> dict[str, Tensor]:
        return features


def vector(cosine: float) -> list[float]:
    return [cosine, math.sqrt(1 - cosine**2)]


def columns(*documents: list[list[float]]) -> list[dict[str, Tensor]]:
    """One query of one token, and documents of one token each whose cosines with it are given."""
    texts = [[vector(1.0)], *documents]
    return [
        {"token_embeddings": torch.tensor([text]), "attention_mask": torch.ones(1, len(text), dtype=torch.bool)}
        for text in texts
    ]


def loss_of(loss: LateInteractionLoss, features: list[dict[str, Tensor]], labels: Tensor | None) -> dict[str, float]:
    return {name: float(value) for name, value in loss(features, labels).items()}


THREE = columns([vector(0.9)], [vector(0.5)], [vector(0.1)])
TEACHER = torch.tensor([[10.0, 4.0, 2.0]])


def kl(teacher: list[float], student: list[float]) -> float:
    t, s = [[math.exp(x) / sum(map(math.exp, row)) for x in row] for row in (teacher, student)]
    return sum(p * math.log(p / q) for p, q in zip(t, s, strict=True))


def test_min_max_by_hand() -> None:
    scores = torch.tensor([[2.0, 6.0, 4.0], [-1.0, -3.0, -2.0], [5.0, 5.0, 5.0]])
    assert torch.allclose(min_max(scores), torch.tensor([[0.0, 1.0, 0.5], [1.0, 0.0, 0.5], [0.0, 0.0, 0.0]]))


@given(st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=8))
def test_min_max_keeps_the_order_and_changes_nothing_twice(scores: list[float]) -> None:
    once = min_max(torch.tensor([scores]))
    assert ((once >= 0) & (once <= 1)).all()
    if max(scores) - min(scores) > 1e-3:
        assert torch.allclose(min_max(once), once, atol=1e-5)
        best = max(range(len(scores)), key=lambda i: scores[i])
        assert float(once[0, best]) == float(once.max()) == pytest.approx(1.0, abs=1e-4)


def test_v25_by_hand() -> None:
    """Student .9 .5 .1 is 1 .5 0, and teacher 10 4 2 is 1 .25 0."""
    found = loss_of(LateInteractionLoss(Given(), {"kl": 1.0}, normalization="both"), THREE, TEACHER)
    assert found["kl"] == pytest.approx(kl([1.0, 0.25, 0.0], [1.0, 0.5, 0.0]), abs=1e-6)
    assert found["kl"] == pytest.approx(0.00620, abs=1e-5)


def test_v2_and_a_normalised_teacher_by_hand() -> None:
    raw = loss_of(LateInteractionLoss(Given(), {"kl": 1.0}), THREE, TEACHER)
    assert raw["kl"] == pytest.approx(kl([10.0, 4.0, 2.0], [0.9, 0.5, 0.1]), abs=1e-6)
    half = loss_of(LateInteractionLoss(Given(), {"kl": 1.0}, normalization="teacher"), THREE, TEACHER)
    assert half["kl"] == pytest.approx(kl([1.0, 0.25, 0.0], [0.9, 0.5, 0.1]), abs=1e-6)


def test_margin_mse_by_hand() -> None:
    raw = loss_of(LateInteractionLoss(Given(), {"margin_mse": 1.0}), THREE, TEACHER)
    assert raw["margin_mse"] == pytest.approx(((0.4 - 6) ** 2 + (0.8 - 8) ** 2) / 2, abs=1e-4)
    both = loss_of(LateInteractionLoss(Given(), {"margin_mse": 1.0}, normalization="both"), THREE, TEACHER)
    assert both["margin_mse"] == pytest.approx(((0.5 - 0.75) ** 2 + 0) / 2, abs=1e-6)


def test_pairwise_softmax_by_hand() -> None:
    """v1: -log(e^.9 / (e^.9 + e^.5))."""
    pair = columns([vector(0.9)], [vector(0.5)])
    found = loss_of(LateInteractionLoss(Given(), {"softmax": 1.0}), pair, None)
    assert found["softmax"] == pytest.approx(math.log(1 + math.exp(-0.4)), abs=1e-6)
    scaled = loss_of(LateInteractionLoss(Given(), {"softmax": 2.0}, scale=10.0), pair, None)
    assert scaled["softmax"] == pytest.approx(2 * math.log(1 + math.exp(-4)), abs=1e-6)


def test_a_mix_is_the_weighted_sum() -> None:
    mixed = LateInteractionLoss(Given(), {"kl": 0.5, "softmax": 2.0}, normalization="both")
    found = loss_of(mixed, THREE, TEACHER)
    alone = loss_of(LateInteractionLoss(Given(), {"softmax": 1.0}), THREE, None)
    assert found["softmax"] == pytest.approx(2 * alone["softmax"])
    assert found["kl"] == pytest.approx(0.5 * kl([1.0, 0.25, 0.0], [1.0, 0.5, 0.0]), abs=1e-6)
    assert mixed.get_config_dict()["terms"] == {"kl": 0.5, "softmax": 2.0}


QUERIES = ["日本で一番高い山は？", "吾輩は猫であるの作者は誰ですか", "首都"]
DOCUMENTS = [
    ["富士山は日本で最も高い山である。", "夏目漱石の小説。名前はまだ無い。", "東京は日本の首都。"],
    ["琵琶湖は最大の湖。", "森鷗外は軍医でもあった。雁、舞姫などの作品がある。", "京都は古い都である。"],
    ["信濃川", "芥川龍之介の羅生門", "大阪は商業の街。"],
]
SCORES = torch.tensor([[9.0, 2.0, 1.0], [8.0, 3.0, 4.0], [5.0, 4.5, 0.0]])


@pytest.fixture(scope="module")
def model() -> JaColBERT:
    return JaColBERT.from_pretrained(STANFORD)


def features(model: JaColBERT) -> list[dict[str, Any]]:
    made = [model.model.preprocess(QUERIES, task="query")]
    made += [model.model.preprocess(column, task="document") for column in DOCUMENTS]
    return [f | {"task": "query" if i == 0 else "document"} for i, f in enumerate(made)]


def gradient(model: JaColBERT, loss: nn.Module, labels: Tensor | None) -> tuple[float, Tensor]:
    model.model.zero_grad()
    value = loss(features(model), labels)
    total: Tensor = torch.stack(list(value.values())).sum() if isinstance(value, dict) else value
    torch.autograd.backward(total)
    weights = next(module for module in model.model if isinstance(module, Dense)).linear.weight
    assert weights.grad is not None
    return float(total.detach()), weights.grad.clone()


def test_each_loss_is_that_of_sentence_transformers(model: JaColBERT) -> None:
    pipeline = model.model
    pairs: list[tuple[Any, nn.Module, Tensor | None]] = [
        ("kl", MultiVectorDistillKLDivLoss(pipeline), SCORES),
        ("margin_mse", MultiVectorMarginMSELoss(pipeline), SCORES),
        ("in_batch", MultiVectorMultipleNegativesRankingLoss(pipeline), None),
        ("softmax", MultiVectorSoftmaxLoss(pipeline), None),
        ("in_batch", cached_in_batch_loss(pipeline, 2), None),
    ]
    for term, theirs, labels in pairs:
        ours = gradient(model, LateInteractionLoss(pipeline, {term: 1.0}), labels)
        expected = gradient(model, theirs, labels)
        assert ours[0] == pytest.approx(expected[0], abs=1e-5), term
        assert torch.allclose(ours[1], expected[1], atol=1e-5), term


def test_pooling_is_that_of_sentence_transformers(model: JaColBERT) -> None:
    loss = LateInteractionLoss(model.model, {"kl": 1.0}, pool_factor=2)
    value, grad = gradient(model, loss, SCORES)
    assert float(grad.abs().sum()) > 0
    unpooled, _ = gradient(model, LateInteractionLoss(model.model, {"kl": 1.0}), SCORES)
    assert value != pytest.approx(unpooled, abs=1e-6)
    queries = model.encode_query(QUERIES)
    pooling = HierarchicalTokenPooling(2)
    scores = torch.stack(
        [
            torch.tensor([
                float((torch.tensor(q) @ pooling.pool_one(torch.tensor(d)).T).max(dim=1).values.sum())
                for d in model.encode_document([column[i] for column in DOCUMENTS])
            ])
            for i, q in enumerate(queries)
        ]
    )  # fmt: skip
    expected = nn.KLDivLoss(reduction="batchmean", log_target=True)(scores.log_softmax(-1), SCORES.log_softmax(-1))
    assert value == pytest.approx(float(expected), abs=1e-4)


def with_heads(*dimensions: int) -> JaColBERT:
    model = JaColBERT.from_pretrained(STANFORD)
    add_heads(model.model, dimensions)
    return model


def test_heads_change_nothing_outside_training(model: JaColBERT) -> None:
    headed = with_heads(8, 16)
    assert headed.score(QUERIES, DOCUMENTS[0]) == pytest.approx(model.score(QUERIES, DOCUMENTS[0]), abs=1e-5)
    remove_heads(headed.model)
    assert headed.fingerprint == model.fingerprint


def test_a_head_begins_as_the_best_approximation_of_the_whole() -> None:
    headed = with_heads(8)
    heads = next(m for m in headed.model if isinstance(m, ProjectionHeads))
    whole = heads.linear.weight.detach().double()
    small = heads.heads["8"].get_parameter("weight").detach().double()
    left = torch.linalg.svdvals(whole.T @ whole - small.T @ small)
    assert float(left[0]) == pytest.approx(float(torch.linalg.svdvals(whole)[8] ** 2), rel=1e-4)  # Eckart-Young


def test_the_loss_is_the_mean_over_all_dimensions() -> None:
    headed = with_heads(8, 16)
    headed.model.train()
    for module in headed.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    loss = LateInteractionLoss(headed.model, {"kl": 1.0})
    value, _ = gradient(headed, loss, SCORES)
    singles = []
    for dimension in (headed.dimension, 16, 8):
        single = of_dimension(headed.model, dimension)
        singles.append(float(MultiVectorDistillKLDivLoss(single)(features(headed), SCORES).detach()))
    assert value == pytest.approx(sum(singles) / 3, abs=1e-5)
    heads = next(m for m in headed.model if isinstance(m, ProjectionHeads))
    assert heads.dimensions == (headed.dimension, 16, 8)
    assert all(float(p.grad.abs().sum()) > 0 for p in heads.parameters() if p.grad is not None)
    assert all(p.grad is not None for p in heads.parameters())
    headed.model.eval()
    assert of_dimension(headed.model, 8).encode_query(["山"])[0].shape[1] == 8


def test_heads_that_cannot_be() -> None:
    headed = JaColBERT.from_pretrained(STANFORD)
    for dimensions in ((), (0,), (headed.dimension,), (8, 8)):
        with pytest.raises(InputError, match="must be another number from 1 to"):
            add_heads(headed.model, dimensions)
    with pytest.raises(InputError, match="there is no head of 7 dimensions; there are"):
        of_dimension(headed.model, 7)


def test_vectors_are_taken_apart_and_are_of_length_1() -> None:
    vectors = torch.tensor([[3.0, 4.0, 0.0, 5.0, 12.0]])
    first, second = split_dimensions(vectors, (3, 2))
    assert torch.allclose(first, torch.tensor([[0.6, 0.8, 0.0]]))
    assert torch.allclose(second, torch.tensor([[5 / 13, 12 / 13]]))
