"""An in-memory table of columns, batched by index.

Rows are never objects: a batch is one gather per column. That is what a small model needs to train at the
speed of its matrix products instead of the speed of a Python loop over rows.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple

import torch
from torch import Tensor


class Schema(NamedTuple):
    """What a model must know of a table to be built."""

    cardinalities: tuple[int, ...]      # vocabulary size of each categorical field
    numeric: int                        # number of numeric features
    scenarios: int                      # number of scenarios; 1 where there is only one


class Inputs(NamedTuple):
    """What a model sees of a batch: plain tensors, so that vmap, export and autograd can look inside."""

    categorical: Tensor                 # [B, F] int64 ids
    numeric: Tensor                     # [B, D] float
    scenario: Tensor                    # [B]    int64, zeros where there is only one scenario


@dataclass(frozen=True)
class Table:
    """Columns of equal length, on one device.

    Args:
        categorical: ids, [N, F] int64, each field's in ``[0, cardinality)``.
        cardinalities: vocabulary size of each of the F fields.
        numeric: features, [N, D] float.
        targets: name -> labels [N]; float for binary and regression tasks, int64 for classes.
        masks: target name -> [N] bool, True where the label was observed. No entry: observed everywhere.
            A label that was not observed must still be a finite number; it is never read.
        scenario: scenario of each row, [N] int64; zeros if left out.
        scenarios: number of scenarios.
        truth: for simulated data, name -> the generating probability or mean [N].
        groups: e.g. the user of each row, [N] int64, for splits and metrics by group.
        field_names: of the categorical fields, for :meth:`ids` and for messages.

    Every column may carry one leading dimension of *repeats* R (see :meth:`stack`): [R, N, ...].

    Raises:
        ValueError: a column of another length, an id outside its vocabulary, a mask without a target.
    """

    categorical: Tensor
    cardinalities: tuple[int, ...]
    numeric: Tensor
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    scenario: Tensor | None = None
    scenarios: int = 1
    truth: Mapping[str, Tensor] = field(default_factory=dict)
    groups: Tensor | None = None
    field_names: tuple[str, ...] = ()
    repeats: int | None = None          # R, or None for a plain table

    def __post_init__(self) -> None:
        object.__setattr__(self, "cardinalities", tuple(self.cardinalities))
        if self.scenario is None:
            scenario = torch.zeros(self.numeric.shape[:-1], dtype=torch.long, device=self.numeric.device)
            object.__setattr__(self, "scenario", scenario)
        leading = self.numeric.shape[:-1]
        for name, column in self.columns():
            if column.shape[: len(leading)] != leading:
                raise ValueError(f"column {name!r} has shape {tuple(column.shape)}, "
                                 f"but the numeric features say {tuple(leading)} rows")
        if self.categorical.shape[-1] != len(self.cardinalities):
            raise ValueError(f"{self.categorical.shape[-1]} categorical fields, "
                             f"but {len(self.cardinalities)} cardinalities")
        unknown = set(self.masks) - set(self.targets)
        if unknown:
            raise ValueError(f"masks {sorted(unknown)} have no target; targets are {sorted(self.targets)}")

    @classmethod
    def from_features(cls, features: Tensor, **columns) -> Table:
        """Make a table of numeric features [N, D] (or [R, N, D]) alone."""
        empty = torch.zeros(*features.shape[:-1], 0, dtype=torch.long, device=features.device)
        repeats = features.shape[0] if features.dim() == 3 else None
        return cls(empty, (), features, repeats=repeats, **columns)

    def validate(self) -> Table:
        """Return the table; raise ValueError naming the field and row of an id, or of a scenario, out of range."""
        names = self.field_names or range(len(self.cardinalities))
        for name, ids, size in zip(names, self.categorical.unbind(-1), self.cardinalities, strict=True):
            _refuse_foreign(ids, size, f"categorical field {name!r}", "id", "the vocabulary")
        _refuse_foreign(self.scenario, self.scenarios, "column 'scenario'", "scenario", "the scenarios")
        return self

    def columns(self) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, column), over all tensors of the table."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, Tensor):
                yield entry.name, value
            elif isinstance(value, Mapping):
                yield from ((f"{entry.name}[{key!r}]", column) for key, column in value.items())

    def _rebuild(self, columns: Mapping[str, Tensor], **changes) -> Table:
        """Return a table like this one, of other columns by the names that :meth:`columns` gives them."""
        values = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, Tensor):
                values[entry.name] = columns[entry.name]
            elif isinstance(value, Mapping):
                values[entry.name] = {key: columns[f"{entry.name}[{key!r}]"] for key in value}
        return replace(self, **values, **changes)

    def _map(self, function: Callable[[Tensor], Tensor]) -> Table:
        return self._rebuild({name: function(column) for name, column in self.columns()})

    def __len__(self) -> int:
        return self.numeric.shape[-2]

    @property
    def device(self) -> torch.device:
        """Where the columns are."""
        return self.numeric.device

    @property
    def schema(self) -> Schema:
        """What a model must know to be built."""
        return Schema(self.cardinalities, self.numeric.shape[-1], self.scenarios)

    @property
    def inputs(self) -> Inputs:
        """What a model sees."""
        return Inputs(self.categorical, self.numeric, self.scenario)

    def ids(self, field_name: str) -> Tensor:
        """Return one categorical field by name, [N] int64.

        Raises:
            KeyError: no field has this name.
        """
        if field_name not in self.field_names:
            raise KeyError(f"no field {field_name!r}; fields are {', '.join(self.field_names)}")
        return self.categorical[..., self.field_names.index(field_name)]

    def mask(self, target: str) -> Tensor:
        """Where the target was observed, [N] bool."""
        if target in self.masks:
            return self.masks[target]
        return torch.ones(self.targets[target].shape, dtype=torch.bool, device=self.device)

    def fingerprint(self) -> str:
        """Return a hash of all columns: equal for equal rows, so that a resumed run notices other data."""
        digest = hashlib.sha256()
        for name, column in self.columns():
            digest.update(f"{name} {tuple(column.shape)} {column.dtype} ".encode())
            digest.update(column.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def take(self, index: Tensor | slice) -> Table:
        """Return the rows at ``index`` [B] int64, from 0; for a stacked table [R, B], each repeat's own rows."""
        if isinstance(index, slice):
            return self._map(lambda column: column[index] if self.repeats is None else column[:, index])
        if index.dim() == 1:
            rows = 0 if self.repeats is None else 1
            return self._map(lambda column: column.index_select(rows, index))   # several times faster than []
        repeat = torch.arange(self.repeats, device=index.device).unsqueeze(-1)          # [R, 1]
        return self._map(lambda column: column[repeat, index])

    def to(self, device: torch.device | str) -> Table:
        """Return the table on ``device``."""
        return self._map(lambda column: column.to(device))

    def only(self, targets: Sequence[str]) -> Table:
        """Return the features and these targets alone: what training gathers again at every step.

        Raises:
            KeyError: a target that the table does not hold.
        """
        missing = [name for name in targets if name not in self.targets]
        if missing:
            raise KeyError(f"the table holds no target {missing[0]!r}; it holds {', '.join(sorted(self.targets))}")
        return replace(self, targets={name: self.targets[name] for name in targets},
                       masks={name: self.masks[name] for name in targets if name in self.masks},
                       truth={}, groups=None)

    def without(self, *field_names: str) -> Table:
        """Return the table without these categorical fields, so that no model sees them.

        The column ``scenario``, which is no field, stays: metrics by scenario need it, and models that are told
        of the scenario read it there.

        Raises:
            KeyError: a field that the table does not have.
        """
        for name in field_names:
            self.ids(name)
        kept = [place for place, name in enumerate(self.field_names) if name not in field_names]
        return replace(self, categorical=self.categorical[..., kept],
                       cardinalities=tuple(self.cardinalities[place] for place in kept),
                       field_names=tuple(self.field_names[place] for place in kept))

    def with_targets(self, targets: Mapping[str, Tensor], masks: Mapping[str, Tensor] | None = None) -> Table:
        """Return the same rows with other targets."""
        return replace(self, targets=targets, masks=masks or {})

    def split(self, *shares: float, seed: int = 0, by_group: bool = False) -> tuple[Table, ...]:
        """Split at random into parts of the given shares.

        Args:
            shares: each part's share of the rows (of the groups, with ``by_group``), together at most 1.
            seed: of the permutation.
            by_group: keep all rows of a group in one part, so that no user is in both train and test.

        Raises:
            ValueError: shares not in (0, 1] or above 1 together; ``by_group`` without groups.
        """
        if any(share <= 0 for share in shares) or sum(shares) > 1 + 1e-9:
            raise ValueError(f"shares {shares} must be positive and at most 1 together")
        if by_group and self.groups is None:
            raise ValueError("split(by_group=True) needs a table with groups")
        generator = torch.Generator().manual_seed(seed)
        if by_group:
            names, unit = self.groups.cpu().unique(return_inverse=True)                 # [G], [N]
            rank = torch.randperm(len(names), generator=generator)[unit]                # [N]
            total = len(names)
        else:
            total = len(self)
            rank = torch.randperm(total, generator=generator)                           # [N]
        edges = [0]
        for share in shares:
            edges.append(edges[-1] + share * total)
        edges = [round(edge) for edge in edges]
        parts = [((rank >= low) & (rank < high)).nonzero().squeeze(-1)
                 for low, high in itertools.pairwise(edges)]
        return tuple(self.take(part.to(self.device)) for part in parts)

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Tensor]:
        """Yield index batches of one pass over the rows: shuffled by ``generator``, in order without one.

        A stacked table yields [R, B], every repeat in an order of its own. The last batch may be smaller.
        """
        shape = (len(self),) if self.repeats is None else (self.repeats, len(self))
        if generator is None:
            order = torch.arange(len(self))
        elif self.repeats is None:
            order = torch.randperm(len(self), generator=generator)
        else:
            order = torch.rand(shape, generator=generator).argsort(-1)
        yield from order.to(self.device).split(size, dim=-1)

    @staticmethod
    def stack(tables: Sequence[Table]) -> Table:
        """Join R tables of the same schema and length along a leading dimension of repeats.

        Raises:
            ValueError: no table, or tables that differ in schema or length.
        """
        if not tables:
            raise ValueError("nothing to stack: give at least one table")
        first = tables[0]
        for position, table in enumerate(tables):
            if table.schema != first.schema or len(table) != len(first):
                raise ValueError(f"table {position} has {len(table)} rows and {table.schema}, "
                                 f"table 0 has {len(first)} rows and {first.schema}")
        columns = [dict(table.columns()) for table in tables]
        stacked = {name: torch.stack([c[name] for c in columns]) for name in columns[0]}
        return first._rebuild(stacked, repeats=len(tables))

    @staticmethod
    def join(tables: Sequence[Table]) -> Table:
        """Put the rows of plain tables of the same schema below one another.

        Raises:
            ValueError: no table, a stacked table, or tables that differ in schema.
        """
        if not tables:
            raise ValueError("nothing to join: give at least one table")
        first = tables[0]
        for position, table in enumerate(tables):
            if table.schema != first.schema or table.repeats is not None:
                raise ValueError(f"table {position} has {table.schema} and repeats={table.repeats}, "
                                 f"table 0 has {first.schema}; only plain tables can be joined")
        columns = [dict(table.columns()) for table in tables]
        return first._rebuild({name: torch.cat([c[name] for c in columns]) for name in columns[0]})

    def repeat(self, repeats: int) -> Table:
        """Show the same rows to each of ``repeats`` models, without copying them."""
        views = {name: column.expand(repeats, *column.shape) for name, column in self.columns()}
        return self._rebuild(views, repeats=repeats)


def _refuse_foreign(ids: Tensor, size: int, where: str, kind: str, known: str) -> None:
    bad = ((ids < 0) | (ids >= size)).nonzero()
    if len(bad):
        row = tuple(bad[0].tolist())
        raise ValueError(f"{where}, row {row[-1]}: {kind} {int(ids[row])} is outside {known} 0 … {size - 1}")
