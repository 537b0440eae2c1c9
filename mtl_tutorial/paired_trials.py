"""Trials side by side: many settings of one comparison as one stack, on the same rows in the same order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from mtl_tutorial.data.table import Table


@dataclass(frozen=True)
class PairedTrials(Table):
    """T trials of R repeats as one stacked table [T · R, N], trial by trial; make it with :meth:`of`.

    Every trial of a repeat sees that repeat's rows in one order, so that trials differ in nothing but their
    setting: the luck of the order, which can be larger than what is compared, is the same for all.
    """

    trials: int = 1

    @classmethod
    def of(cls, tables: Sequence[Table]) -> PairedTrials:
        """Stack one stacked table of R repeats for each trial; they may differ in their targets.

        Raises:
            ValueError: no table, a table without repeats, or tables that differ in schema or shape.
        """
        if not tables or any(table.repeats is None for table in tables):
            raise ValueError("trials need at least one table, each a stack of repeats, as Table.stack makes it")
        if len({(table.schema, table.repeats, len(table)) for table in tables}) > 1:
            raise ValueError("trials must have as many repeats and rows and the same schema, but they have "
                             f"{sorted({(table.repeats, len(table)) for table in tables})} or differ in schema")
        names = [name for name, _ in tables[0].columns()]
        columns = [dict(table.columns()) for table in tables]
        joined = tables[0]._rebuild({name: torch.cat([found[name] for found in columns]) for name in names},
                                    repeats=len(tables) * tables[0].repeats)
        return cls(**{entry.name: getattr(joined, entry.name) for entry in fields(Table)}, trials=len(tables))

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Tensor]:
        """Yield index batches [T · R, B] of one pass: the trials of a repeat get the same rows."""
        shape = self.repeats // self.trials, len(self)
        order = (torch.arange(len(self)).expand(shape) if generator is None
                 else torch.rand(shape, generator=generator).argsort(-1))               # [R, N]
        yield from order.repeat(self.trials, 1).to(self.device).split(size, dim=-1)
