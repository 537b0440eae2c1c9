"""The rows of clients who do not share them, stacked so that all clients train at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mtl_tutorial.data.table import Table


@dataclass(frozen=True)
class Clients:
    """C clients in each of G groups. A group is one federation; groups are its repeats and settings.

    Make it with :meth:`of`. Client c of group g stands at g·C + c of the table. Clients with fewer rows than the
    largest are filled up with copies of their own rows, whose labels are masked.
    """

    table: Table            # [G·C, N]
    rows: Tensor            # [G, C] rows of each client, copies not counted

    @classmethod
    def of(cls, groups: Sequence[Sequence[Table]]) -> Clients:
        """Stack the clients' tables.

        Args:
            groups: for each of the G groups, the tables of its C clients.

        Raises:
            ValueError: no client, groups of different sizes, a client without a row.
        """
        sizes = sorted({len(group) for group in groups})
        if not sizes or 0 in sizes:
            raise ValueError("no clients: give at least one group with at least one table")
        if len(sizes) > 1:
            raise ValueError(f"the groups have {sizes} clients: all groups need the same number")
        for g, group in enumerate(groups):
            for c, table in enumerate(group):
                if len(table) == 0:
                    raise ValueError(f"client {c} of group {g} has 0 rows: leave such clients out")
        rows = torch.tensor([[len(table) for table in group] for group in groups], device=groups[0][0].device)
        most = int(rows.max())
        return cls(Table.stack([_filled(table, most) for group in groups for table in group]), rows)

    @property
    def groups(self) -> int:
        """G, the number of groups."""
        return self.rows.shape[0]

    @property
    def each(self) -> int:
        """C, the number of clients in a group."""
        return self.rows.shape[1]

    def batch(self, size: int | None, generator: torch.Generator) -> Table:
        """Draw ``size`` rows of every client, with replacement, [G·C, size]; None gives all rows of each."""
        if size is None:
            return self.table
        drawn = torch.rand(self.rows.numel(), size, generator=generator, dtype=torch.float64)
        place = (drawn * self.rows.reshape(-1, 1).cpu()).long()
        return self.table.take(place.to(self.rows.device))


def pooled(groups: Sequence[Sequence[Table]]) -> Clients:
    """Return each group's rows as those of one client: what the clients would not agree to."""
    return Clients.of([[Table.join(group)] for group in groups])


def _filled(table: Table, rows: int) -> Table:
    place = torch.arange(rows, device=table.device)
    filled = table.take(place % len(table))
    return replace(filled, masks={name: filled.mask(name) & (place < len(table)) for name in filled.targets})
