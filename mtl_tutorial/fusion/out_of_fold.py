"""Out-of-fold predictions: every row is predicted once, by a model that never saw it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def assign_folds(rows: int, folds: int, seed: int, groups: Tensor | None = None) -> Tensor:
    """Deal rows to folds at random, [N] int64 in 0 … folds − 1.

    Args:
        rows: N; without groups the folds' sizes differ by at most one.
        folds: 2 or more.
        seed: of the deal.
        groups: of each row, [N], e.g. the user: all rows of a group come into one fold, so that a model is judged
            on groups that it never saw. The folds then hold equally many groups, to within one.

    Raises:
        ValueError: fewer than two folds, fewer rows (or groups) than folds, groups of another length.
    """
    if folds < 2:
        raise ValueError(f"folds={folds}: with fewer than 2, no model is left that did not see the rows")
    if groups is not None and groups.shape != (rows,):
        raise ValueError(f"groups have shape {tuple(groups.shape)}, but there are {rows} rows")
    members = torch.arange(rows) if groups is None else groups.unique(return_inverse=True)[1]
    units = rows if groups is None else int(members.max()) + 1
    if units < folds:
        kind = "rows" if groups is None else "groups"
        raise ValueError(f"{units} {kind} cannot fill {folds} folds: take fewer folds")
    order = torch.randperm(units, generator=torch.Generator().manual_seed(seed))
    dealt = torch.empty(units, dtype=torch.long)
    dealt[order] = torch.arange(units) % folds
    return dealt[members.cpu()] if groups is None else dealt[members.cpu()].to(groups.device)


def out_of_fold(fit: Callable[[Tensor, Tensor], Callable[[Tensor], Tensor]], x: Tensor, y: Tensor,
                fold: Tensor) -> Tensor:
    """Predict every row by a model that was fitted on the rows of all other folds, [N, ...].

    Args:
        fit: maps features and targets of some rows to a function that predicts from features.
        x: features, [N, ...].
        y: targets, [N].
        fold: of each row, [N].

    Raises:
        ValueError: columns of different lengths, or a single fold.

    Reference: Wolpert 1992, Stacked Generalization, section 2; Breiman 1996, Stacked Regressions, section 2.
    """
    if not len(x) == len(y) == len(fold):
        raise ValueError(f"x has {len(x)} rows, y {len(y)} and fold {len(fold)}: they must be the same ones")
    numbers = fold.unique()
    if len(numbers) < 2:
        raise ValueError("all rows are in one fold: no model is left that did not see them")
    found = torch.cat([fit(x[fold != number], y[fold != number])(x[fold == number]) for number in numbers])
    return found[fold.argsort(stable=True).argsort()]           # back from fold after fold to the rows' own order


def fold_rows(fold: Tensor) -> tuple[Tensor, Tensor]:
    """Return which rows each of K models is fitted on, [K, N − N/K], and which it predicts, [K, N/K].

    For models that are trained at once, as one stack: they need equally many rows.

    Args:
        fold: of each row, [N], in 0 … K − 1.

    Raises:
        ValueError: folds of different sizes, or an empty one.
    """
    sizes = fold.bincount()
    if len(sizes) < 2 or sizes.min() != sizes.max():
        raise ValueError(f"folds hold {sizes.tolist()} rows; to be stacked they must be two or more of one size: "
                         f"leave {len(fold) % max(len(sizes), 1)} rows out")
    held = fold.argsort(stable=True).view(len(sizes), -1)                                           # [K, N / K]
    fitted = torch.stack([(fold != number).nonzero().squeeze(-1) for number in range(len(sizes))])  # [K, N − N / K]
    return fitted, held


def back_in_order(predictions: Tensor, held: Tensor) -> Tensor:
    """Put the predictions [..., K, N/K] of the rows that each model held out, [K, N/K], in order, [..., N].

    Raises:
        ValueError: a row that no model predicted, or more than one.
    """
    rows = held.flatten()
    if not rows.sort().values.equal(torch.arange(len(rows), device=rows.device)):
        raise ValueError("held must name every row 0 … N − 1 exactly once")
    return predictions.flatten(-2)[..., rows.argsort()]
