"""The factorization machine: every two features interact, by the product of their vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.layers.features import FusedEmbedding
from mtl_tutorial.tasks import Task


class FactorizationMachine(nn.Module):
    """One logit: w₀ + Σ_i w_i x_i + Σ_{i<j} ⟨v_i, v_j⟩ x_i x_j, over ids (x = 1) and numbers.

    All pairs in time linear in the features: Σ_{i<j} ⟨u_i, u_j⟩ = ½ (‖Σ u_i‖² − Σ ‖u_i‖²) with u_i = x_i v_i. No
    user needs to have met an item for the two to interact, and without its random start a vector would never move:
    two machines that start apart end apart, which makes them good members of an ensemble.

    Args:
        schema: of the table.
        task: binary or regression.
        dim: d, numbers per vector.

    Raises:
        ValueError: a task with more than one output.

    Reference: Rendle 2010, Factorization Machines, equations 1 and 5.
    """

    def __init__(self, schema: Schema, task: Task, dim: int = 8):
        super().__init__()
        if task.outputs != 1:
            raise ValueError(f"task {task.name!r} has {task.outputs} outputs, a factorization machine has one")
        self.task = task
        self.ids = FusedEmbedding(schema.cardinalities, 1 + dim)
        self.numbers = nn.Parameter(0.1 * torch.randn(schema.numeric, 1 + dim))         # as the ids start
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return the task's logits, [B]."""
        of_numbers = inputs.numeric.unsqueeze(-1) * self.numbers                        # [B, D, 1 + d]
        terms = torch.cat([self.ids(inputs.categorical), of_numbers], 1)                # [B, F + D, 1 + d]
        total, vectors = terms.sum(1), terms[..., 1:]
        pairs = (total[..., 1:].square() - vectors.square().sum(1)).sum(-1) / 2         # [B]
        return {self.task.name: self.bias + total[..., 0] + pairs}
