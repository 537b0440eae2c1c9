"""S separate networks: what every model that joins scenarios has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.layers.features import FeatureEncoder
from mtl_tutorial.layers.grouped import group_rows
from mtl_tutorial.layers.grouped_bank import GroupedBank, GroupedTowers
from mtl_tutorial.tasks import Task


class PerScenario(nn.Module):
    """One shared-bottom network per scenario with nothing shared between them, embeddings included.

    A row's ids are looked up in its own scenario's table, and it passes through its own scenario's network. A
    scenario without rows in training stays as it was initialised: its outputs mean nothing.

    Args:
        schema: of the table.
        tasks: T tasks, which share their scenario's body.
        dim: embedding dimension, in each network.
        widths: hidden layers of each scenario's body.
        tower: hidden layers of the tower of each scenario and task.
    """

    def __init__(self, schema: Schema, tasks: Sequence[Task], dim: int = 8,
                 widths: Sequence[int] = (64,), tower: Sequence[int] = (16,)):
        super().__init__()
        self.scenarios = schema.scenarios
        own_ids = tuple(size * schema.scenarios for size in schema.cardinalities)
        self.encoder = FeatureEncoder(schema._replace(cardinalities=own_ids), dim)
        self.register_buffer("sizes", torch.tensor(schema.cardinalities, dtype=torch.long), persistent=False)
        self.bodies = GroupedBank(schema.scenarios, 1, self.encoder.width, widths)
        self.towers = GroupedTowers(schema.scenarios, tasks, self.bodies.width, tower)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return task -> logits."""
        groups = group_rows(inputs.scenario, self.scenarios)
        rows = groups.sort(inputs)
        own_ids = rows.categorical + rows.scenario.unsqueeze(-1) * self.sizes           # [B, F]
        x = self.encoder(rows._replace(categorical=own_ids))                            # [B, I]
        return groups.unsort(self.towers(self.bodies(x, groups.counts), groups.counts))     # bodies: [B, 1, H]
