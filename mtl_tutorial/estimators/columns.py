"""The columns that an estimator was fitted on, and whether another table has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mtl_tutorial.data.table import Schema, Table
from mtl_tutorial.tasks import Task


@dataclass(frozen=True)
class Columns:
    """Names and vocabulary sizes of the categorical fields, and how many numeric features stand beside them."""

    names: tuple[str, ...]
    cardinalities: tuple[int, ...]
    numeric: int

    @classmethod
    def of(cls, table: Table) -> Columns:
        """Read them off a table; fields without names are called by their place."""
        places = tuple(str(place) for place in range(len(table.cardinalities)))
        return cls(tuple(table.field_names) or places, table.cardinalities, table.numeric.shape[-1])

    @property
    def schema(self) -> Schema:
        """What a model must know to be built on these columns; it is not told of scenarios."""
        return Schema(self.cardinalities, self.numeric, 1)

    def check(self, table: Table, kind: str) -> Table:
        """Return the table with the vocabularies known here.

        Args:
            table: of rows to learn from or to score.
            kind: what the table is, for the message: ``"the target"``.

        Raises:
            ValueError: other fields, another number of numeric features, a category that is not in the vocabulary
                (naming field and row), a numeric feature that is not finite (naming feature and row).
        """
        theirs = Columns.of(table)
        if theirs.names != self.names:
            missing = [name for name in self.names if name not in theirs.names]
            surplus = [name for name in theirs.names if name not in self.names]
            told = [f"lacks {', '.join(missing)}"] * bool(missing)
            told += [f"has {', '.join(surplus)} too many"] * bool(surplus)
            raise ValueError(f"{kind} {' and '.join(told) or 'has its fields in another order'}: "
                             f"the fields must be {', '.join(self.names)}")
        if theirs.numeric != self.numeric:
            raise ValueError(f"{kind} has {theirs.numeric} numeric features, it must have {self.numeric}")
        bad = (~table.numeric.isfinite()).nonzero()
        if len(bad):
            row, feature = bad[0].tolist()
            found = table.numeric[row, feature].item()
            raise ValueError(f"{kind}: numeric feature {feature}, row {row} is {found}, not a finite number")
        try:
            return replace(table, cardinalities=self.cardinalities).validate()
        except ValueError as found:
            raise ValueError(f"{kind}: {found}") from None


def tasks_of(table: Table, names: Sequence[str]) -> list[Task]:
    """Tell from a table's targets what kind of task each is.

    Integers are classes from 0; floats that are all 0 or 1 where observed are binary; other floats are regression.

    Args:
        table: with a target for each name.
        names: of the targets.

    Raises:
        ValueError: no name or one twice, a target that the table does not hold, that is observed nowhere, that is
            not finite where observed, or that has a class below 0.
    """
    if isinstance(names, str):
        raise ValueError(f"tasks is the string {names!r}, but must be a sequence of names: write ({names!r},)")
    if not names:
        raise ValueError("no task: name at least one target")
    if len(set(names)) < len(names):
        raise ValueError(f"tasks {', '.join(names)}: one is named twice")
    tasks = []
    for name in names:
        if name not in table.targets:
            raise ValueError(f"no target {name!r}; the targets are {', '.join(sorted(table.targets)) or 'none'}")
        mask = table.mask(name)
        labels = table.targets[name][mask]
        if len(labels) == 0:
            raise ValueError(f"target {name!r} is observed in no row")
        if labels.is_floating_point():
            if not labels.isfinite().all():
                row = int(mask.nonzero()[~labels.isfinite()][0])
                raise ValueError(f"target {name!r}, row {row} is {table.targets[name][row].item()}: mask it")
            binary = ((labels == 0) | (labels == 1)).all()
            tasks.append(Task(name, "binary" if binary else "regression"))
        else:
            if labels.min() < 0:
                raise ValueError(f"target {name!r} has class {int(labels.min())}: classes start at 0")
            tasks.append(Task(name, "multiclass", int(labels.max()) + 1))
    return tasks


def check_targets(table: Table, tasks: Sequence[Task], kind: str) -> None:
    """Refuse a table whose targets are not those of the tasks that were learned.

    Args:
        table: of rows to learn from further, to validate on or to score.
        tasks: as learned.
        kind: what the table is, for the message: ``"the target"``.

    Raises:
        ValueError: a target that is missing, observed nowhere, of another kind or with a class never learned.
    """
    for task in tasks:
        try:
            [found] = tasks_of(table, [task.name])
        except ValueError as problem:
            raise ValueError(f"{kind}: {problem}") from None
        if found.kind != task.kind and (task.kind, found.kind) != ("regression", "binary"):
            raise ValueError(f"{kind}: target {task.name!r} is {found.kind}, but it was learned as {task.kind}")
        if found.outputs > task.outputs:
            raise ValueError(f"{kind}: target {task.name!r} has class {found.outputs - 1}, but those learned are "
                             f"0 … {task.outputs - 1}")
