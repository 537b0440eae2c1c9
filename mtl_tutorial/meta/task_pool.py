"""Tasks of unequal size as one padded block, parted anew into support and query whenever they are drawn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mtl_tutorial.meta.episodes import Episodes, class_members


class TaskPool:
    """A tasks with rows of their own.

    Args:
        xs: inputs of each task, [N, …] each.
        ys: targets of each task, [N, …] each.
        groups: of which each task's support gets equally many rows: classes 0 … C − 1 of each row, [N] each; or
            None where any rows will do.

    Raises:
        ValueError: a task whose inputs, targets and groups are not equally many.
    """

    def __init__(self, xs: Sequence[Tensor], ys: Sequence[Tensor], groups: Sequence[Tensor] | None = None):
        for name, parts in (("targets", ys), ("groups", xs if groups is None else groups)):
            if [len(x) for x in xs] != [len(part) for part in parts]:
                raise ValueError(f"tasks have {[len(x) for x in xs][:10]} rows of inputs, but "
                                 f"{[len(part) for part in parts][:10]} of {name}: each row needs one")
        self.x, self.y = (pad_sequence(list(parts), batch_first=True) for parts in (xs, ys))   # [A, N, …]
        counts = torch.tensor([len(x) for x in xs])
        self.mask = torch.arange(self.x.shape[1]) < counts.unsqueeze(-1)                # [A, N]
        groups = [torch.zeros(len(x), dtype=torch.long) for x in xs] if groups is None else list(groups)
        self.groups = int(max(group.max() for group in groups)) + 1                     # C
        self.members = class_members(pad_sequence(groups, batch_first=True), self.mask, self.groups)   # [A, N, C]
        self.counts = self.members.sum(1)                                               # [A, C]

    def __len__(self) -> int:
        """Return A."""
        return len(self.x)

    def draw(self, tasks: Tensor, shots: int, generator: torch.Generator) -> Episodes:
        """Part tasks at random: some rows of each group to the support, all others to the query.

        Args:
            tasks: which, [T].
            shots: support rows of each group.
            generator: of the draw.

        Returns:
            Episodes with C · shots support rows; query rows are padded to the longest task.

        Raises:
            ValueError: a task with too few rows of a group, or with none left for the query.
        """
        short = self.counts[tasks] < shots
        if short.any():
            task, group = short.nonzero()[0].tolist()
            raise ValueError(f"task {int(tasks[task])} has {int(self.counts[tasks][task, group])} rows of class "
                             f"{group}; its support needs {shots}")
        size = shots * self.groups
        if (whole := self.mask[tasks].sum(1) <= size).any():
            raise ValueError(f"task {int(tasks[whole][0])}: its support would take all {size} rows, none is left "
                             "to be judged on")
        mask, members = self.mask[tasks], self.members[tasks]                           # [T, N], [T, N, C]
        luck = torch.rand(mask.shape, generator=generator)
        order = luck.masked_fill(~mask, 2.0).argsort(1)                                 # shuffled, padding last
        members = members.gather(1, order.unsqueeze(-1).expand_as(members))
        place = (members.cumsum(1) * members).sum(-1)                                   # 1, 2, … within its group
        mask = mask.gather(1, order)
        supports = mask & (place <= shots)
        order = order.gather(1, (~supports).byte().argsort(dim=1, stable=True))         # support, query, padding
        x, y = (_rows(part[tasks], order) for part in (self.x, self.y))
        counts = self.mask[tasks].sum(1)
        query_mask = torch.arange(size, order.shape[1]) < counts.unsqueeze(-1)          # [T, N − S]
        return Episodes(x[:, :size], y[:, :size], x[:, size:], y[:, size:], None, query_mask)


def _rows(part: Tensor, order: Tensor) -> Tensor:
    """Put the rows of each task [T, N, …] into an order [T, N]."""
    return part[torch.arange(len(part)).unsqueeze(-1), order]
