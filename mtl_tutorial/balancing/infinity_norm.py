"""The articles' constraint: no entry of a task's gradient above C."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mtl_tutorial.balancing.aggregator import Aggregator
from mtl_tutorial.balancing.jacobian import Jacobian


def limit_infinity_norm(gradient: Tensor, limit: float) -> Tensor:
    """Return the gradient [P] scaled down, if need be, until no entry is larger than ``limit``; never scaled up."""
    largest = gradient.abs().max()
    return gradient * (limit / largest) if largest > limit else gradient


class InfinityNormLimit(Aggregator):
    """Scale each task's gradient down to ‖g_k‖∞ ≤ C, then sum.

    The gradient keeps its direction. What is small stays small: this bounds an exploding gradient and cannot help a
    vanishing one. Adam divides by the gradient's running size, so that a task alone hardly feels the limit; between
    tasks it works as a loss weight that changes from step to step.

    Args:
        limit: C > 0, in the unit of loss per unit of parameter.
        at: see :class:`~mtl_tutorial.balancing.aggregator.Aggregator`.

    Raises:
        ValueError: a limit that is not positive.
    """

    def __init__(self, limit: float, at: Literal["parameters", "representation"] = "parameters"):
        super().__init__(at)
        if limit <= 0:
            raise ValueError(f"limit={limit} must be positive")
        self.limit = limit

    def forward(self, jacobian: Jacobian) -> Tensor:
        """Map the tasks' gradients to their weights, [K] or [R, K], none above 1."""
        norms = jacobian.infinity_norms()
        return torch.where(norms > self.limit, self.limit / norms, 1.0)

    def extra_repr(self) -> str:
        """Show the settings: a checkpoint must not be continued with others."""
        return f"limit={self.limit}, {super().extra_repr()}"
