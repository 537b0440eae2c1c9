"""Uncertainty weighting: a task's noise decides its weight."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_tutorial.balancing.scalarizer import Scalarizer, check_shape, state
from mtl_tutorial.tasks import Task


def uncertainty_weighted_loss(losses: Tensor, log_variances: Tensor, regression: Tensor) -> Tensor:
    """Return Σ_k c_k exp(−s_k) L_k + s_k / 2, with c_k = 1/2 for regression and 1 for classification.

    Args:
        losses: mean loss of each task, [..., K].
        log_variances: s_k = log σ_k², [..., K]; any sign.
        regression: True where the task is a regression, [K] bool.

    Returns:
        The objective, [...]. It may be negative: s_k / 2 is, where a task's loss is small. A value below zero is no
        error here, and nothing to clamp.
    """
    factor = torch.where(regression, 0.5, 1.0).to(losses.dtype)                         # [K]
    return (factor * (-log_variances).exp() * losses + log_variances / 2).sum(-1)


class UncertaintyWeighting(Scalarizer):
    """Each task has a learned log variance s_k; its loss is weighted by exp(−s_k), and s_k / 2 keeps s_k finite.

    The log is what is learned, for σ² itself would cross zero: the weight would change its sign and the task would
    be unlearned. Left to itself s_k goes to log(2 c_k L_k): the weight is 1 / (2 L_k), larger for the easier task.

    Args:
        tasks: K tasks; their kinds decide the factor c_k.
        repeats: R, for a stack of models.

    Reference: Kendall, Gal and Cipolla 2018, Multi-Task Learning Using Uncertainty to Weigh Losses for Scene
    Geometry and Semantics, equations 7 and 10.
    """

    def __init__(self, tasks: Sequence[Task], repeats: int | None = None):
        super().__init__()
        self.log_variances = nn.Parameter(state(tasks, repeats))
        self.register_buffer("regression", torch.tensor([task.kind == "regression" for task in tasks]))

    def forward(self, losses: Tensor) -> Tensor:
        """Map the losses [..., K] to the objective [...]."""
        check_shape(self.log_variances, losses)
        return uncertainty_weighted_loss(losses, self.log_variances, self.regression)
