"""How much the tasks pull against each other: noted during training, read off the Gramian."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.balancing.forward import forward
from mtl_tutorial.balancing.jacobian import Jacobian, shared_parameters
from mtl_tutorial.balancing.scalarizer import Sum
from mtl_tutorial.data.table import Table
from mtl_tutorial.tasks import Task


def gramian_at(model: nn.Module, tasks: Sequence[Task], batch: Table) -> Tensor:
    """Return the inner products of the gradients with respect to all shared parameters, [K, K] or [R, K, K]."""
    losses, _ = forward(model, tasks, batch)
    return Jacobian.of(losses, shared_parameters(model)).gramian()


def magnitudes(gramian: Tensor) -> Tensor:
    """Return the norm of each task's gradient, [..., K], from the Gramian [..., K, K]."""
    return gramian.diagonal(dim1=-2, dim2=-1).sqrt()


def cosines(gramian: Tensor) -> Tensor:
    """Return the cosine between any two tasks' gradients, [..., K, K]; 0 with a gradient that is zero."""
    norms = magnitudes(gramian)
    return gramian / (norms.unsqueeze(-1) * norms.unsqueeze(-2)).clamp(min=torch.finfo(gramian.dtype).tiny)


class ConflictWatch(Sum):
    """Train on the plain sum and note the Gramian every so many steps: the training itself is that of Sum.

    Args:
        every: steps between notes; a note costs one backward pass per task.

    Attributes:
        gramians: the notes, [K, K] or [R, K, K] each; they do not go into a checkpoint.
    """

    def __init__(self, every: int = 10):
        super().__init__()
        self.every = every
        self.steps = 0
        self.gramians: list[Tensor] = []

    def backward(self, model: nn.Module, tasks: Sequence[Task], batch: Table, bf16: bool = False) -> Tensor:
        """Leave the sum's gradient in the parameters and return the losses, [K] or [R, K], detached."""
        losses, penalty = forward(model, tasks, batch, bf16)
        if self.steps % self.every == 0:
            self.gramians.append(Jacobian.of(losses, shared_parameters(model)).gramian())
        self.steps += 1
        objective = self(losses).sum()
        (objective if penalty is None else objective + penalty).backward()
        return losses.detach()

    def conflict_share(self) -> Tensor:
        """Return the share of noted steps at which two tasks' gradients conflict, g_i · g_j < 0, [(R,) K, K]."""
        return (torch.stack(self.gramians) < 0).float().mean(0)
