"""The shared bottom with towers of their own for every scenario."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.layers.bank import Bank
from mtl_tutorial.layers.features import FeatureEncoder
from mtl_tutorial.layers.grouped import group_rows
from mtl_tutorial.layers.grouped_bank import GroupedTowers
from mtl_tutorial.tasks import Task


class ScenarioTowers(nn.Module):
    """All scenarios share embeddings and a body; every scenario has a tower of its own for every task.

    The towers of a scenario without rows in training stay as they were initialised: its outputs mean nothing.

    Args:
        schema: of the table.
        tasks: T tasks.
        dim: embedding dimension.
        widths: hidden layers of the shared body.
        tower: hidden layers of the tower of each scenario and task.
    """

    def __init__(self, schema: Schema, tasks: Sequence[Task], dim: int = 8,
                 widths: Sequence[int] = (128,), tower: Sequence[int] = (16,)):
        super().__init__()
        self.scenarios = schema.scenarios
        self.encoder = FeatureEncoder(schema, dim)
        self.body = Bank(1, self.encoder.width, widths)
        self.towers = GroupedTowers(schema.scenarios, tasks, self.body.width, tower)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return task -> logits."""
        groups = group_rows(inputs.scenario, self.scenarios)
        shared = self.body(self.encoder(groups.sort(inputs)))                           # [B, 1, H]
        return groups.unsort(self.towers(shared, groups.counts))
