"""Stacked generalisation: a logistic regression on what the experts say."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mtl_tutorial.fusion.checks import check_both_labels, check_experts, check_labels
from mtl_tutorial.newton import damped_newton


class StackedWeights(NamedTuple):
    """A logistic regression on the experts' logits, one for each problem."""

    weights: Tensor             # [..., M] of any sign and sum
    intercept: Tensor           # [...]

    def fuse(self, logits: Tensor) -> Tensor:
        """Map the experts' logits [..., M, N] to one, [..., N]."""
        return (self.weights.unsqueeze(-2) @ logits.to(self.weights)).squeeze(-2) + self.intercept.unsqueeze(-1)


@torch.no_grad()
def stacked_weights(logits: Tensor, targets: Tensor, ridge: float = 1.0, row_weights: Tensor | None = None,
                    centre: Tensor | None = None) -> StackedWeights:
    """Fit log-odds = Σ_i w_i f_i + intercept, for many problems at once.

    Minimises Σ_n log loss + ridge / 2 · ‖w − centre‖², scikit-learn's logistic regression with C = 1 / ridge and an
    intercept that is not penalised, in float64 on the CPU.

    Args:
        logits: of M experts, [..., M, N], on rows that they were **not** trained on.
        targets: 0 or 1, [..., N].
        ridge: how strongly the weights are held at ``centre``; above 0.
        row_weights: how much each row counts, [..., N]; they broadcast, as for
            :func:`~mtl_tutorial.fusion.convex.convex_weights`.
        centre: the weights that a problem without rows would get, [..., M]; zeros if left out. With the weights of
            all scenarios together, each scenario's own are drawn towards them.

    Raises:
        ValueError: fewer than two experts, columns that do not fit, labels other than 0 and 1, a problem whose
            labels all agree, a ridge that is not positive.
        RuntimeError: not converged.

    Reference: Wolpert 1992, Stacked Generalization; Ting and Witten 1999, Issues in Stacked Generalization, section
    2.
    """
    check_experts(logits, targets, row_weights)
    check_labels(targets)
    if ridge <= 0:
        raise ValueError(f"ridge={ridge} must be above 0: where experts part the labels, weights have no limit")
    check_both_labels(targets, row_weights)
    given, logits, targets = logits, logits.cpu().double(), targets.cpu().double()
    counts = torch.ones_like(targets) if row_weights is None else row_weights.cpu().double()          # [..., N]
    inputs = torch.cat([logits, torch.ones_like(logits[..., :1, :])], -2)                      # [..., M + 1, N]
    counts, targets = counts.unsqueeze(-2), targets.unsqueeze(-2)                                  # [..., 1, N]
    problems = torch.broadcast_shapes(inputs.shape[:-2], counts.shape[:-2], targets.shape[:-2])
    penalty = inputs.new_full((*problems, inputs.shape[-2]), ridge)                               # [..., M + 1]
    penalty[..., -1] = 0
    held_at = torch.zeros_like(penalty)
    if centre is not None:
        held_at[..., :-1] = centre.cpu()

    def expansion(found: Tensor) -> tuple[Tensor, Tensor]:
        p = (found.unsqueeze(-2) @ inputs).sigmoid()                                               # [..., 1, N]
        slope = (inputs * (counts * (p - targets))).sum(-1) + penalty * (found - held_at)         # [..., M + 1]
        return slope, (inputs * (counts * p * (1 - p))) @ inputs.mT + torch.diag_embed(penalty)

    def reach(step: Tensor) -> Tensor:
        return (step.unsqueeze(-2) @ inputs * (counts > 0)).abs().amax((-2, -1))

    found = damped_newton(expansion, reach, held_at).to(given)
    return StackedWeights(found[..., :-1], found[..., -1])
