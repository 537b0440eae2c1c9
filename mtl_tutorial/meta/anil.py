"""ANIL: only the head adapts."""

from __future__ import annotations

from torch import nn

from mtl_tutorial.meta.losses import RowLoss
from mtl_tutorial.meta.maml import MAML


class ANIL(MAML):
    """MAML whose inner steps move the head alone: the body is learned across tasks, and read by all of them.

    Args:
        model: any module, or a stack.
        loss: of each row.
        inner_lr: α of the inner steps.
        inner_steps: in training, and by default when adapting.
        first_order: leave out second derivatives.
        head: name of the parameter or submodule that adapts.

    Reference: Raghu, Raghu, Bengio and Vinyals 2020, Rapid Learning or Feature Reuse? Towards Understanding the
    Effectiveness of MAML, section 4.
    """

    def __init__(self, model: nn.Module, loss: RowLoss, inner_lr: float = 0.01, inner_steps: int = 1,
                 first_order: bool = False, head: str = "head"):
        self.head = head
        super().__init__(model, loss, inner_lr, inner_steps, first_order)

    def adapts(self, name: str) -> bool:
        """Say whether the parameter of this name belongs to the head."""
        return name == self.head or name.startswith(f"{self.head}.")
