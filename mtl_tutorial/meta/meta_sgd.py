"""Meta-SGD: the inner rates are learned, too."""

from __future__ import annotations

import torch
from torch import nn

from mtl_tutorial.meta.losses import RowLoss
from mtl_tutorial.meta.maml import MAML
from mtl_tutorial.meta.weights import Weights, initial_weights, spread


class MetaSGD(MAML):
    """MAML with a learned inner rate for each entry of each parameter; a rate may become negative.

    Args:
        model: any module, or a stack.
        loss: of each row.
        inner_lr: where all rates start. (The paper draws them at random from a small interval.)
        inner_steps: in training, and by default when adapting; 1 in the paper.
        first_order: leave out second derivatives; the rates still learn from the first.

    Reference: Li, Zhou, Chen and Li 2017, Meta-SGD: Learning to Learn Quickly for Few-Shot Learning, equation 2.
    """

    def __init__(self, model: nn.Module, loss: RowLoss, inner_lr: float = 0.01, inner_steps: int = 1,
                 first_order: bool = False):
        super().__init__(model, loss, inner_lr, inner_steps, first_order)
        shapes = initial_weights(model)
        self._rates = nn.ParameterList(torch.full_like(shapes[name], inner_lr) for name in self.adapted)

    def learned_rates(self) -> Weights:
        """Return name -> the rates of each entry, shaped as the parameter."""
        return dict(zip(self.adapted, self._rates, strict=True))

    def rates(self, tasks: int) -> Weights:
        """Return the rates of T tasks, name -> [T, …]."""
        return spread(self.learned_rates(), tasks, self.repeats)
