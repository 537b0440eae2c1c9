"""Dynamic weight average: tasks that learn slowly get more weight."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_tutorial.balancing.scalarizer import Scalarizer, check_shape, state
from mtl_tutorial.tasks import Task


def dwa_weights(newer: Tensor, older: Tensor, temperature: float) -> Tensor:
    """Return K · softmax(newer / older / T), [..., K], from the mean losses of the last two periods.

    A task without a label in one of them has loss zero there; its ratio is taken as 1.
    """
    ratio = torch.where((older == 0) | (newer == 0), 1.0, newer / older)                # no label, no news
    return newer.shape[-1] * (ratio / temperature).softmax(-1)


class DWA(Scalarizer):
    """L = Σ_k λ_k L_k, λ = K · softmax(r / T), where r_k is the ratio of the task's last two mean losses.

    Needs the losses alone. All weights are 1 until two periods have passed.

    Args:
        tasks: K tasks.
        period: steps over which losses are averaged; the paper takes an epoch.
        temperature: T; the higher, the more even the weights.
        repeats: R, for a stack of models.

    Reference: Liu, Johns and Davison 2019, End-to-End Multi-Task Learning with Attention, equation 7.
    """

    def __init__(self, tasks: Sequence[Task], period: int, temperature: float = 2.0, repeats: int | None = None):
        super().__init__()
        self.period, self.temperature = period, temperature
        for name in ("total", "newer", "older"):
            self.register_buffer(name, state(tasks, repeats))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, losses: Tensor) -> Tensor:
        """Map the losses [..., K] to the objective [...], and count them in."""
        check_shape(self.total, losses)
        if self.steps >= 2 * self.period:
            objective = (dwa_weights(self.newer, self.older, self.temperature) * losses).sum(-1)
        else:
            objective = losses.sum(-1)
        self.total += losses.detach()
        self.steps += 1
        if self.steps % self.period == 0:
            self.older.copy_(self.newer)
            self.newer.copy_(self.total / self.period)
            self.total.zero_()
        return objective

    def extra_repr(self) -> str:
        """Show the settings: a checkpoint must not be continued with others."""
        return f"period={self.period}, temperature={self.temperature}"
