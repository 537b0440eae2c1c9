"""Closed forms for two tasks, of many pairs of gradients at once.

Each function maps the Gramian's three numbers, a = g₁·g₁, b = g₁·g₂, c = g₂·g₂ ([...] each), to the weights of both
tasks [..., 2]. Where a form divides by zero (a gradient that vanishes), the weights are those of the limit or zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-30


def pcgrad(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """PCGrad: in conflict each gradient loses its part along the other, and gives its own weight 1 − b / g²."""
    conflict = b.clamp(max=0)
    return torch.stack([1 - conflict / a.clamp(min=TINY), 1 - conflict / c.clamp(min=TINY)], -1)


def upgrad(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """UPGrad: the mean of both gradients, each projected on the cone where no task loses: half of PCGrad."""
    return pcgrad(a, b, c) / 2


def mgda(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """MGDA: the shortest convex combination (Sener and Koltun 2018, equation 4)."""
    first = ((c - b) / (a - 2 * b + c).clamp(min=TINY)).clamp(0, 1)
    return torch.stack([first, 1 - first], -1)


def cagrad(a: Tensor, b: Tensor, c: Tensor, radius: float = 0.4) -> Tensor:
    """CAGrad with c = ``radius``: on w = (x, 1 − x) the dual is a line plus a root, stationary at one point."""
    to_first, to_second = (a + b) / 2, (b + c) / 2                                      # g_k · g₀
    mean = ((to_first + to_second) / 2).clamp(min=0).sqrt()                             # ‖g₀‖
    length = (a - 2 * b + c).clamp(min=TINY)                                            # ‖g₁ − g₂‖²
    nearest = (c - b) / length                                                          # x of the shortest g_w
    rest = ((a * c - b * b) / length).clamp(min=0)                                      # its squared norm
    slope = to_first - to_second
    room = (radius * mean) ** 2 * length - slope**2
    inside = nearest - slope * (rest / (length * room.clamp(min=TINY))).sqrt()
    x = torch.where(room > 0, inside, (slope < 0).to(a.dtype)).clamp(0, 1)
    norm = (x * x * a + 2 * x * (1 - x) * b + (1 - x) ** 2 * c).clamp(min=TINY).sqrt()  # ‖g_w‖
    return 0.5 + (radius * mean / norm)[..., None] * torch.stack([x, 1 - x], -1)


def imtl_g(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """IMTL-G: the combination with equal projections on both unit gradients, weights summing to 1."""
    first, second = a.sqrt(), c.sqrt()
    return torch.stack([second, first], -1) / (first + second).clamp(min=TINY)[..., None]


def nash_mtl(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Nash-MTL: α with Gα = 1/α, that is along the sum of the unit gradients, cut to length 1 as its authors do."""
    first, second = a.clamp(min=TINY).sqrt(), c.clamp(min=TINY).sqrt()
    together = (1 + b / (first * second)).clamp(min=1e-12)                              # 1 + cos
    alpha = torch.stack([1 / first, 1 / second], -1) / together.sqrt()[..., None]
    return alpha / 2**0.5                                                               # ‖Σ α_k g_k‖ was √2


def aligned_mtl(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Aligned-MTL: √λ_min G^(−1/2) on even weights; for gradients on one line, their projection on it.

    A 2 × 2 matrix has the root (G + √det) / √(trace + 2 √det), hence the inverse root.
    """
    trace, determinant = a + c, (a * c - b * b).clamp(min=0)
    root = determinant.sqrt()
    largest = (trace + (trace**2 - 4 * determinant).clamp(min=0).sqrt()) / 2
    scale = (largest * (trace + 2 * root)).clamp(min=TINY).sqrt()
    full = torch.stack([c + root - b, a + root - b], -1) / (2 * scale)[..., None]
    line = torch.stack([a + b, b + c], -1) / (2 * largest.clamp(min=TINY))[..., None]
    on_line = determinant <= 4 * torch.finfo(a.dtype).eps * largest**2      # λ_min below what λ_max can resolve
    return torch.where(on_line[..., None], line, full)
