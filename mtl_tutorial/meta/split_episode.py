"""One task's rows parted into those to learn from and those to be judged on."""

from __future__ import annotations

import torch
from torch import Tensor


def split_episode(x: Tensor, y: Tensor, order: Tensor, shots: int,
                  classes: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Part one task's rows into support and query, and summarise what the support alone says.

    Args:
        x: rows of one task as they are stored, [N, …]; the order may give the target away.
        y: classes 0 … C − 1, [N].
        order: a random permutation of the rows, [N].
        shots: S, how many rows go to the support: the first of ``order``.
        classes: C.

    Returns:
        support_x [S, …], support_y [S], query_x [N − S, …], query_y [N − S], and the share of each class among the
        support's targets, [C].

    Raises:
        ValueError: no support row, or none left for the query.
    """
    if not 0 < shots < len(y):
        raise ValueError(f"shots={shots} of {len(y)} rows: support and query need at least one row each")
    support, query = order[:shots], order[shots:]
    share = torch.bincount(y[support], minlength=classes) / shots                       # [C]
    return x[support], y[support], x[query], y[query], share
