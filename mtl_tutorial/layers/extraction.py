"""One level of PLE: every task's own experts beside shared ones, behind customised gates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.layers.bank import Bank, BankLinear
from mtl_tutorial.layers.gates import mix_experts, mix_shared_and_own


class ExtractionLevel(nn.Module):
    """Customised gate control (CGC): a task sees its own experts and the shared ones, never another task's.

    Args:
        inputs: width of the input.
        tasks: T.
        own: P experts per task.
        shared: S experts for all.
        widths: hidden layers of each expert.
        last: the last level emits no shared vector, since no level follows to read it.

    Reference: Tang et al. 2020, Progressive Layered Extraction (PLE), figures 4 and 5.
    """

    def __init__(self, inputs: int, tasks: int, own: int, shared: int, widths: Sequence[int], last: bool):
        super().__init__()
        self.tasks, self.own = tasks, own
        self.experts = Bank(tasks * own + shared, inputs, widths)       # task 0's, task 1's, …, the shared ones
        self.task_gate = BankLinear(tasks, inputs, own + shared, bias=False)
        self.shared_gate = None if last else BankLinear(1, inputs, tasks * own + shared, bias=False)
        owner = [t for t in range(tasks) for _ in range(own)] + [tasks] * shared
        self.register_buffer("owner", torch.tensor(owner), persistent=False)            # [T·P + S]

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, I], or [B, T + 1, I] (the tasks' vectors, then the shared one), to [B, T (+ 1), H]."""
        first = x.dim() == 2
        outputs = self.experts(x if first else x.index_select(1, self.owner))            # [B, T·P + S, H]
        own, shared = outputs.tensor_split([self.tasks * self.own], 1)
        own = own.unflatten(1, (self.tasks, self.own))                                  # [B, T, P, H]
        mixed = mix_shared_and_own(shared, own, self.gate_logits(x))                    # [B, T, H]
        if self.shared_gate is None:
            return mixed
        logits = self.shared_gate(x if first else x[:, -1])                             # [B, 1, T·P + S]
        return torch.cat([mixed, mix_experts(outputs, logits)], 1)                      # [B, T + 1, H]

    def gate_logits(self, x: Tensor) -> Tensor:
        """Return each task's gate logits over its own experts, then the shared ones, [B, T, P + S]."""
        return self.task_gate(x if x.dim() == 2 else x[:, : self.tasks])
