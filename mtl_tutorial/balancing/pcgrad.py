"""PCGrad: where two gradients conflict, each is projected off the other."""

from __future__ import annotations

import torch
from torch import Tensor

from mtl_tutorial.balancing.aggregator import Aggregator


def project_conflicting(gradient: Tensor, other: Tensor) -> Tensor:
    """Return ``gradient`` [P] less its part along ``other`` [P] where they conflict (g · o < 0), else as it is."""
    inner = gradient @ other
    return gradient - inner / (other @ other) * other if inner < 0 else gradient


class PCGrad(Aggregator):
    """Project each task's gradient off those it conflicts with, one after the other in random order; then sum.

    A projection is made against the others' *original* gradients. With two tasks the order does not matter.

    Reference: Yu, Kumar, Gupta, Levine, Hausman and Finn 2020, Gradient Surgery for Multi-Task Learning,
    algorithm 1.
    """

    def weights(self, gramian: Tensor, orders: Tensor | None = None) -> Tensor:
        """Map the Gramian [..., K, K] to the weights [..., K].

        Args:
            gramian: inner products of the gradients.
            orders: row i is the order in which task i meets the others, [..., K, K]; random if left out.
        """
        if orders is None:
            orders = torch.rand_like(gramian).argsort(-1)
        squared = gramian.diagonal(dim1=-2, dim2=-1)                                    # [..., K]
        mine = torch.eye(gramian.shape[-1], dtype=gramian.dtype,
                         device=gramian.device).expand_as(gramian)           # [..., K, K] row i: g_i
        own = torch.arange(gramian.shape[-1], device=gramian.device)
        for other in orders.unbind(-1):                                                 # [..., K] whom each meets
            row = gramian.gather(-2, other.unsqueeze(-1).expand_as(gramian))            # [..., K, K]
            inner = (mine * row).sum(-1)                                                # [..., K] g_i · g_other
            meets = (inner < 0) & (other != own)
            step = torch.where(meets, inner / squared.gather(-1, other), 0.0)
            mine = mine.scatter_add(-1, other.unsqueeze(-1), -step.unsqueeze(-1))
        return mine.sum(-2)
