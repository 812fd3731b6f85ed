"""Projections to several dimensions, trained together (Jina-ColBERT-v2, arXiv 2408.16672)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense
from torch import Tensor, nn

from ..errors import InputError


class ProjectionHeads(Dense):
    """A projection with smaller ones beside it, each of its own weights.

    In training the vectors of all heads lie one after the other in ``token_embeddings``, and
    :func:`split_dimensions` takes them apart. Otherwise this is the first projection alone, so that
    the model encodes, scores and saves as it did.

    Args:
        projection: The trained projection, (hidden, dim) without bias; it becomes the first head.
        dimensions: The smaller dimensions. Each head begins as the best approximation that its rank allows
            to the inner products of the first (its largest singular directions).
    """

    def __init__(self, projection: Dense, dimensions: Sequence[int]) -> None:
        hidden, dim = projection.in_features, projection.out_features
        if not dimensions or any(not 0 < d < dim for d in dimensions) or len(set(dimensions)) < len(dimensions):
            raise InputError(
                f"dimensions are {list(dimensions)}, but each must be another number from 1 to {dim - 1}: the model's "
                f"own {dim} is always trained."
            )
        super().__init__(
            in_features=hidden,
            out_features=dim,
            bias=False,
            activation_function=nn.Identity(),
            init_weight=projection.linear.weight.detach(),
            module_input_name="token_embeddings",
        )
        _, values, directions = torch.linalg.svd(self.linear.weight.detach().double(), full_matrices=False)
        self.heads = nn.ModuleDict()
        for d in sorted(dimensions, reverse=True):
            head = nn.Linear(hidden, d, bias=False)
            head.weight.data.copy_(values[:d, None] * directions[:d])
            self.heads[str(d)] = head
        self.to(projection.linear.weight)

    @property
    def dimensions(self) -> tuple[int, ...]:
        """The dimension of each head, the largest first."""
        return (self.out_features, *map(int, self.heads))

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Runs the forward pass as sentence-transformers does."""
        if not self.training:
            output: dict[str, Any] = super().forward(features, **kwargs)
            return output
        hidden = features["token_embeddings"]
        vectors = [self.linear(hidden), *(head(hidden) for head in self.heads.values())]
        return {**features, "token_embeddings": torch.cat(vectors, dim=-1)}


def add_heads(model: MultiVectorEncoder, dimensions: Sequence[int]) -> ProjectionHeads:
    """Gives a model's projection smaller ones beside it, in place.

    Raises:
        InputError: If the model has not one projection without bias, or a dimension is not below its own.
    """
    projections = [(index, module) for index, module in enumerate(model) if isinstance(module, Dense)]
    if len(projections) != 1 or projections[0][1].bias or projections[0][1].use_residual:
        raise InputError(
            f"heads need a model with one projection without bias, but this one has {len(projections)} projections."
        )
    place, projection = projections[0]
    heads = ProjectionHeads(projection, dimensions)
    model[place] = heads
    return heads


def split_dimensions(vectors: Tensor, dimensions: Sequence[int]) -> list[Tensor]:
    """Takes apart the vectors of :class:`ProjectionHeads`: (..., sum of dimensions) to (..., d) each, of length 1."""
    # The pipeline has normalised all heads together, which changed no direction.
    return [F.normalize(part, dim=-1) for part in torch.split(vectors, list(dimensions), dim=-1)]


def remove_heads(model: MultiVectorEncoder) -> None:
    """Leaves only the first projection of a model, in place."""
    for place, module in enumerate(model):
        if isinstance(module, ProjectionHeads):
            model[place] = _dense(module.linear.weight)


def of_dimension(model: MultiVectorEncoder, dimension: int) -> MultiVectorEncoder:
    """Builds a model with one of the heads as its only projection; it shares all other weights.

    Raises:
        InputError: If it has no head of that dimension.
    """
    found = next((module for module in model if isinstance(module, ProjectionHeads)), None)
    weights: dict[int, Tensor] = {}
    if found is not None:
        small = {int(name): head.weight for name, head in found.heads.items() if isinstance(head, nn.Linear)}
        weights = {found.out_features: found.linear.weight, **small}
    if dimension not in weights:
        raise InputError(f"there is no head of {dimension} dimensions; there are {sorted(weights)}.")
    modules = [_dense(weights[dimension]) if module is found else module for module in model]
    prompts = {name: prompt for name, prompt in model.prompts.items() if prompt is not None}
    return MultiVectorEncoder(modules=modules, device=str(model.device), prompts=prompts)


def _dense(weight: Tensor) -> Dense:
    dense = Dense(
        in_features=weight.shape[1],
        out_features=weight.shape[0],
        bias=False,
        activation_function=nn.Identity(),
        init_weight=weight.detach(),
        module_input_name="token_embeddings",
    )
    return dense.to(weight.device)
