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

    Reference: Sun and Saenko 2016, Deep CORAL: Correlation Alignment for Deep Domain Adaptation, equations 1 to 3.
    """
    return covariance_distance(covariance(source), covariance(target))


class CORAL(nn.Module):
    """CORAL's loss between the two domains of a batch, for :class:`~mtl_tutorial.transfer.aligned.Aligned`.

    Args:
        strength: factor to the loss; of the models of one stack each has its own.

    Reference: Sun and Saenko 2016.
    """

    def __init__(self, strength: float = 1.0):
        super().__init__()
        self.register_buffer("strength", torch.tensor(float(strength)))

    def forward(self, features: Tensor, is_target: Tensor) -> Tensor:
        """Map features [B, d] and where they are the target's [B] bool to a scalar; without one domain, 0."""
        both = is_target.any() & ~is_target.all()
        return self.strength * both * covariance_distance(covariance(features, ~is_target),
                                                          covariance(features, is_target))
