"""A convex problem on the simplex that two methods share."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_STEPS = 10_000
TOLERANCE = 1e-7


def minimise(gramian: Tensor, linear: Tensor | float = 0.0, radius: Tensor | float = 1.0,
             floor: float = -torch.inf, tolerance: float = TOLERANCE) -> Tensor:
    """Minimise f(w) = lᵀw + r √(wᵀGw) over w ≥ 0, Σ w = 1, from the even weights.

    Each step moves weight from the task whose gradient of f is largest, among those that have weight, to the one
    whose gradient is smallest, as far as is best: pairwise Frank–Wolfe with exact line search, which converges
    linearly. For two tasks the first step is the solution. All problems of a batch are solved together, in float64
    on the CPU: they are tiny.

    Args:
        gramian: G, [..., K, K], positive semi-definite.
        linear: l, [..., K].
        radius: r ≥ 0, [...].
        floor: a value that f is known not to fall below.
        tolerance: stop where f is this close to its minimum, in units of the largest gradient's norm.

    Returns:
        w, [..., K].

    Reference: Lacoste-Julien and Jaggi 2015, On the Global Linear Convergence of Frank-Wolfe Optimization Variants.
    """
    tasks, wanted = gramian.shape[-1], gramian
    gramian = gramian.detach().to("cpu", torch.float64)
    scale = gramian.diagonal(dim1=-2, dim2=-1).amax(-1).clamp(min=torch.finfo(gramian.dtype).tiny)      # [...]
    gramian = gramian / scale[..., None, None]
    linear = torch.as_tensor(linear).to(gramian).expand(gramian.shape[:-1]) / scale.sqrt()[..., None]
    radius = torch.as_tensor(radius).to(gramian).expand(scale.shape)
    weights = torch.full_like(linear, 1 / tasks)
    for _ in range(1 if tasks == 2 else MAX_STEPS):
        image = (gramian @ weights.unsqueeze(-1)).squeeze(-1)                           # [..., K] Gw
        norm = (weights * image).sum(-1).clamp(min=1e-30).sqrt()                        # [...]
        slope = linear + (radius / norm)[..., None] * image                             # [..., K] gradient of f
        to = slope.argmin(-1, keepdim=True)
        away = slope.masked_fill(weights <= 0, -torch.inf).argmax(-1, keepdim=True)
        gap = slope.gather(-1, away) - slope.gather(-1, to)                             # [..., 1]
        bound = linear.amin(-1).clamp(min=floor)                                        # [...] f is not below
        to_bound = (linear * weights).sum(-1) + radius * norm - bound
        if (torch.minimum(gap.squeeze(-1), to_bound) <= tolerance).all():
            break
        move = torch.zeros_like(weights).scatter(-1, to, 1.0).scatter_add(-1, away, -torch.ones_like(gap))
        share = _best_step(gramian, linear, radius, weights, move).clamp(min=0)
        weights = weights + torch.minimum(share[..., None], weights.gather(-1, away)) * move
    return weights.to(wanted)


def _best_step(gramian: Tensor, linear: Tensor, radius: Tensor, weights: Tensor, move: Tensor) -> Tensor:
    """Return the γ that minimises f(w + γd) over all γ; f is a line plus r √(a(γ − γ₀)² + rest)."""
    along = (gramian @ move.unsqueeze(-1)).squeeze(-1)                                  # Gd
    a = (move * along).sum(-1).clamp(min=1e-30)                                         # ‖d‖² in G
    start = -(weights * along).sum(-1) / a                                              # γ₀: nearest to the origin
    nearest = weights + start[..., None] * move
    rest = (nearest * (gramian @ nearest.unsqueeze(-1)).squeeze(-1)).sum(-1).clamp(min=0)
    slope = (linear * move).sum(-1)
    room = radius**2 * a - slope**2                         # below zero the line wins: go as far as allowed
    inside = start - slope * (rest / (a * room.clamp(min=1e-30))).sqrt()
    return torch.where(room > 0, inside, torch.where(slope < 0, torch.inf, 0.0))
