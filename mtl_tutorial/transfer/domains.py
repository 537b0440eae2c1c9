"""Source and target in one table: labels from the source, the domain of every row in the column ``scenario``."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mtl_tutorial.data.table import Table

SOURCE, TARGET = 0, 1


def join_domains(source: Table, target: Table) -> Table:
    """Put the rows of source and target into one table, to train on by ``fit``.

    Args:
        source: rows with labels; a stacked table wants a stacked target.
        target: rows of the same columns. Its labels are masked, whether it has any or not.

    Returns:
        The source's targets, observed in no row of the target; ``scenario`` is 0 in the source and 1 in the target,
        in the place of what it was. Truth and groups are left behind.

    Raises:
        ValueError: a target of other columns, vocabularies or repeats.
    """
    if source.field_names != target.field_names or source.numeric.shape[-1] != target.numeric.shape[-1]:
        raise ValueError(f"the target has other columns: fields {', '.join(target.field_names)} and "
                         f"{target.numeric.shape[-1]} numbers, but the source has {', '.join(source.field_names)} "
                         f"and {source.numeric.shape[-1]}")
    names = source.field_names or range(len(source.cardinalities))
    for name, known, found in zip(names, source.cardinalities, target.cardinalities, strict=True):
        if known != found:
            raise ValueError(f"field {name!r} has {known} ids in the source and {found} in the target: encode both "
                             "with one vocabulary")
    if source.repeats != target.repeats:
        raise ValueError(f"the source has repeats={source.repeats}, the target repeats={target.repeats}")
    rows = target.numeric.shape[:-1]

    def joined(first: Tensor, second: Tensor) -> Tensor:
        return torch.cat([first, second.to(first)], 0 if source.repeats is None else 1)

    unknown = torch.zeros(rows, dtype=torch.bool, device=source.device)
    return replace(
        source, categorical=joined(source.categorical, target.categorical),
        numeric=joined(source.numeric, target.numeric),
        targets={name: joined(labels, unknown) for name, labels in source.targets.items()},
        masks={name: joined(source.mask(name), unknown) for name in source.targets},
        scenario=joined(torch.full_like(source.scenario, SOURCE), torch.full_like(target.scenario, TARGET)),
        scenarios=2, truth={}, groups=None)
