"""Banks of small networks, one bank per scenario: what several tasks' towers are where scenarios share none."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.layers.grouped import grouped_bank_linear, grouped_linear
from mtl_tutorial.layers.towers import by_task, owner_of_outputs
from mtl_tutorial.tasks import Task


class GroupedBankLinear(nn.Module):
    """T linear layers side by side for each of S scenarios; a row passes through its own scenario's alone.

    Every member is initialised as ``torch.nn.Linear`` would be.

    Args:
        scenarios: S.
        members: T.
        inputs, outputs: I and O.
    """

    def __init__(self, scenarios: int, members: int, inputs: int, outputs: int):
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(scenarios, members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(scenarios, members, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor, counts: Tensor) -> Tensor:
        """Map sorted rows [B, I] (shared input) or [B, T, I], with counts [S], to [B, T, O]."""
        return grouped_bank_linear(x, self.weight, self.bias, counts)


class GroupedBank(nn.Module):
    """T multi-layer perceptrons side by side for each of S scenarios.

    Args:
        scenarios: S.
        members: T.
        inputs: width of the input.
        widths: of the hidden layers, each followed by ReLU. Empty: the input is passed on.

    Attributes:
        width: of the output.
    """

    def __init__(self, scenarios: int, members: int, inputs: int, widths: Sequence[int]):
        super().__init__()
        sizes = [inputs, *widths]
        self.members, self.width = members, sizes[-1]
        self.layers = nn.ModuleList(GroupedBankLinear(scenarios, members, *pair)
                                    for pair in itertools.pairwise(sizes))

    def forward(self, x: Tensor, counts: Tensor) -> Tensor:
        """Map sorted rows [B, I] or [B, 1, I] (shared input), or [B, T, I], with counts [S], to [B, T, H]."""
        if x.dim() == 3 and x.shape[1] == 1:
            x = x.squeeze(1)                                                            # [B, I]
        for layer in self.layers:
            x = layer(x, counts).relu()                                                 # [B, T, ·]
        return x if x.dim() == 3 else x.unsqueeze(1).expand(-1, self.members, -1)


class GroupedTowers(nn.Module):
    """One small network per scenario and task, ending in as many outputs as the task has.

    Args:
        scenarios: S.
        tasks: T tasks.
        inputs: width of the input.
        widths: of the towers' hidden layers.
    """

    def __init__(self, scenarios: int, tasks: Sequence[Task], inputs: int, widths: Sequence[int]):
        super().__init__()
        self.tasks = tuple(tasks)
        self.hidden = GroupedBank(scenarios, len(tasks), inputs, widths)
        owner = owner_of_outputs(tasks)                                                 # [O]
        reads = owner == torch.arange(len(tasks)).unsqueeze(-1)                         # [T, O]
        self.register_buffer("reads", reads, persistent=False)
        bound = 1 / math.sqrt(self.hidden.width)
        self.weight = nn.Parameter(torch.empty(scenarios, self.hidden.width, len(owner)).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(scenarios, len(owner)))

    def forward(self, x: Tensor, counts: Tensor) -> dict[str, Tensor]:
        """Map sorted rows [B, I] or [B, 1, I] (shared) or [B, T, I], with counts [S], to task -> [B] or [B, C]."""
        hidden = self.hidden(x, counts).flatten(1)                                      # [B, T·H]
        own = self.weight.unsqueeze(1) * self.reads.unsqueeze(1)                        # [S, T, H, O]
        return by_task(self.tasks, grouped_linear(hidden, own.flatten(1, 2), self.bias, counts))
