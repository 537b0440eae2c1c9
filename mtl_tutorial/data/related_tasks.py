"""The MMoE paper's synthetic regression tasks, whose relatedness is a dial."""

from __future__ import annotations

import math

import torch

from mtl_tutorial.data.table import Table
from mtl_tutorial.tasks import Task

TASKS = (Task("first", "regression"), Task("second", "regression"))
SINES = 10              # the nonlinear part is a sum of this many sines
SCALE = 1.0             # c, the length of the weight vectors
NOISE = 0.1             # standard deviation of the label noise: variance 0.01


def related_tasks(rows: int, correlation: float, *, features: int = 100, seed: int = 0) -> Table:
    """Draw two regression tasks on the same inputs whose weight vectors have cosine ``correlation``.

    y_k = w_k·x + Σ_i sin(α_i w_k·x + β_i) + ε with x ~ N(0, I), w_1 = c u_1,
    w_2 = c (p u_1 + √(1 − p²) u_2), u_1 ⊥ u_2, ε ~ N(0, 0.01). The labels' correlation grows with p.

    Args:
        rows: N.
        correlation: p, cosine of the two weight vectors, −1 … 1.
        features: D, width of x.
        seed: of weights, sines, inputs and noise.

    Returns:
        Table with targets ``first`` and ``second`` (about zero mean, variance near SINES/2 + c²) and, in
        ``truth``, their noise-free means ``oracle.first`` and ``oracle.second``.

    Raises:
        ValueError: a correlation outside −1 … 1, or fewer than two features.

    Reference: Ma et al. 2018, section 3.2, equations 2 to 4. α and β, which the paper leaves open, are drawn
    from N(0, 1) and U(0, 2π).
    """
    if not -1 <= correlation <= 1:
        raise ValueError(f"correlation={correlation} is outside −1 … 1")
    if features < 2:
        raise ValueError(f"features={features}: two directions need at least 2")
    generator = torch.Generator().manual_seed(seed)
    first, orthogonal = torch.linalg.qr(torch.randn(features, 2, generator=generator)).Q.T
    second = correlation * first + math.sqrt(1 - correlation**2) * orthogonal
    weights = SCALE * torch.stack([first, second], 1)                                   # [D, 2]
    frequency = torch.randn(SINES, generator=generator)
    phase = 2 * math.pi * torch.rand(SINES, generator=generator)
    x = torch.randn(rows, features, generator=generator)                                # [N, D]
    linear = x @ weights                                                                # [N, 2]
    mean = linear + (linear.unsqueeze(-1) * frequency + phase).sin().sum(-1)            # [N, 2]
    label = mean + NOISE * torch.randn(rows, 2, generator=generator)
    names = [task.name for task in TASKS]
    return Table.from_features(
        x, targets=dict(zip(names, label.unbind(-1), strict=True)),
        truth={f"oracle.{name}": column for name, column in zip(names, mean.unbind(-1), strict=True)})
