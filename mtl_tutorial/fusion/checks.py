"""What every way of fusing asks of the experts' predictions, the targets and the weights."""

from __future__ import annotations

import torch
from torch import Tensor

OFF_BY = 1e-4           # that weights in float32 may sum to more or less than one
SMALLEST = 1e-12        # probability that an expert is taken to give a label at least


def check_experts(predictions: Tensor, targets: Tensor | None = None, row_weights: Tensor | None = None) -> None:
    """Refuse predictions [..., M, N] that cannot be fused.

    Args:
        predictions: of M experts for N rows.
        targets: of the rows, [..., N].
        row_weights: how much each row counts, [..., N].

    Raises:
        ValueError: fewer than two experts, columns that do not fit, a number that is not finite, rows of which none
            counts.
    """
    if predictions.dim() < 2 or predictions.shape[-2] < 2:
        raise ValueError(f"predictions have shape {tuple(predictions.shape)}; fusing needs [..., M, N] with M of "
                         f"at least 2 experts")
    for name, column in (("targets", targets), ("row_weights", row_weights)):
        if column is not None and column.shape[-1:] != predictions.shape[-1:]:
            raise ValueError(f"{name} have shape {tuple(column.shape)}, but the experts predict "
                             f"{predictions.shape[-1]} rows: the last dimensions must be equal")
    if not predictions.isfinite().all():
        expert, row = (~predictions.isfinite()).nonzero()[0, -2:].tolist()
        raise ValueError(f"expert {expert} predicts a number that is not finite for row {row}")
    if targets is not None and not targets.isfinite().all():
        raise ValueError(f"the target of row {int((~targets.isfinite()).nonzero()[0, -1])} is not finite")
    if row_weights is not None and not ((row_weights >= 0).all() and (row_weights.sum(-1) > 0).all()):
        raise ValueError("row_weights must be 0 or more, with at least one row that counts in each problem")


def check_labels(targets: Tensor) -> None:
    """Refuse targets other than 0 and 1.

    Raises:
        ValueError: with the first row of another target.
    """
    other = (targets != 0) & (targets != 1)
    if other.any():
        row = int(other.nonzero()[0, -1])
        raise ValueError(f"labels must be 0 or 1, but row {row} has {targets[other][0]:.4g}")


def check_both_labels(targets: Tensor, row_weights: Tensor | None = None) -> None:
    """Refuse problems in which the rows that count have one label only.

    Raises:
        ValueError: with the first such problem.
    """
    counted = (torch.ones_like(targets) if row_weights is None else row_weights) > 0                  # [..., N]
    one_label = ~((counted & (targets == 1)).any(-1) & (counted & (targets == 0)).any(-1))
    if one_label.any():
        place = one_label.nonzero()[0].tolist()
        where = f" in problem {place}" if place else ""
        raise ValueError(f"all labels that count are equal{where}: the intercept has no limit; take more rows, "
                         f"or one fit for several problems")


def label_likelihood(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Return the probability that each expert gave to what happened, [..., M, N].

    Args:
        probabilities: of M experts, [..., M, N].
        targets: 0 or 1, [..., N].

    Raises:
        ValueError: other labels, or values that are no probabilities (logits, for example).
    """
    check_labels(targets)
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise ValueError(f"probabilities lie in 0 … 1, but these in {probabilities.min():.3g} … "
                         f"{probabilities.max():.3g}: are they logits?")
    return torch.where(targets.unsqueeze(-2) == 1, probabilities, 1 - probabilities).clamp(min=SMALLEST)


def check_simplex(weights: Tensor) -> None:
    """Refuse weights [..., M] that are negative or do not sum to one.

    Raises:
        ValueError: with the first problem's weights that are off the simplex.
    """
    off = (weights < -OFF_BY).any(-1) | ((weights.sum(-1) - 1).abs() > OFF_BY) | ~weights.isfinite().all(-1)
    if off.any():
        found = weights[off][0]
        raise ValueError(f"weights {[round(w, 4) for w in found.tolist()]} are off the simplex: each must be 0 or "
                         f"more and their sum 1, not {found.sum():.4g}")
