"""CAGrad: the mean gradient, bent towards the task that gains least."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mtl_tutorial.balancing import simplex
from mtl_tutorial.balancing.aggregator import Aggregator


class CAGrad(Aggregator):
    """Maximise the smallest gain min_k g_k · d over all d within c ‖g₀‖ of the mean gradient g₀.

    Its dual is a problem on the simplex, min_w g_w · g₀ + c ‖g₀‖ ‖g_w‖ with g_w = Σ_k w_k g_k, and
    d = g₀ + c ‖g₀‖ g_w / ‖g_w‖. c = 0 is the mean; a large c comes to MGDA. From c = 1 on d = 0 is allowed, and it
    is the answer where no direction helps all tasks.

    Args:
        c: radius, in units of the mean gradient's norm; convergence to the minimum of the mean loss needs c < 1.
        at: see :class:`~mtl_tutorial.balancing.aggregator.Aggregator`.

    Raises:
        ValueError: a negative c.

    Reference: Liu, Liu, Jin, Stone and Liu 2021, Conflict-Averse Gradient Descent for Multi-task Learning,
    algorithm 1.
    """

    def __init__(self, c: float = 0.5, at: Literal["parameters", "representation"] = "parameters"):
        super().__init__(at)
        if c < 0:
            raise ValueError(f"c={c} must not be negative: it is a radius")
        self.c = c

    def weights(self, gramian: Tensor) -> Tensor:
        """Map the Gramian [..., K, K] to the weights [..., K]."""
        even = torch.full_like(gramian[..., 0], 1 / gramian.shape[-1])                  # [..., K]
        mean, _ = _length(gramian, even)                                                # [...]    ‖g₀‖
        toward_mean = gramian.mean(-1) / mean[..., None]                                # [..., K] g_k · g₀ / ‖g₀‖
        dual = simplex.minimise(gramian, toward_mean, self.c, floor=0.0 if self.c >= 1 else -torch.inf)
        norm, error = _length(gramian, dual)                                            # [...]    ‖g_w‖
        weights = even + (self.c * mean / norm)[..., None] * dual
        gain = (toward_mean * dual).sum(-1) + self.c * norm         # of the task that gains least, over ‖g₀‖
        largest = gramian.diagonal(dim1=-2, dim2=-1).amax(-1).sqrt()
        stuck = gain <= 2 * self.c * error.maximum(simplex.TOLERANCE * largest)
        return weights.masked_fill(stuck[..., None], 0.0) if self.c >= 1 else weights

    def extra_repr(self) -> str:
        """Show the settings: a checkpoint must not be continued with others."""
        return f"c={self.c}, {super().extra_repr()}"


def _length(gramian: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return ‖Σ_k w_k g_k‖ [...] for w ≥ 0, not below its error, and this error: the Gramian is rounded."""
    limits = torch.finfo(gramian.dtype)
    squared = (weights * (gramian @ weights.unsqueeze(-1)).squeeze(-1)).sum(-1)
    rounded = limits.eps * (weights * (gramian.abs() @ weights.unsqueeze(-1)).squeeze(-1)).sum(-1)
    error = rounded.sqrt().clamp(min=limits.tiny)
    return squared.clamp(min=0).sqrt().maximum(error), error
