"""Towers: from each task's vector to each task's output."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.layers.bank import Bank
from mtl_tutorial.tasks import Task


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
        self.sizes = [task.outputs for task in tasks]
        self.hidden = Bank(len(tasks), inputs, widths)
        owner = torch.tensor([t for t, task in enumerate(tasks) for _ in range(task.outputs)])
        self.register_buffer("owner", owner, persistent=False)                          # [O] task of each output
        bound = 1 / math.sqrt(self.hidden.width)
        self.weight = nn.Parameter(torch.empty(len(owner), self.hidden.width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(len(owner)))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map [B, 1, I] (shared) or [B, T, I] (one vector per task) to task -> [B], or [B, C] for classes."""
        hidden = self.hidden(x)                                                         # [B, T, H]
        if len(self.owner) > len(self.tasks):
            hidden = hidden[:, self.owner]                                              # [B, O, H]
        flat = (hidden * self.weight).sum(-1) + self.bias                               # [B, O]
        parts = flat.split(self.sizes, -1)
        return {task.name: part if task.classes else part.squeeze(-1)
                for task, part in zip(self.tasks, parts, strict=True)}
