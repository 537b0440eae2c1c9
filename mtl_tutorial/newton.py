"""Newton's method with damped steps, for many small convex problems at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

CLOSE = 1e-6            # a step that moves no row's logit further is the last
MOST_STEPS = 200


def damped_newton(expansion: Callable[[Tensor], tuple[Tensor, Tensor]], reach: Callable[[Tensor], Tensor],
                  start: Tensor) -> Tensor:
    """Minimise convex functions that are sums of logistic or softmax losses of linear logits, and a ridge.

    A step is shortened to log(1 + r) / r of itself, where r is the farthest that it moves a logit (of a softmax:
    that it moves two logits of one row apart). Then it never raises the loss, and near the minimum, where r → 0, it
    is Newton's.

    Args:
        expansion: maps points [..., P] to the slopes [..., P] and the curvatures [..., P, P] there, which must be
            positive definite.
        reach: maps steps [..., P] to r, [...].
        start: [..., P], in float64.

    Returns:
        The minimum of each problem, [..., P].

    Raises:
        RuntimeError: a curvature that is not positive definite, or no convergence.

    Reference: Sun and Tran-Dinh 2019, Generalized Self-Concordant Functions: A Recipe for Newton-Type Methods, the
    damped step for ν = 2.
    """
    point = start
    for _ in range(MOST_STEPS):
        slope, curvature = expansion(point)
        factor, failed = torch.linalg.cholesky_ex(curvature)
        if failed.any():
            raise RuntimeError("the curvature is not positive definite: a column is constant or repeated and "
                               "nothing holds its weight, or a number is not finite")
        step = -torch.cholesky_solve(slope.unsqueeze(-1), factor).squeeze(-1)                       # [..., P]
        farthest = reach(step).unsqueeze(-1)                                                        # [..., 1]
        point = point + step * torch.where(farthest > 0, farthest.log1p() / farthest, 1.0)
        if farthest.max() < CLOSE:
            return point
    raise RuntimeError(f"a logit still moves by {farthest.max():.1g} after {MOST_STEPS} steps")
