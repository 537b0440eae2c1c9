"""The simplex, w ≥ 0 and Σ w = 1: the nearest point on it, and where on it a quadratic is least."""

from __future__ import annotations

import torch
from torch import Tensor

CLOSE = 1e-11           # a projected step that moves no weight further is the last
MOST_STEPS = 100_000


def project_to_simplex(values: Tensor) -> Tensor:
    """Return the point of the simplex that is nearest to v, [..., M] -> [..., M].

    It is max(v − t, 0) with the one threshold t for which the sum is 1. If the k largest values stay above it,
    t = (their sum − 1) / k; k is the largest number for which the k-th value is above that t.

    Reference: Held, Wolfe and Crowder 1974, Validation of Subgradient Optimization; Duchi, Shalev-Shwartz, Singer
    and Chandra 2008, Efficient Projections onto the l1-Ball, figure 1.
    """
    largest = values.sort(-1, descending=True).values                                           # [..., M]
    count = torch.arange(1, values.shape[-1] + 1, dtype=values.dtype, device=values.device)
    thresholds = (largest.cumsum(-1) - 1) / count                                               # t, if k stay above
    kept = (largest > thresholds).sum(-1, keepdim=True)                                         # [..., 1] k
    return (values - thresholds.gather(-1, kept - 1)).clamp(min=0)


@torch.no_grad()
def least_on_simplex(curvature: Tensor, slope: Tensor, start: Tensor | None = None) -> Tensor:
    """Return w on the simplex that minimises ½ wᵀQw + bᵀw, for many problems at once, [..., M].

    Steps along the gradient from a point ahead, each projected back. Where the momentum points uphill it is
    forgotten, problem by problem.

    Args:
        curvature: Q, symmetric and without negative eigenvalues, [..., M, M].
        slope: b, [..., M].
        start: weights to begin at, [..., M]; equal ones if left out.

    Raises:
        RuntimeError: not converged.

    Reference: Beck and Teboulle 2009, A Fast Iterative Shrinkage-Thresholding Algorithm; O'Donoghue and Candès
    2015, Adaptive Restart for Accelerated Gradient Schemes, equation 13.
    """
    largest = torch.linalg.eigvalsh(curvature)[..., -1:].clamp(min=torch.finfo(slope.dtype).tiny)     # [..., 1]
    weights = torch.full_like(slope, 1 / slope.shape[-1]) if start is None else start
    ahead, pace = weights, torch.ones_like(largest)
    for _ in range(MOST_STEPS):
        gradient = (curvature @ ahead.unsqueeze(-1)).squeeze(-1) + slope
        moved = project_to_simplex(ahead - gradient / largest)
        uphill = ((ahead - moved) * (moved - weights)).sum(-1, keepdim=True) > 0
        pace = torch.where(uphill, 1.0, pace)
        faster = (1 + (1 + 4 * pace ** 2).sqrt()) / 2
        step = moved - weights
        still = (moved - ahead).abs().amax() < CLOSE and step.abs().amax() < CLOSE
        ahead, weights, pace = moved + torch.where(uphill, 0.0, (pace - 1) / faster) * step, moved, faster
        if still:
            return weights
    raise RuntimeError(f"the weights still move by {step.abs().max():.1g} after {MOST_STEPS} steps")
