"""MMoE: experts shared by all tasks, a gate per task. OMoE, its control: one gate for all."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mtl_tutorial.data.table import Inputs, Schema
from mtl_tutorial.layers.bank import Bank, BankLinear
from mtl_tutorial.layers.features import FeatureEncoder
from mtl_tutorial.layers.gates import mix_experts
from mtl_tutorial.layers.towers import Towers
from mtl_tutorial.tasks import Task


class MMoE(nn.Module):
    """Experts shared by all tasks; each task's gate decides, row by row, which to listen to.

    Args:
        schema: of the table.
        tasks: T tasks.
        dim: embedding dimension.
        experts: E.
        widths: hidden layers of each expert.
        tower: hidden layers of each task's tower.

    Reference: Ma et al. 2018, Modeling Task Relationships in Multi-task Learning with Multi-gate
    Mixture-of-Experts, equations 5 to 7.
    """

    one_gate = False

    def __init__(self, schema: Schema, tasks: Sequence[Task], dim: int = 8, experts: int = 8,
                 widths: Sequence[int] = (16,), tower: Sequence[int] = (16,)):
        super().__init__()
        self.encoder = FeatureEncoder(schema, dim)
        self.experts = Bank(experts, self.encoder.width, widths)
        self.gate = BankLinear(1 if self.one_gate else len(tasks), self.encoder.width, experts, bias=False)
        self.towers = Towers(tasks, self.experts.width, tower)

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return task -> logits."""
        x = self.encoder(inputs)                                                        # [B, I]
        mixed = mix_experts(self.experts(x), self.gate(x))                              # [B, T or 1, H]
        return self.towers(mixed)

    def gate_weights(self, inputs: Inputs) -> Tensor:
        """Return how much each gate listens to each expert, [B, T, E] ([B, 1, E] for OMoE), summing to 1."""
        return self.gate(self.encoder(inputs)).softmax(-1)


class OMoE(MMoE):
    """MMoE with one gate that serves all tasks (the same paper, figure 1b)."""

    one_gate = True
