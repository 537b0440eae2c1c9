"""Weights that depend on the context: a softmax gate over experts that are already trained."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_tutorial.fusion.checks import check_experts, label_likelihood

MOST_STEPS = 500


def gate_weights(coefficients: Tensor, context: Tensor) -> Tensor:
    """Return w_i(c) = softmax_i(a_i · c) of each row, [..., M, N].

    Args:
        coefficients: a, [..., M, C].
        context: of each row, [..., N, C]; a column of ones gives the gate an intercept.
    """
    return (coefficients @ context.to(coefficients).transpose(-1, -2)).softmax(-2)


def fit_gate(probabilities: Tensor, targets: Tensor, context: Tensor, ridge: float = 1.0) -> Tensor:
    """Fit a gate so that Σ_i w_i(c) f_i(x) has the least log loss, for many problems at once, [..., M, C].

    Minimises Σ_n log loss + ridge / 2 · ‖a‖² by L-BFGS from equal weights, in float64 on the CPU. (The loss is not
    convex in a.)

    Args:
        probabilities: of M experts, [..., M, N], on rows that they were **not** trained on.
        targets: 0 or 1, [..., N].
        context: of each row, [..., N, C].
        ridge: holds the gate at equal weights; above 0, for without it weights of nought lie at infinity.

    Raises:
        ValueError: fewer than two experts, columns that do not fit, a ridge that is not positive.

    Reference: Jacobs, Jordan, Nowlan and Hinton 1991, Adaptive Mixtures of Local Experts, equation 1.3, here with
    experts that stay as they are; Jordan and Jacobs 1994, section 2, for the linear gate.
    """
    check_experts(probabilities, targets)
    if context.shape[-2] != probabilities.shape[-1]:
        raise ValueError(f"context has {context.shape[-2]} rows, the experts predict {probabilities.shape[-1]}")
    if ridge <= 0:
        raise ValueError(f"ridge={ridge} must be above 0: a weight of nought would need an infinite coefficient")
    given, context = probabilities, context.cpu().double().mT                                      # [..., C, N]
    likelihood = label_likelihood(given.cpu().double(), targets.cpu()).log()                       # [..., M, N]
    coefficients = likelihood.new_zeros(*likelihood.shape[:-1], context.shape[-2], requires_grad=True)
    optimizer = torch.optim.LBFGS([coefficients], max_iter=MOST_STEPS, tolerance_grad=1e-8, tolerance_change=1e-13,
                                  history_size=20, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        fused = (F.log_softmax(coefficients @ context, -2) + likelihood).logsumexp(-2)                # [..., N]
        loss = (ridge / 2 * coefficients.square().sum() - fused.sum()) / fused.shape[-1]
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return coefficients.detach().to(given)
