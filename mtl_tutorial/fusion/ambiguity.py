"""Why a mean of experts is better than its experts: by exactly as much as they disagree."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from mtl_tutorial.fusion.checks import check_experts
from mtl_tutorial.fusion.weighted_mean import weighted_mean


class Ambiguity(NamedTuple):
    """Mean squared errors of R × … problems: ``of_mean = mean_error − ambiguity``."""

    of_mean: Tensor             # [...] (f̄ − y)², the error of the weighted mean f̄ = Σ w_i f_i
    mean_error: Tensor          # [...] Σ w_i (f_i − y)², the experts' own errors
    ambiguity: Tensor           # [...] Σ w_i (f_i − f̄)², how much they disagree; no target is in it


def ambiguity(predictions: Tensor, targets: Tensor, weights: Tensor) -> Ambiguity:
    """Take the squared error of a mean of experts apart, averaged over the rows.

    Args:
        predictions: of M experts, [..., M, N].
        targets: [..., N]: labels, or the true probabilities.
        weights: on the simplex, [..., M]; they broadcast over leading dimensions.

    Raises:
        ValueError: fewer than two experts, columns that do not fit, weights off the simplex.

    Reference: Krogh and Vedelsby 1995, Neural Network Ensembles, Cross Validation, and Active Learning, equation 6.
    """
    check_experts(predictions, targets)
    mean = weighted_mean(predictions, weights)                                                        # [..., N]
    errors = (predictions - targets.unsqueeze(-2)).square().mean(-1)                                  # [..., M]
    apart = (predictions - mean.unsqueeze(-2)).square().mean(-1)                                      # [..., M]
    return Ambiguity((mean - targets).square().mean(-1), (weights * errors).sum(-1), (weights * apart).sum(-1))
