"""The classical rival: one intercept per brand and household, shrunk towards the population."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_tutorial.newton import damped_newton


@torch.no_grad()
def brand_intercepts(logits: Tensor, bought: Tensor, seen: Tensor, precision: float) -> Tensor:
    """Return the most probable intercepts a of T households, given what each bought, under a ~ N(0, 1 / precision).

    They maximise Σ log softmax(logits + a)[bought] − precision / 2 · ‖a‖², which is concave, in float64 on the CPU.

    Args:
        logits: of the population's model at the purchases seen, [T, S, J]; very low in empty places.
        bought: places bought from, [T, S].
        seen: purchases that count, [T, S] bool; none are fine, and leave all intercepts 0.
        precision: 1 / variance of the intercepts between households, above 0.

    Returns:
        [T, J]; add them to the model's logits at other purchases. 0 in the empty places.

    Raises:
        ValueError: a precision that is not positive: a household's own likelihood may have no maximum.
    """
    if precision <= 0:
        raise ValueError(f"precision must be above 0, not {precision}: a brand never bought would get −∞")
    given, logits = logits, torch.where(seen.unsqueeze(-1), logits, 0.0).cpu().double()              # [T, S, J]
    seen, bought = seen.cpu(), bought.cpu()
    chosen = F.one_hot(bought, logits.shape[-1]) * seen.unsqueeze(-1)                               # [T, S, J]

    def expansion(intercepts: Tensor) -> tuple[Tensor, Tensor]:
        p = (logits + intercepts.unsqueeze(1)).softmax(-1) * seen.unsqueeze(-1)                     # [T, S, J]
        slope = precision * intercepts - (chosen - p).sum(1)                                        # [T, J]
        return slope, torch.diag_embed(p.sum(1) + precision) - p.mT @ p                             # [T, J, J]

    def reach(step: Tensor) -> Tensor:
        return step.amax(-1) - step.amin(-1)

    return damped_newton(expansion, reach, logits.new_zeros(len(logits), logits.shape[-1])).to(given)
