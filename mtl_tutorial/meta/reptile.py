"""Reptile: move the start towards where tasks end up, without a gradient through anything."""

from __future__ import annotations

import torch
from torch import Tensor

from mtl_tutorial.meta.episodes import Episodes, all_rows
from mtl_tutorial.meta.maml import MAML
from mtl_tutorial.meta.weights import initial_weights


def reptile_update(start: Tensor, adapted: Tensor, rate: float) -> Tensor:
    """Move a parameter towards the mean of the tasks' adapted ones: θ + ε · mean over tasks (φ − θ).

    Args:
        start: θ, […].
        adapted: φ of T tasks, [T, …].
        rate: ε; at 1 the new θ is the mean of all φ.

    Returns:
        The new θ, […].

    Reference: Nichol, Achiam and Schulman 2018, On First-Order Meta-Learning Algorithms, algorithm 2.
    """
    return torch.lerp(start, adapted.mean(0), rate)


class Reptile(MAML):
    """Learn initial weights by running plain gradient descent on tasks, and following it part of the way.

    A task's rows are not parted in training: the inner steps run on support and query rows together. The step
    θ − mean φ is left in ``.grad``, so that any optimizer can take it: SGD with rate ε gives the paper's update.
    With a single inner step this is training on all tasks pooled; it takes two or more to learn to adapt.

    Args: as for :class:`~mtl_tutorial.meta.maml.MAML`; first or second order makes no difference.

    Reference: Nichol, Achiam and Schulman 2018, On First-Order Meta-Learning Algorithms, algorithm 2.
    """

    def backward(self, episodes: Episodes) -> Tensor:
        """Add θ − mean φ to ``.grad``, and return the query loss of each task after adaptation to all rows, [T]."""
        with torch.no_grad():
            adapted = self.adapt(*all_rows(episodes))
            for name, start in initial_weights(self.model).items():
                if name in self.adapted:
                    ends = adapted[name]                                                # [T, …]
                    if self.repeats is not None:
                        ends = ends.unflatten(0, (self.repeats, -1)).transpose(0, 1)    # [T / R, R, …]
                    step = start - reptile_update(start, ends, 1.0)
                    start.grad = step if start.grad is None else start.grad + step
            return self.query_loss(adapted, episodes)
