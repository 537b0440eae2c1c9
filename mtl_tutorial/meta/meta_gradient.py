"""MAML's gradient by hand, to see what the second derivative does."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Loss = Callable[[Tensor], Tensor]       # weights [D] -> scalar


def meta_gradient(weights: Tensor, support_loss: Loss, query_loss: Loss, rate: float,
                  first_order: bool = False) -> Tensor:
    """Return the gradient of the query loss after one inner step, with respect to the start.

    With φ = θ − α ∇S(θ) the chain rule gives (I − α ∇²S(θ)) ∇Q(φ): the curvature at θ, times the slope at φ. The
    matrix ∇²S is never made: what is wanted is its product with a vector, the gradient of a dot product.

    Args:
        weights: θ, [D].
        support_loss: S.
        query_loss: Q.
        rate: α.
        first_order: take the matrix for I.

    Returns:
        [D].

    Reference: Finn, Abbeel and Levine 2017, Model-Agnostic Meta-Learning, section 5.2; Pearlmutter 1994, Fast Exact
    Multiplication by the Hessian.
    """
    start = weights.detach().requires_grad_()
    [slope] = torch.autograd.grad(support_loss(start), start, create_graph=True)
    end = (start - rate * slope).detach().requires_grad_()
    [direction] = torch.autograd.grad(query_loss(end), end)
    if first_order:
        return direction
    [curved] = torch.autograd.grad(slope, start, direction)
    return direction - rate * curved
