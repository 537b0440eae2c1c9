"""The classical rival: one intercept per brand and household, shrunk towards the population."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CLOSE = 1e-3            # a step that moves no two brands further apart than this is the last
MOST_STEPS = 100


@torch.no_grad()
def brand_intercepts(logits: Tensor, bought: Tensor, seen: Tensor, precision: float) -> Tensor:
    """Return the most probable intercepts a of T households, given what each bought, under a ~ N(0, 1 / precision).

    They maximise Σ log softmax(logits + a)[bought] − precision / 2 · ‖a‖², which is concave. A whole step of
    Newton's method may overshoot, and then go to and fro for ever: each household takes log(1 + r) / r of its own,
    where r is by how much the step moves its brands apart. Along the step the third derivative is at most r times
    the second, so that no such step lowers the objective; near the maximum, where r → 0, it is Newton's.

    Args:
        logits: of the population's model at the purchases seen, [T, S, J]; very low in empty places.
        bought: places bought from, [T, S].
        seen: purchases that count, [T, S] bool; none are fine, and leave all intercepts 0.
        precision: 1 / variance of the intercepts between households, above 0.

    Returns:
        [T, J]; add them to the model's logits at other purchases. 0 in the empty places.

    Raises:
        ValueError: a precision that is not positive: a household's own likelihood may have no maximum.

    Reference: Sun and Tran-Dinh 2019, Generalized Self-Concordant Functions: A Recipe for Newton-Type Methods, the
    damped step for ν = 2.
    """
    if precision <= 0:
        raise ValueError(f"precision must be above 0, not {precision}: a brand never bought would get −∞")
    logits = torch.where(seen.unsqueeze(-1), logits, 0.0)
    chosen = F.one_hot(bought, logits.shape[-1]) * seen.unsqueeze(-1)                               # [T, S, J]
    intercepts = logits.new_zeros(len(logits), logits.shape[-1])                                    # [T, J]
    for _ in range(MOST_STEPS):
        p = (logits + intercepts.unsqueeze(1)).softmax(-1) * seen.unsqueeze(-1)                     # [T, S, J]
        slope = (chosen - p).sum(1) - precision * intercepts                                        # [T, J]
        curvature = torch.diag_embed(p.sum(1) + precision) - p.transpose(1, 2) @ p                  # [T, J, J]
        step = torch.linalg.solve(curvature, slope)                                                 # [T, J]
        reach = step.amax(-1, keepdim=True) - step.amin(-1, keepdim=True)                           # [T, 1], r
        intercepts = intercepts + step * torch.where(reach > 0, reach.log1p() / reach, 1.0)
        if reach.max() < CLOSE:
            break
    return intercepts
