"""What a column of a data file may hold, and the check that it does.

A reader declares its columns as ``name -> Category | Integer | Real | Text | Bytes``; :func:`check` names the
file, the column and the row of the first value that does not fit.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa


class DataError(ValueError):
    """A data file is missing, damaged, or does not hold what its reader declares."""


@dataclass(frozen=True)
class Category:
    """One of the given strings; their order is the order of the pandas categories."""

    values: tuple[str, ...]

    @property
    def arrow_type(self) -> pa.DataType:
        """Dictionary-encoded strings."""
        return pa.dictionary(pa.int16(), pa.string())

    def accepts(self, kind: pa.DataType) -> bool:
        """Whether a file's column of this type can be read."""
        return pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type)

    def fits(self, column: pd.Series) -> pd.Series:
        """Which rows hold a declared value."""
        return column.isin(self.values)

    def __str__(self) -> str:
        return "one of " + ", ".join(map(repr, self.values[:4])) + (", …" if len(self.values) > 4 else "")


@dataclass(frozen=True)
class Integer:
    """A whole number from ``low`` to ``high``, both included."""

    low: int
    high: int

    @property
    def arrow_type(self) -> pa.DataType:
        """The smallest signed integer type that holds the range."""
        widths = (pa.int8(), pa.int16(), pa.int32(), pa.int64())
        return next(width for width in widths
                    if max(self.high, -self.low - 1) < 2 ** (width.bit_width - 1))

    def accepts(self, kind: pa.DataType) -> bool:
        """Whether a file's column of this type can be read."""
        return pa.types.is_integer(kind)

    def fits(self, column: pd.Series) -> pd.Series:
        """Which rows hold a value in range."""
        return column.between(self.low, self.high)

    def __str__(self) -> str:
        return f"a whole number {self.low} … {self.high}"


@dataclass(frozen=True)
class Real:
    """A finite number from ``low`` to ``high``, both included."""

    low: float
    high: float

    @property
    def arrow_type(self) -> pa.DataType:
        """Double precision."""
        return pa.float64()

    def accepts(self, kind: pa.DataType) -> bool:
        """Whether a file's column of this type can be read."""
        return pa.types.is_floating(kind)

    def fits(self, column: pd.Series) -> pd.Series:
        """Which rows hold a value in range; NaN is not."""
        return column.between(self.low, self.high)

    def __str__(self) -> str:
        return f"a number {self.low} … {self.high}"


@dataclass(frozen=True)
class Text:
    """Text of 1 to ``longest`` characters."""

    longest: int

    @property
    def arrow_type(self) -> pa.DataType:
        """UTF-8."""
        return pa.string()

    def accepts(self, kind: pa.DataType) -> bool:
        """Whether a file's column of this type can be read."""
        return pa.types.is_string(kind) or pa.types.is_large_string(kind)

    def fits(self, column: pd.Series) -> pd.Series:
        """Which rows hold a text of such length."""
        return column.str.len().between(1, self.longest)

    def __str__(self) -> str:
        return f"text of 1 … {self.longest} characters"


@dataclass(frozen=True)
class Bytes:
    """Exactly ``count`` bytes: an image, a vector."""

    count: int

    @property
    def arrow_type(self) -> pa.DataType:
        """Binary of fixed width."""
        return pa.binary(self.count)

    def accepts(self, kind: pa.DataType) -> bool:
        """Whether a file's column of this type can be read."""
        return pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind)

    def fits(self, column: pd.Series) -> pd.Series:
        """Which rows hold that many bytes."""
        return column.str.len() == self.count

    def __str__(self) -> str:
        return f"{self.count} bytes"


Column = Category | Integer | Real | Text | Bytes


def check(table: pa.Table, columns: Mapping[str, Column], source: str) -> pd.DataFrame:
    """Return the table as a data frame, after checking it against its declaration.

    Args:
        table: of any row count.
        columns: name -> what it may hold, in the order of the file.
        source: the file's name, for messages.

    Returns:
        One pandas column per declared column; categories in their declared order.

    Raises:
        DataError: a column is missing, unknown, of another type, or holds an empty or undeclared value;
            the message names ``source``, the column and the first such row (counted from 0).
    """
    missing = [name for name in columns if name not in table.column_names]
    unknown = [name for name in table.column_names if name not in columns]
    if missing or unknown:
        problems = [f"column {missing[0]!r} is missing"] * bool(missing)
        problems += [f"column {unknown[0]!r} is unknown"] * bool(unknown)
        raise DataError(f"{source}: " + " and ".join(problems))
    for name, column in columns.items():
        found = table.schema.field(name).type
        if not column.accepts(found):
            raise DataError(f"{source}: column {name!r} has type {found}, but must hold {column}")
    frame = table.select(list(columns)).to_pandas()
    for name, column in columns.items():
        fits = column.fits(frame[name])
        if not fits.all():
            row = int(fits.argmin())
            [value] = frame[name].iloc[[row]].tolist()
            problem = "the value is empty" if pd.isna(value) else f"{reprlib.repr(value)} is not {column}"
            raise DataError(f"{source}: column {name!r}, row {row}: {problem}")
        if isinstance(column, Category):
            frame[name] = frame[name].cat.set_categories(column.values)
    return frame
