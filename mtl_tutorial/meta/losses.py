"""Losses of T tasks side by side: one per row, then the mean over the rows that count."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

RowLoss = Callable[[Tensor, Tensor], Tensor]        # outputs [T, N, …], targets [T, N, …] -> losses [T, N, …]


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return (output − target)² entry by entry.

    Args:
        outputs: [T, N, …].
        targets: of the same shape.

    Raises:
        ValueError: different shapes, which would be broadcast against each other in silence.
    """
    if outputs.shape != targets.shape:
        raise ValueError(f"outputs have shape {list(outputs.shape)}, targets {list(targets.shape)}: give the "
                         "targets a last dimension of 1, or squeeze the model's")
    return F.mse_loss(outputs, targets, reduction="none")


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return −log softmax(outputs)[target] of each row, [T, N].

    Args:
        outputs: logits, [T, N, C]; minus infinity for a class that a row cannot have.
        targets: classes, [T, N] integers.

    Raises:
        ValueError: shapes that do not fit.
    """
    if outputs.dim() != 3 or outputs.shape[:2] != targets.shape:
        raise ValueError(f"outputs have shape {list(outputs.shape)}, targets {list(targets.shape)}: expected "
                         "[tasks, rows, classes] and [tasks, rows]")
    rows = F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none")  # [T·N]
    return rows.view(targets.shape)


def mean_over_rows(losses: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return each task's mean loss, [T].

    Args:
        losses: [T, N, …].
        mask: rows that count, [T, N]; all if left out. The losses of the others have no influence, NaN included;
            a gradient has to pass their rows all the same (see :func:`~mtl_tutorial.meta.episodes.blanked`).
    """
    if mask is None:
        return losses.flatten(1).mean(1)
    rows = losses.flatten(2).mean(2) if losses.dim() > 2 else losses                    # [T, N]
    return torch.where(mask, rows, 0.0).sum(1) / mask.sum(1)
