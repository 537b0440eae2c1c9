"""The conditional logit: what makes one of several offers be chosen, many fits at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CLOSE = 1e-6            # Newton's step that moves no utility further is the last
MOST_STEPS = 200


@torch.no_grad()
def conditional_logit(x: Tensor, chosen: Tensor, row_weights: Tensor, ridge: float = 1e-2) -> Tensor:
    """Return the coefficients β of P(choose b) = softmax_b(x_b · β), [R, P] float64.

    Minimises Σ_n s_n log loss + ridge / 2 · ‖β‖², by Newton's method; a step is shortened to log(1 + r) / r of
    itself, where r is the farthest that two offers of one row move apart. With the experts' log-probabilities as
    features it is the log-linear pool, softmax_b Σ_i w_i log f_i(b): stacking for choices.

    Args:
        x: features of each offer, [N, B, P], or for each of R fits [R, N, B, P].
        chosen: which offer was taken, [N] int64.
        row_weights: how much each row counts in each fit, 0 or more, [R, N].
        ridge: how strongly the coefficients are held at 0; above 0.

    Raises:
        ValueError: shapes that do not fit, a ridge that is not positive.
        RuntimeError: not converged.

    Reference: McFadden 1974, Conditional Logit Analysis of Qualitative Choice Behavior, equation 12.
    """
    if x.dim() not in (3, 4) or x.shape[-3] != len(chosen) or row_weights.shape[-1] != len(chosen):
        raise ValueError(f"x has shape {list(x.shape)}, chosen {list(chosen.shape)}, row_weights "
                         f"{list(row_weights.shape)}: expected [rows, offers, features], [rows] and [fits, rows]")
    if ridge <= 0:
        raise ValueError(f"ridge={ridge} must be above 0: a feature that parts the choices has no best coefficient")
    weights = row_weights.double().unsqueeze(-1)                                        # [R, N, 1]
    x = x.double().expand(len(weights), *x.shape[-3:])                                  # [R, N, B, P]
    taken = F.one_hot(chosen, x.shape[-2])                                              # [N, B]
    held = ridge * torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    beta = x.new_zeros(len(weights), x.shape[-1])
    for _ in range(MOST_STEPS):
        p = torch.einsum("rnbp,rp->rnb", x, beta).softmax(-1)
        slope = torch.einsum("rnbp,rnb->rp", x, weights * (p - taken)) + ridge * beta
        apart = x - torch.einsum("rnbp,rnb->rnp", x, p).unsqueeze(-2)                   # from the row's mean offer
        curvature = torch.einsum("rnbp,rnb,rnbq->rpq", apart, weights * p, apart) + held
        step = -torch.linalg.solve(curvature, slope.unsqueeze(-1)).squeeze(-1)          # [R, P]
        moved = torch.einsum("rnbp,rp->rnb", x, step) * (weights > 0)
        reach = (moved.amax(-1) - moved.amin(-1)).amax(-1, keepdim=True)                # [R, 1] r
        beta = beta + step * torch.where(reach > 0, reach.log1p() / reach, 1.0)
        if reach.max() < CLOSE:
            return beta
    raise RuntimeError(f"a utility still moves by {reach.max():.1g} after {MOST_STEPS} steps")
