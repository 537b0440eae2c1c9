"""The conditional logit: what makes one of several offers be chosen, many fits at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_tutorial.newton import damped_newton


@torch.no_grad()
def conditional_logit(x: Tensor, chosen: Tensor, row_weights: Tensor, ridge: float = 1e-2) -> Tensor:
    """Return the coefficients β of P(choose b) = softmax_b(x_b · β), [R, P].

    Minimises Σ_n s_n log loss + ridge / 2 · ‖β‖², in float64 on the CPU. With the experts' log-probabilities as
    features it is the log-linear pool, softmax_b Σ_i w_i log f_i(b): stacking for choices.
    :class:`~mtl_tutorial.models.shelf_choice.ShelfChoice` is the same model of choice with a network in place of β.

    Args:
        x: features of each offer, [N, B, P], or for each of R fits [R, N, B, P].
        chosen: which offer was taken, [N] int64.
        row_weights: how much each row counts in each fit, 0 or more, [R, N].
        ridge: how strongly the coefficients are held at 0; above 0.

    Raises:
        ValueError: shapes that do not fit, an offer that is not on the shelf, features that are not finite,
            negative weights, a ridge that is not positive.
        RuntimeError: not converged.

    Reference: McFadden 1974, Conditional Logit Analysis of Qualitative Choice Behavior, equation 12.
    """
    if (x.dim() not in (3, 4) or row_weights.dim() != 2 or {x.shape[-3], row_weights.shape[-1]} != {len(chosen)}
            or (x.dim() == 4 and len(x) != len(row_weights))):
        raise ValueError(f"x has shape {list(x.shape)}, chosen {list(chosen.shape)}, row_weights "
                         f"{list(row_weights.shape)}: expected [rows, offers, features], [rows] and [fits, rows]")
    if ridge <= 0:
        raise ValueError(f"ridge={ridge} must be above 0: a feature that parts the choices has no best coefficient")
    if not x.isfinite().all() or (row_weights < 0).any():
        raise ValueError("features must be finite, and row_weights 0 or more")
    if chosen.min() < 0 or chosen.max() >= x.shape[-2]:
        raise ValueError(f"chosen names the offers {int(chosen.min())} … {int(chosen.max())}, but a row has "
                         f"{x.shape[-2]} of them, counted from 0")
    weights, given, chosen = row_weights.cpu().double().unsqueeze(-1), x, chosen.cpu()  # [R, N, 1]
    x = x.cpu().double().expand(len(weights), *x.shape[-3:])                                  # [R, N, B, P]
    taken = F.one_hot(chosen, x.shape[-2])                                              # [N, B]
    held = ridge * torch.eye(x.shape[-1], dtype=x.dtype)

    def expansion(beta: Tensor) -> tuple[Tensor, Tensor]:
        p = torch.einsum("rnbp,rp->rnb", x, beta).softmax(-1)
        slope = torch.einsum("rnbp,rnb->rp", x, weights * (p - taken)) + ridge * beta
        apart = x - torch.einsum("rnbp,rnb->rnp", x, p).unsqueeze(-2)                   # from the row's mean offer
        return slope, torch.einsum("rnbp,rnb,rnbq->rpq", apart, weights * p, apart) + held

    def reach(step: Tensor) -> Tensor:
        moved = torch.einsum("rnbp,rp->rnb", x, step) * (weights > 0)
        return (moved.amax(-1) - moved.amin(-1)).amax(-1)

    return damped_newton(expansion, reach, x.new_zeros(len(weights), x.shape[-1])).to(given)
