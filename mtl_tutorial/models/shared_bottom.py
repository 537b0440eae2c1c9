"""The shared bottom: one body, one tower per task."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.layers.bank import Bank
from mtl_tutorial.layers.features import FeatureEncoder
from mtl_tutorial.layers.towers import Towers
from mtl_tutorial.tasks import Task


class SharedBottom(nn.Module):
    """All tasks read the output of one body.

    Args:
        schema: of the table.
        tasks: T tasks.
        dim: embedding dimension.
        widths: hidden layers of the shared body.
        tower: hidden layers of each task's tower.

    Reference: Caruana 1997, Multitask Learning.
    """

    def __init__(self, schema: Schema, tasks: Sequence[Task], dim: int = 8,
                 widths: Sequence[int] = (128,), tower: Sequence[int] = (16,)):
        super().__init__()
        self.encoder = FeatureEncoder(schema, dim)
        self.body = Bank(1, self.encoder.width, widths)
        self.towers = Towers(tasks, self.body.width, tower)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return task -> logits."""
        return self.towers(self.body(self.encoder(inputs)))                             # body: [B, 1, H]
