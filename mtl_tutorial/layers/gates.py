"""Gates: which expert each task listens to."""

from __future__ import annotations

from torch import Tensor


def mix_experts(expert_outputs: Tensor, gate_logits: Tensor) -> Tensor:
    """Mix expert outputs [B, E, H] by each task's gate logits [B, T, E] into each task's input [B, T, H].

    Reference: Ma et al. 2018, Modeling Task Relationships in Multi-task Learning with Multi-gate
    Mixture-of-Experts, equations 5 and 6.
    """
    weights = gate_logits.softmax(-1)                                                   # [B, T, E]
    return weights @ expert_outputs                                                     # [B, T, H]


def mix_shared_and_own(shared: Tensor, own: Tensor, gate_logits: Tensor) -> Tensor:
    """Mix, for each task, the shared experts with the task's own: PLE's gate.

    Args:
        shared: outputs of the experts that all tasks see, [B, S, H].
        own: outputs of each task's own experts, [B, T, P, H].
        gate_logits: per task, first its own P experts, then the S shared ones, [B, T, P + S].

    Returns:
        Each task's input, [B, T, H].

    Reference: Tang et al. 2020, Progressive Layered Extraction (PLE), equations 1 and 2.
    """
    weights = gate_logits.softmax(-1)                                                   # [B, T, P + S]
    for_own, for_shared = weights.split([own.shape[2], shared.shape[1]], -1)            # [B, T, P], [B, T, S]
    return (for_own.unsqueeze(-1) * own).sum(2) + for_shared @ shared                   # [B, T, H]
