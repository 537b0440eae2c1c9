"""AITM: what one step of the funnel knows is handed to the next, by attention."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.layers.bank import Bank
from mtl_tutorial.layers.features import FeatureEncoder
from mtl_tutorial.layers.towers import Towers
from mtl_tutorial.tasks import Task


class InformationTransfer(nn.Module):
    """Weigh a task's own vector against what the task before it passes on.

    Args:
        width: H of both vectors.

    Reference: Xi et al. 2021, Modeling the Sequential Dependence among Audience Multi-step Conversions with
    Multi-task Learning in Targeted Display Advertising, equations 3 and 4.
    """

    def __init__(self, width: int):
        super().__init__()
        self.passed = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)

    def forward(self, before: Tensor, own: Tensor) -> Tensor:
        """Mix the previous step's vector [B, H] with this step's [B, H] into [B, H]."""
        pair = torch.stack([self.passed(before), own], 1)                               # [B, 2, H]
        query, key, value = self.query_key_value(pair).chunk(3, -1)                     # each [B, 2, H]
        weights = ((query * key).sum(-1) / math.sqrt(own.shape[-1])).softmax(-1)        # [B, 2]
        return torch.einsum("bn,bnh->bh", weights, value)


class AITM(nn.Module):
    """A chain of binary tasks, each a precondition of the next: click, cart, purchase.

    The towers are linear: the bodies before and the transfer between them hold the hidden layers.

    Args:
        schema: of the table.
        tasks: T binary tasks in the funnel's order; every label is of the whole impression, not conditional.
        dim: embedding dimension.
        widths: hidden layers of each task's body.
        calibration: weight of the penalty on a later step that is predicted likelier than an earlier one.

    Raises:
        ValueError: a task that is not binary.

    Reference: Xi et al. 2021, section 3.
    """

    def __init__(self, schema: Schema, tasks: Sequence[Task], dim: int = 8,
                 widths: Sequence[int] = (64,), calibration: float = 0.6):
        super().__init__()
        for task in tasks:
            if task.kind != "binary":
                raise ValueError(f"AITM is a chain of binary tasks; {task.name!r} is {task.kind}")
        self.encoder = FeatureEncoder(schema, dim)
        self.bodies = Bank(len(tasks), self.encoder.width, widths)
        self.transfers = nn.ModuleList(InformationTransfer(self.bodies.width) for _ in tasks[1:])
        self.towers = Towers(tasks, self.bodies.width, ())
        self.calibration = calibration

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return task -> logits."""
        own = self.bodies(self.encoder(inputs))                                         # [B, T, H]
        steps = [own[:, 0]]
        for step, transfer in enumerate(self.transfers, start=1):                       # a chain is sequential
            steps.append(transfer(steps[-1], own[:, step]))
        return self.towers(torch.stack(steps, 1))

    def penalty(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """Return the behavioural-expectation penalty: Σ_t max(p_t − p_{t−1}, 0), a mean over rows.

        Reference: the same paper, equation 8.
        """
        chain = torch.stack([outputs[task.name].sigmoid() for task in self.towers.tasks])    # [T, ..., B]
        return self.calibration * (chain[1:] - chain[:-1]).relu().sum(0).mean(-1)
