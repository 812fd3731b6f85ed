"""The losses of the JaColBERT line, singly or mixed, over one forward pass.

The losses themselves are sentence-transformers' own. Added here are the pairwise softmax of v1, the
min-max normalisation of v2.5, and a mix of losses, heads and pooling that embeds each batch once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.losses.merged_forward import embed_columns_padded
from sentence_transformers.multi_vector_encoder.losses import (
    CachedMultiVectorMultipleNegativesRankingLoss,
    MultiVectorDistillKLDivLoss,
    MultiVectorMarginMSELoss,
    MultiVectorMultipleNegativesRankingLoss,
)
from sentence_transformers.multi_vector_encoder.modules.token_pooling import HierarchicalTokenPooling
from sentence_transformers.multi_vector_encoder.scoring import colbert_kd_scores
from sentence_transformers.util import stack_padded_token_embeddings
from torch import Tensor, nn

from .heads import ProjectionHeads, split_dimensions
from .recipes import Normalization, Term


def min_max(scores: Tensor) -> Tensor:
    """Scales the scores of each query to 0 to 1: ``(s - min) / (max - min + 1e-8)`` over the last axis.

    The epsilon is that of JaColBERTv2.5's training code, so that constant scores become 0.
    """
    least = scores.min(dim=-1, keepdim=True).values
    return (scores - least) / (scores.max(dim=-1, keepdim=True).values - least + 1e-8)


def min_max_maxsim(queries: Tensor, documents: Tensor, **masks: Any) -> Tensor:
    """Computes MaxSim of each query with its own n documents, scaled to 0 to 1 (arXiv 2407.20750, section 3.4).

    Args:
        queries: (queries, tokens, dim).
        documents: (queries, n, tokens, dim).
        **masks: ``queries_mask`` and ``documents_mask``.

    Returns:
        (queries, n).
    """
    return min_max(colbert_kd_scores(queries, documents, **masks))


class MultiVectorSoftmaxLoss(nn.Module):
    """Softmax cross-entropy of each query's own passages, the first being right.

    With one negative this is ColBERT's pairwise softmax (arXiv 2004.12832), on which v1 was trained.

    Args:
        model: The model.
        scale: Factor on the scores before the softmax.
    """

    def __init__(self, model: nn.Module, *, scale: float = 1.0) -> None:
        super().__init__()
        self.model = model
        self.scale = scale

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None = None) -> Tensor:  # noqa: ARG002 - as the trainer calls a loss
        """Computes the loss of features in columns: query, positive, negative, ..."""
        query, *documents = [dict(features) for features in sentence_features]
        output = self.model(query, task="query")
        vectors, mask = stack_padded_token_embeddings(
            *embed_columns_padded(self.model, documents, task_default="document")
        )
        scores = colbert_kd_scores(
            output["token_embeddings"], vectors, queries_mask=output["attention_mask"].bool(), documents_mask=mask
        )
        return F.cross_entropy(scores * self.scale, torch.zeros(len(scores), dtype=torch.long, device=scores.device))


class Embedded(nn.Module):
    """Stands in for the model inside a loss, and hands on token vectors that have been computed already."""

    def forward(self, features: dict[str, Tensor], **_: Any) -> dict[str, Tensor]:
        """Returns the features unchanged."""
        return features


class LateInteractionLoss(nn.Module):
    """A weighted sum of losses over one forward pass, at one or several dimensions.

    Args:
        model: The model. If it has :class:`~.heads.ProjectionHeads`, the loss is the mean over all of them.
        terms: Name of a loss to its weight. ``softmax``: each query's own passages, the first being
            right. ``in_batch``: the same over all passages of the batch. ``kl``: KL divergence from the
            teacher's distribution over a query's passages to the student's, no temperature.
            ``margin_mse``: squared difference of the teacher's and the student's margins between the first
            passage and each other (arXiv 2010.02666).
        normalization: Of the scores that ``kl`` and ``margin_mse`` compare: ``none`` (v2), ``teacher``,
            or ``both`` from 0 to 1 for each query (v2.5). A teacher's scores that have been
            normalised before are not changed by it.
        scale: Factor on the scores of ``softmax`` and ``in_batch``.
        pool_factor: Documents are pooled to this fraction of their vectors (arXiv 2409.14683) before
            they are scored, so that the model learns vectors that pool well. 1 does not pool.
    """

    def __init__(
        self,
        model: nn.Module,
        terms: Mapping[Term, float],
        *,
        normalization: Normalization = "none",
        scale: float = 1.0,
        pool_factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.terms = dict(terms)
        self.normalization = normalization
        self.scale = scale
        self.pooling = HierarchicalTokenPooling(pool_factor) if pool_factor > 1 else None
        heads = next((module for module in model.modules() if isinstance(module, ProjectionHeads)), None)
        self.dimensions = None if heads is None else heads.dimensions
        self.losses = nn.ModuleDict({term: self._loss(term) for term in terms})

    def forward(
        self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Computes the weighted loss of each term.

        Args:
            sentence_features: A column of texts each: query, positive, further passages.
            labels: (queries, passages) a teacher's scores, for the terms that need them.
        """
        query, *documents = [dict(features) for features in sentence_features]
        output = self.model(query, task="query")
        vectors, masks = embed_columns_padded(self.model, documents, task_default="document")
        if self.normalization != "none" and labels is not None:
            labels = min_max(labels.float())
        columns = [(output["token_embeddings"], output["attention_mask"].bool()), *zip(vectors, masks, strict=True)]
        sizes = self.dimensions
        at_each = [columns] if sizes is None else _by_dimension(columns, sizes)
        sums: dict[str, Tensor] = {}
        for sized in at_each:
            features = [{"token_embeddings": v, "attention_mask": m} for v, m in sized]
            if self.pooling is not None:
                features[1:] = [self.pooling(f, task="document") for f in features[1:]]
            for term, weight in self.terms.items():
                loss = self.losses[term]([dict(f) for f in features], labels) * (weight / len(at_each))
                sums[term] = sums[term] + loss if term in sums else loss
        return sums

    def get_config_dict(self) -> dict[str, Any]:
        """Returns what sentence-transformers writes on a model card."""
        return {
            "terms": self.terms,
            "normalization": self.normalization,
            "scale": self.scale,
            "pool_factor": 1.0 if self.pooling is None else self.pooling.pool_factor,
            "dimensions": self.dimensions,
        }

    def _loss(self, term: Term) -> nn.Module:
        model: Any = Embedded()
        if term == "softmax":
            return MultiVectorSoftmaxLoss(model, scale=self.scale)
        if term == "in_batch":
            return MultiVectorMultipleNegativesRankingLoss(model, scale=self.scale)
        student = min_max_maxsim if self.normalization == "both" else colbert_kd_scores
        if term == "kl":
            return MultiVectorDistillKLDivLoss(model, similarity_fct=student)
        return MultiVectorMarginMSELoss(model) if student is colbert_kd_scores else _NormalizedMarginMSE(model)


class _NormalizedMarginMSE(nn.Module):
    """MarginMSE of min-max-normalised scores; sentence-transformers' own scores pair by pair, which has no range."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, sentence_features: list[dict[str, Tensor]], labels: Tensor) -> Tensor:
        query, *documents = sentence_features
        vectors, mask = stack_padded_token_embeddings(
            [f["token_embeddings"] for f in documents], [f["attention_mask"] for f in documents]
        )
        scores = min_max_maxsim(
            query["token_embeddings"], vectors, queries_mask=query["attention_mask"], documents_mask=mask
        )
        return F.mse_loss(scores[:, :1] - scores[:, 1:], labels[:, :1] - labels[:, 1:])


def cached_in_batch_loss(model: MultiVectorEncoder, mini_batch_size: int, *, scale: float = 1.0) -> nn.Module:
    """Builds sentence-transformers' ``in_batch`` loss of large batches in the memory of small ones (GradCache)."""
    return CachedMultiVectorMultipleNegativesRankingLoss(model, scale=scale, mini_batch_size=mini_batch_size)


def _by_dimension(
    columns: list[tuple[Tensor, Tensor]], dimensions: tuple[int, ...]
) -> list[list[tuple[Tensor, Tensor]]]:
    parts = [[(part, mask) for part in split_dimensions(vectors, dimensions)] for vectors, mask in columns]
    return [list(column) for column in zip(*parts, strict=True)]
