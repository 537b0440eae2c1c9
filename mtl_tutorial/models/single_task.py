"""K separate networks: what every multi-task model has to beat."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.layers.bank import Bank
from mtl_tutorial.layers.features import FeatureEncoder
from mtl_tutorial.layers.towers import Towers
from mtl_tutorial.tasks import Task


class SingleTask(nn.Module):
    """One network per task with nothing shared, embeddings included, trained side by side.

    Since no parameter belongs to two tasks and Adam looks at each parameter alone, the summed loss trains
    every network exactly as if it were trained by itself on the same batches (early stopping apart, which looks at
    one score of all). The bodies are one bank.

    Args:
        schema: of the table.
        tasks: T tasks.
        dim: embedding dimension, in each network.
        widths: hidden layers of each network's body.
        tower: hidden layers of each network's tower.
    """

    def __init__(self, schema: Schema, tasks: Sequence[Task], dim: int = 8,
                 widths: Sequence[int] = (64,), tower: Sequence[int] = (16,)):
        super().__init__()
        self.encoders = FeatureEncoder(schema, dim, copies=len(tasks))
        self.bodies = Bank(len(tasks), self.encoders.width, widths)
        self.towers = Towers(tasks, self.bodies.width, tower)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return task -> logits."""
        x = self.encoders(inputs)                                                       # [B, T, I]
        return self.towers(self.bodies(x))
