"""Scalarizers: the losses of K tasks become one number to descend."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Scalarizer(nn.Module):
    """Base class. Its parameters, if it has any, are trained with the model's."""

    def forward(self, losses: Tensor) -> Tensor:
        """Map the losses [..., K] to the objective [...]."""
        raise NotImplementedError


class Sum(Scalarizer):
    """L = Σ_k L_k."""

    def forward(self, losses: Tensor) -> Tensor:
        """Map the losses [..., K] to their sum [...]."""
        return losses.sum(-1)


class StaticWeights(Scalarizer):
    """L = Σ_k w_k L_k with fixed weights.

    Args:
        weights: one per task, in the order of the tasks, not negative.

    Raises:
        ValueError: a negative weight.
    """

    def __init__(self, weights: Sequence[float]):
        super().__init__()
        if min(weights) < 0:
            raise ValueError(f"weights {list(weights)} must not be negative: a task would be unlearned")
        self.register_buffer("weights", torch.as_tensor(weights, dtype=torch.float32))

    def forward(self, losses: Tensor) -> Tensor:
        """Map the losses [..., K] to their weighted sum [...]."""
        return losses @ self.weights.to(losses.dtype)

    def extra_repr(self) -> str:
        """Show the weights: a checkpoint must not be continued with others."""
        return f"{self.weights.tolist()}"
