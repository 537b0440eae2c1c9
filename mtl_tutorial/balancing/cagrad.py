"""CAGrad: the mean gradient, bent towards the task that gains least."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from mtl_tutorial.balancing import simplex
from mtl_tutorial.balancing.aggregator import Aggregator


class CAGrad(Aggregator):
    """Maximise the smallest gain min_k g_k · d over all d within c ‖g₀‖ of the mean gradient g₀.

    Its dual is a problem on the simplex, min_w g_w · g₀ + c ‖g₀‖ ‖g_w‖ with g_w = Σ_k w_k g_k, and
    d = g₀ + c ‖g₀‖ g_w / ‖g_w‖. c = 0 is the mean; a large c comes to MGDA.

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
        toward_mean = gramian.mean(-1)                                                  # [..., K] g_k · g₀
        radius = self.c * toward_mean.mean(-1).clamp(min=0).sqrt()                      # [...]    c ‖g₀‖
        dual = simplex.minimise(gramian, toward_mean, radius)
        norm = (dual.unsqueeze(-2) @ gramian @ dual.unsqueeze(-1)).flatten(-2)          # [..., 1] ‖g_w‖²
        return 1 / gramian.shape[-1] + radius[..., None] * dual / norm.clamp(min=1e-30).sqrt()

    def extra_repr(self) -> str:
        """Show the settings: a checkpoint must not be continued with others."""
        return f"c={self.c}, {super().extra_repr()}"
