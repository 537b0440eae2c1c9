"""Towers: from each task's vector to each task's output."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.layers.bank import Bank
from mtl_tutorial.tasks import Task


def by_task(tasks: Sequence[Task], outputs: Tensor) -> dict[str, Tensor]:
    """Part the outputs of all tasks side by side, [B, O], into task -> [B], or [B, C] for classes."""
    parts = outputs.split([task.outputs for task in tasks], -1)
    return {task.name: part if task.classes else part.squeeze(-1) for task, part in zip(tasks, parts, strict=True)}


def owner_of_outputs(tasks: Sequence[Task]) -> Tensor:
    """Return which task each of the O outputs side by side belongs to, [O] int64."""
    return torch.tensor([t for t, task in enumerate(tasks) for _ in range(task.outputs)])


class Towers(nn.Module):
    """One small network per task, ending in as many outputs as the task has; all tasks in one product.

    Args:
        tasks: T tasks.
        inputs: width of each task's input.
        widths: of the towers' hidden layers.
    """

    def __init__(self, tasks: Sequence[Task], inputs: int, widths: Sequence[int]):
        super().__init__()
        self.tasks = tuple(tasks)
        self.hidden = Bank(len(tasks), inputs, widths)
        self.register_buffer("owner", owner_of_outputs(tasks), persistent=False)        # [O]
        bound = 1 / math.sqrt(self.hidden.width)
        self.weight = nn.Parameter(torch.empty(len(self.owner), self.hidden.width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(len(self.owner)))

    @torch.no_grad()
    def start_at(self, outputs: Tensor) -> None:
        """Make these the outputs of every row, [O], until training moves them: no weights yet, and biases as given.

        With the log-odds of each label's share, rare labels need not first be learned to be rare.
        """
        self.weight.zero_()
        self.bias.copy_(outputs)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map [B, 1, I] (shared) or [B, T, I] (one vector per task) to task -> [B], or [B, C] for classes."""
        hidden = self.hidden(x)                                                         # [B, T, H]
        if len(self.owner) > len(self.tasks):
            hidden = hidden[:, self.owner]                                              # [B, O, H]
        return by_task(self.tasks, (hidden * self.weight).sum(-1) + self.bias)          # [B, O]
