"""Random loss weighting: the control that every adaptive method has to beat."""

from __future__ import annotations

import torch
from torch import Tensor

from mtl_tutorial.balancing.scalarizer import Scalarizer


class RandomLossWeighting(Scalarizer):
    """L = Σ_k λ_k L_k with λ = softmax(z), z drawn anew from N(0, I) at every step.

    Reference: Lin, Ye, Zhang and Tsang 2022, Reasonable Effectiveness of Random Weighting: A Litmus Test for
    Multi-Task Learning, section 3.1.
    """

    def forward(self, losses: Tensor) -> Tensor:
        """Map the losses [..., K] to the objective [...]."""
        return (torch.randn_like(losses).softmax(-1) * losses).sum(-1)
