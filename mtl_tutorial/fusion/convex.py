"""Learned convex weights: the best mean of experts, in which no expert counts negatively and all count one."""

from __future__ import annotations

import torch
from torch import Tensor

from mtl_tutorial.fusion.checks import check_experts, label_likelihood
from mtl_tutorial.fusion.simplex import least_on_simplex

CLOSE = 1e-6            # Newton's step that changes no row's probability by more than this share is the last
MOST_STEPS = 200


@torch.no_grad()
def convex_weights(predictions: Tensor, targets: Tensor, loss: str = "log",
                   row_weights: Tensor | None = None) -> Tensor:
    """Return the weights on the simplex for which Σ_i w_i f_i(x) has the least loss, [..., M].

    All problems of the leading dimensions are solved at once, in float64 on the CPU.

    Args:
        predictions: of M experts, [..., M, N]; probabilities for the log loss.
        targets: [..., N]; 0 or 1 for the log loss.
        loss: ``"log"`` or ``"squared"``.
        row_weights: how much each row counts, [..., N]. They broadcast: with [S, N] in place of [N], and
            predictions [1, M, N], the weights of S scenarios are found together.

    Raises:
        ValueError: an unknown loss, fewer than two experts, columns that do not fit; for the log loss logits where
            probabilities are due, or labels other than 0 and 1.
        RuntimeError: not converged.

    Reference: Breiman 1996, Stacked Regressions, section 3 (weights of 0 or more); Kim, Carbonetto, Stephens and
    Anitescu 2020, A Fast Algorithm for Maximum Likelihood Estimation of Mixture Proportions (a quadratic on the
    simplex in each step).
    """
    if loss not in ("log", "squared"):
        raise ValueError(f"loss {loss!r} is neither 'log' nor 'squared'")
    check_experts(predictions, targets, row_weights)
    given, predictions, targets = predictions, predictions.cpu().double(), targets.cpu().double()
    shares = torch.ones_like(targets) if row_weights is None else row_weights.cpu().double()
    shares = shares / shares.sum(-1, keepdim=True)                                                    # [..., N]
    if loss == "squared":
        error = predictions - targets.unsqueeze(-2)                 # Σ w = 1, so Σ w f − y = Σ w (f − y)
        curvature = (error * shares.unsqueeze(-2)) @ error.transpose(-1, -2)                       # [..., M, M]
        return least_on_simplex(curvature, curvature.new_zeros(curvature.shape[:-1])).to(given)
    return _most_likely(label_likelihood(predictions, targets), shares).to(given)


def _most_likely(likelihood: Tensor, shares: Tensor) -> Tensor:
    """Minimise −Σ_n s_n log(w · l_n) by Newton's steps on the simplex.

    A step d is shortened to 1 / (1 + r), where r is the largest share by which it changes a row's probability: then
    it lowers the loss, for −log(1 − x) ≤ x + x² / 2(1 − x). Near the minimum r → 0 and the step is Newton's.
    """
    scaled = likelihood * shares.unsqueeze(-2).sqrt()                                              # [..., M, N]
    weights = scaled.new_full(scaled.shape[:-1], 1 / scaled.shape[-2])                                # [..., M]
    for _ in range(MOST_STEPS):
        fused = weights.unsqueeze(-2) @ likelihood                                                 # [..., 1, N]
        relative = scaled / fused
        slope = -(relative * shares.unsqueeze(-2).sqrt()).sum(-1)                                     # [..., M]
        curvature = relative @ relative.transpose(-1, -2)                         # [..., M, M]; times w: −slope
        step = least_on_simplex(curvature, 2 * slope, weights) - weights
        reach = (step.unsqueeze(-2) @ likelihood / fused).abs().amax((-2, -1)).unsqueeze(-1)        # [..., 1] r
        weights = weights + step / (1 + reach)
        if reach.max() < CLOSE:
            return weights
    raise RuntimeError(f"the weights still change a probability by {reach.max():.0%} after {MOST_STEPS} steps")
