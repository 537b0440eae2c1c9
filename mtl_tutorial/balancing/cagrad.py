"""CAGrad: the mean gradient, bent towards the task that gains least."""

from __future__ import annotations

from typing import Literal

import torch
from scipy.optimize import brentq
from torch import Tensor

from mtl_tutorial.balancing.aggregator import Aggregator
from mtl_tutorial.balancing.gramian import one_by_one, rows_of
from mtl_tutorial.balancing.simplex import shortest

SMALL = 1e-9        # of the largest gradient's length


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
        rounding = torch.finfo(gramian.dtype).eps ** 0.5
        return one_by_one(lambda problem: self._weights(rows_of(problem), rounding), gramian)

    def _weights(self, rows: Tensor, rounding: float) -> Tensor:
        """Map gradients [K, P] to the weights [K].

        d is (s g₀/‖g₀‖ + g_w) ‖g₀‖ / s, where g_w makes the bracket shortest and s is such that ‖g_w‖ = c s.
        """
        even, lengths = torch.full_like(rows[:, 0], 1 / len(rows)), rows.norm(dim=-1)
        rows, lengths = rows / lengths.max(), lengths / lengths.max()                   # the weights know no unit
        mean = rows.mean(0)
        pace = mean.norm().item()                                                       # ‖g₀‖
        if self.c == 0 or not pace > SMALL:
            return even

        def within(s: float) -> Tensor:
            return shortest(rows + s / pace * mean)

        def excess(s: float) -> float:
            return (within(s) @ rows).norm().item() - self.c * s

        s = brentq(excess, SMALL, 2 / self.c, disp=False) if excess(SMALL) > 0 else SMALL
        weights = within(s)
        known = max(SMALL, 4 * rounding * (weights @ lengths).item() / self.c)      # what rounding leaves of s
        return torch.zeros_like(even) if self.c >= 1 and s <= known else even + pace / max(s, known) * weights

    def extra_repr(self) -> str:
        """Show the settings: a checkpoint must not be continued with others."""
        return f"c={self.c}, {super().extra_repr()}"
