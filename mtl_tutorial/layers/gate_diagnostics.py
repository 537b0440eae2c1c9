"""Reading gates: how many experts they use, and how far tasks differ in their choice."""

from __future__ import annotations

from torch import Tensor


def experts_in_use(gate_weights: Tensor) -> Tensor:
    """Return the effective number of experts of each gate: e to the entropy of its mean weights.

    1 where every row goes to the same expert, E where all experts share the rows evenly.

    Args:
        gate_weights: softmaxed, [..., N, T, E].

    Returns:
        [..., T].
    """
    share = gate_weights.mean(-3)                                                       # [..., T, E]
    return (-(share * share.clamp(min=1e-12).log()).sum(-1)).exp()


def distance_between_tasks(gate_weights: Tensor) -> Tensor:
    """Return the share of gate weight that two tasks place on other experts, a mean over rows and pairs of tasks.

    0 where all tasks choose alike, 1 where no two tasks share an expert (total variation).

    Args:
        gate_weights: softmaxed, [..., N, T, E] with two tasks or more.

    Returns:
        [...].
    """
    tasks = gate_weights.shape[-2]
    pairs = (gate_weights.unsqueeze(-2) - gate_weights.unsqueeze(-3)).abs().sum(-1) / 2  # [..., N, T, T]
    return pairs.sum((-1, -2)).mean(-1) / (tasks * (tasks - 1))
