"""Episodes: small tasks side by side, each parted into rows to learn from and rows to be judged on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Episodes(NamedTuple):
    """T tasks as one batch; tasks of unequal size are padded, and masks say which rows count.

    Where R paired repeats run at once (see :mod:`mtl_tutorial.meta.weights`), the tasks of repeat 0 come first,
    then as many of repeat 1, and so on.
    """

    support_x: Tensor                       # [T, S, …]: what a task is learned from
    support_y: Tensor                       # [T, S, …]
    query_x: Tensor                         # [T, Q, …]: what it is judged on
    query_y: Tensor                         # [T, Q, …]
    support_mask: Tensor | None = None      # [T, S] bool; all rows count without it
    query_mask: Tensor | None = None        # [T, Q] bool

    @property
    def tasks(self) -> int:
        """T."""
        return len(self.support_x)

    @property
    def support(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Inputs, targets and mask of the support rows, as ``adapt`` wants them."""
        return self.support_x, self.support_y, self.support_mask

    @property
    def query(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Inputs, targets and mask of the query rows."""
        return self.query_x, self.query_y, self.query_mask

    def take(self, tasks: Tensor | slice) -> Episodes:
        """Return some of the tasks."""
        return Episodes(*(part if part is None else part[tasks] for part in self))

    def to(self, *target: torch.device | torch.dtype | str) -> Episodes:
        """Move to a device; a dtype is given to floating-point parts alone."""
        def moved(part: Tensor | None) -> Tensor | None:
            if part is None:
                return None
            return part.to(*(t for t in target if not isinstance(t, torch.dtype) or part.is_floating_point()))
        return Episodes(*map(moved, self))

    @staticmethod
    def join(parts: Sequence[Episodes]) -> Episodes:
        """Put the tasks of several batches behind one another: of several repeats, in their order.

        Raises:
            ValueError: parts whose tasks differ in shape, or of which some have a mask and others none.
        """
        columns = list(zip(*parts, strict=True))
        for name, column in zip(Episodes._fields, columns, strict=True):
            shapes = {None if part is None else tuple(part.shape[1:]) for part in column}
            if len(shapes) > 1:
                raise ValueError(f"{name} differs between the batches to be joined: {sorted(shapes, key=str)}; "
                                 "pad the tasks to one size and give every batch its mask")
        return Episodes(*(None if column[0] is None else torch.cat(column) for column in columns))


def blanked(x: Tensor, y: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return inputs and targets with 0 in the rows that do not count.

    What stands there could not change a masked loss, but NaN would spoil its gradient: 0 · NaN is NaN.

    Args:
        x: [T, N, …].
        y: [T, N, …].
        mask: rows that count, [T, N]; all if None.
    """
    if mask is None:
        return x, y
    return tuple(part.masked_fill(~mask.reshape(*mask.shape, *[1] * (part.dim() - 2)), 0) for part in (x, y))


def all_rows(episodes: Episodes) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return inputs, targets and mask of support and query rows together, [T, S + Q, …]."""
    x, y = (torch.cat(pair, 1) for pair in ((episodes.support_x, episodes.query_x),
                                            (episodes.support_y, episodes.query_y)))
    if episodes.support_mask is None and episodes.query_mask is None:
        return x, y, None
    masks = [torch.ones(part_y.shape[:2], dtype=torch.bool, device=part_y.device) if mask is None else mask
             for _, part_y, mask in (episodes.support, episodes.query)]
    return x, y, torch.cat(masks, 1)


def validate(episodes: Episodes, classes: int | None = None) -> Episodes:
    """Return the episodes if they are in order.

    Args:
        episodes: to be looked at.
        classes: C where targets are classes: then every task's support must hold each of 0 … C − 1.

    Raises:
        ValueError: shapes that do not fit together, a task without a row that counts, an unknown class, or a class
            that a task's support lacks.
    """
    for kind, (x, y, mask) in (("support", episodes.support), ("query", episodes.query)):
        validate_rows(kind, x, y, mask, classes)
    if episodes.support_x.shape[0] != episodes.query_x.shape[0]:
        raise ValueError(f"support_x has {episodes.support_x.shape[0]} tasks, query_x {episodes.query_x.shape[0]}")
    for column in ("x", "y"):
        support, query = (getattr(episodes, f"{kind}_{column}") for kind in ("support", "query"))
        if support.shape[2:] != query.shape[2:]:
            raise ValueError(f"a row of support_{column} has shape {list(support.shape[2:])}, "
                             f"a row of query_{column} {list(query.shape[2:])}")
    if classes is not None:
        validate_classes(episodes.support_y, episodes.support_mask, classes)
    return episodes


def validate_rows(kind: str, x: Tensor, y: Tensor, mask: Tensor | None, classes: int | None = None) -> None:
    """Check inputs and targets of T tasks against each other.

    Args:
        kind: "support" or "query", for the message.
        x: inputs, [T, N, …].
        y: targets, [T, N, …].
        mask: rows that count, [T, N].
        classes: C where targets are classes.

    Raises:
        ValueError: as for :func:`validate`.
    """
    if x.dim() < 2 or y.dim() < 2 or x.shape[:2] != y.shape[:2]:
        raise ValueError(f"{kind}_x has shape {list(x.shape)}, {kind}_y {list(y.shape)}: both must begin with "
                         "[tasks, rows], the same in both")
    if x.shape[1] == 0:
        raise ValueError(f"the {kind} set is empty: every task needs at least one {kind} row")
    if mask is not None:
        if mask.dtype != torch.bool or mask.shape != x.shape[:2]:
            raise ValueError(f"{kind}_mask is {mask.dtype} {list(mask.shape)}, must be torch.bool "
                             f"{list(x.shape[:2])}")
        if not (filled := mask.any(1)).all():
            raise ValueError(f"task {int((~filled).nonzero()[0])} has no {kind} row that counts: its {kind}_mask "
                             "is all False")
    if classes is not None:
        if y.is_floating_point() or y.dim() != 2:
            raise ValueError(f"{kind}_y must hold class numbers, integers [tasks, rows], not {y.dtype} "
                             f"{list(y.shape)}")
        counted = y if mask is None else y[mask]
        if ((counted < 0) | (counted >= classes)).any():
            raise ValueError(f"{kind}_y holds classes {int(counted.min())} … {int(counted.max())}, outside "
                             f"0 … {classes - 1}")


def validate_classes(support_y: Tensor, support_mask: Tensor | None, classes: int) -> None:
    """Check that every task's support holds a row of each class.

    Raises:
        ValueError: the first task and class for which it does not.
    """
    present = class_members(support_y, support_mask, classes).any(1)                    # [T, C]
    if not present.all():
        task, missing = (~present).nonzero()[0].tolist()
        raise ValueError(f"the support set of task {task} has no row of class {missing}: each of the {classes} "
                         "classes needs one")


def class_members(y: Tensor, mask: Tensor | None, classes: int) -> Tensor:
    """Return which rows are of which class, [T, N, C] bool; rows that do not count are of none."""
    members = y.unsqueeze(-1) == torch.arange(classes, device=y.device)                 # [T, N, C]
    return members if mask is None else members & mask.unsqueeze(-1)
