"""y = Σ_i w_i f_i(x): the mean of experts, with weights that are given."""

from __future__ import annotations

from torch import Tensor

from mtl_tutorial.fusion.checks import check_experts, check_simplex


def weighted_mean(predictions: Tensor, weights: Tensor) -> Tensor:
    """Return Σ_i w_i f_i of each row, [..., N].

    Args:
        predictions: of M experts, [..., M, N]: probabilities, or whatever else may be averaged.
        weights: 0 or more with sum 1: for all rows alike [..., M], or for each row [..., M, N], as a gate gives
            them. They broadcast over leading dimensions: [S, 1, M] weighs every problem in S ways.

    Raises:
        ValueError: fewer than two experts, weights of other experts or rows, or off the simplex.
    """
    check_experts(predictions)
    experts, rows = predictions.shape[-2:]
    if weights.shape[-1:] == (experts,) and weights.shape[-2:] != (experts, rows):
        check_simplex(weights)
        return (weights.unsqueeze(-2) @ predictions).squeeze(-2)                # [..., 1, M] @ [..., M, N]
    if weights.shape[-2:] != (experts, rows):
        raise ValueError(f"weights of shape {tuple(weights.shape)} fit neither the {experts} experts nor these of "
                         f"{rows} rows each")
    check_simplex(weights.transpose(-1, -2))
    return (weights * predictions).sum(-2)
