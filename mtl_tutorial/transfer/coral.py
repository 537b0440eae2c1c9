"""CORAL: features of two domains are made to covary alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def covariance(features: Tensor, rows: Tensor | None = None) -> Tensor:
    """Return the covariance of features [N, d], divided by n − 1, as [d, d].

    Args:
        features: [N, d].
        rows: the n rows that count, [N] bool; all if left out. Zeros come of fewer than two.
    """
    weight = torch.ones_like(features[:, :1]) if rows is None else rows.to(features.dtype).unsqueeze(-1)   # [N, 1]
    count = weight.sum()
    mean = (weight * features).sum(0) / count.clamp(min=1)                              # [d]
    centred = weight * (features - mean)                                                # [N, d]
    return centred.T @ centred / (count - 1).clamp(min=1)


def covariance_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return ‖C₁ − C₂‖²_F / 4d² of two covariances [d, d], a scalar."""
    return (first - second).square().sum() / (4 * first.shape[-1] ** 2)


def coral_loss(source: Tensor, target: Tensor) -> Tensor:
    """Return ‖C_S − C_T‖²_F / 4d², a scalar.

    Means do not enter: two domains that differ by a shift alone have the loss 0.

    Args:
        source: features, [N, d], two rows or more.
        target: features, [M, d], two rows or more.

    Raises:
        ValueError: fewer than two rows of a domain, which have no covariance.

    Reference: Sun and Saenko 2016, Deep CORAL: Correlation Alignment for Deep Domain Adaptation, equations 1 to 3.
    """
    _need_two_rows(source, target)
    return covariance_distance(covariance(source), covariance(target))


def recolour(source: Tensor, target: Tensor) -> Tensor:
    """Return the source's columns with the mean and covariance of the target's, [N, d]: CORAL without a network.

    x ↦ (x − μ_S) C_S^(−½) C_T^(½) + μ_T, a linear map of the columns. A model is then trained on them with the
    source's labels. Of all maps that give the target's covariance this is one: a rotation of the target's columns
    goes unnoticed.

    Args:
        source: [N, d], of full rank.
        target: [M, d], two rows or more.

    Raises:
        ValueError: fewer than two rows of a domain, or columns of the source that depend on each other linearly.

    Reference: Sun, Feng and Saenko 2016, Return of Frustratingly Easy Domain Adaptation, algorithm 1 (there the
    covariances have 1 added to the diagonal, and columns are standardised before).
    """
    _need_two_rows(source, target)
    own, goal = covariance(source), covariance(target)
    if torch.linalg.matrix_rank(own, hermitian=True) < len(own):
        raise ValueError(f"the source's {len(own)} columns depend on each other linearly: leave some out")
    white = (source - source.mean(0)) @ _power(own, -0.5)
    return white @ _power(goal, 0.5) + target.mean(0)


def _power(symmetric: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(symmetric)
    return vectors * values.clamp(min=0) ** exponent @ vectors.T


def _need_two_rows(source: Tensor, target: Tensor) -> None:
    if min(len(source), len(target)) < 2:
        raise ValueError(f"{len(source)} rows of the source and {len(target)} of the target: a covariance needs "
                         "two of each at least")


class CORAL(nn.Module):
    """CORAL's loss between the two domains of a batch, for :class:`~mtl_tutorial.transfer.aligned.Aligned`.

    A batch with fewer than two rows of a domain, which have no covariance, is not penalised.

    Args:
        strength: factor to the loss; of the models of one stack each has its own.

    Reference: Sun and Saenko 2016.
    """

    def __init__(self, strength: float = 1.0):
        super().__init__()
        self.register_buffer("strength", torch.tensor(float(strength)))

    def forward(self, features: Tensor, is_target: Tensor) -> Tensor:
        """Map features [B, d] and where they are the target's [B] bool to a scalar."""
        enough = (is_target.sum() > 1) & ((~is_target).sum() > 1)
        return self.strength * enough * covariance_distance(covariance(features, ~is_target),
                                                            covariance(features, is_target))
