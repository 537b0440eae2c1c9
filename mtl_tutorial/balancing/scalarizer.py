"""Scalarizers: the losses of K tasks become one number to descend."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.balancing.forward import forward
from mtl_tutorial.data.table import Table
from mtl_tutorial.tasks import Task


class Scalarizer(nn.Module):
    """Base class: a method is its formula, :meth:`forward`; the step around it is the same for all.

    Its parameters, if it has any, are trained with the model's.

    Attributes:
        looks_back: whether :meth:`after_step` is to be called with the losses that the step led to, on the same
            batch. It costs one more forward pass, in training mode: running statistics count the batch twice.
    """

    looks_back = False

    def forward(self, losses: Tensor) -> Tensor:
        """Map the losses [..., K] to the objective [...]."""
        raise NotImplementedError

    def backward(self, model: nn.Module, tasks: Sequence[Task], batch: Table, bf16: bool = False) -> Tensor:
        """Leave the objective's gradient in the parameters and return the losses, [K] or [R, K], detached."""
        losses, penalty = forward(model, tasks, batch, bf16)
        objective = self(losses).sum()
        (objective if penalty is None else objective + penalty).backward()
        return losses.detach()

    def after_step(self, losses: Tensor) -> None:
        """Learn from the losses [..., K] of the batch after the step."""


class Sum(Scalarizer):
    """L = Σ_k L_k."""

    def forward(self, losses: Tensor) -> Tensor:
        """Map the losses [..., K] to their sum [...]."""
        return losses.sum(-1)


class StaticWeights(Scalarizer):
    """L = Σ_k w_k L_k with fixed weights.

    Args:
        weights: one per task, in the order of the tasks, not negative, [K]; for a stack of models, one row per
            model if they are to differ, [R, K].

    Raises:
        ValueError: a negative weight; losses of other tasks or repeats than there are weights for.
    """

    def __init__(self, weights: Sequence[float] | Sequence[Sequence[float]] | Tensor):
        super().__init__()
        self.register_buffer("weights", torch.as_tensor(weights, dtype=torch.float32))
        if self.weights.min() < 0:
            raise ValueError(f"weights {self.weights.tolist()} must not be negative: a task would be unlearned")

    def forward(self, losses: Tensor) -> Tensor:
        """Map the losses [..., K] to their weighted sum [...]."""
        if self.weights.shape != losses.shape[-self.weights.dim():]:
            check_shape(self.weights, losses)
        return (losses * self.weights.to(losses.dtype)).sum(-1)

    def extra_repr(self) -> str:
        """Show the weights: a checkpoint must not be continued with others."""
        return f"{self.weights.tolist()}"


def check_shape(own: Tensor, losses: Tensor) -> None:
    """Raise ValueError where a method keeps numbers for other tasks or repeats than the losses [..., K] have."""
    if own.shape != losses.shape:
        raise ValueError(f"the losses have shape {tuple(losses.shape)}, but the method was built for "
                         f"{tuple(own.shape)}: give it the model's tasks, and its repeats if it is a stack")


def state(tasks: Sequence[Task], repeats: int | None) -> Tensor:
    """Return zeros, one per task, for a method to keep: [K], or [R, K] for a stack of R models."""
    return torch.zeros(len(tasks)) if repeats is None else torch.zeros(repeats, len(tasks))
