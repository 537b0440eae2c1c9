"""Where the data files are, and how they are read and written.

The files lie in ``data/`` at the root of the repository, found from this package's own path, or in the folder
that ``$MTL_TUTORIAL_DATA`` names. ``SHA256SUMS`` in that folder holds each file's expected hash, in the format
of the ``sha256sum`` command. Writing a file enters its hash; reading a file compares it.

Files of facts and numbers are Parquet. A small table that was written by hand is CSV, which people can read and
correct: UTF-8, commas, a header, no empty value. It is its own source, so nothing here writes it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from mtl_tutorial.data.columns import Category, Column, DataError, Integer, Real, check

HASHES = "SHA256SUMS"
LEVELS = {"zstd": 19, "brotli": 11}         # the smallest files that each codec can make in reasonable time
REMEDY = "restore it with 'git checkout data' or rebuild it with 'make data'"
REMEDY_OF_CSV = "restore it with 'git checkout data'"       # written by hand: there is no source to rebuild it from


def folder() -> Path:
    """Return the folder of the data files."""
    chosen = os.environ.get("MTL_TUTORIAL_DATA")
    return Path(chosen) if chosen else Path(__file__).resolve().parents[2] / "data"


def read(name: str, columns: Mapping[str, Column]) -> pd.DataFrame:
    """Read one data file and check its schema, its values and its hash, in this order.

    The hash comes last, so that a wrong file is described by what is wrong in it where that can be said.

    Args:
        name: of the file, e.g. ``"census_income_train.parquet"``; read as CSV if it ends so, else as Parquet.
        columns: what each column may hold.

    Raises:
        DataError: the file is missing or damaged, or differs from its declaration or from its hash.
    """
    path = folder() / name
    kind, remedy = ("CSV", REMEDY_OF_CSV) if name.endswith(".csv") else ("Parquet", REMEDY)
    if not path.is_file():
        raise DataError(f"{path} is missing; {remedy}")
    content = path.read_bytes()
    try:
        source = pa.BufferReader(content)
        table = _table_of_texts(source, columns) if kind == "CSV" else pq.read_table(source)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name}: cannot be read as {kind}, truncated or damaged ({error}); {remedy}") from error
    try:
        frame = check(_typed(table, columns, name) if kind == "CSV" else table, columns, name)
    except DataError as error:
        raise DataError(f"{error}; {remedy}") from None
    found, expected = hashlib.sha256(content).hexdigest(), hashes(path.parent).get(name, "nothing")
    if found != expected:
        raise DataError(f"{name}: SHA-256 is {found}, but {HASHES} says {expected}; {remedy}")
    return frame


def write(target: Path, name: str, frame: pd.DataFrame, columns: Mapping[str, Column],
          codec: Literal["zstd", "brotli"] = "zstd") -> Path:
    """Write a data file, and its hash into ``SHA256SUMS``; neither is ever seen half written.

    Args:
        target: the folder.
        name: of the file.
        frame: its rows.
        columns: what each column may hold; others are left out.
        codec: brotli makes files of pixels and vectors a tenth smaller, and is slower to write.

    Raises:
        DataError: the frame does not fit the declaration.
    """
    table = pa.table({column: _plain(frame[column], kind) for column, kind in columns.items()})
    check(table, columns, name)
    schema = pa.schema([(column, kind.arrow_type) for column, kind in columns.items()])
    buffer = pa.BufferOutputStream()
    pq.write_table(table.cast(schema), buffer, compression=codec, compression_level=LEVELS[codec],
                   row_group_size=len(frame))
    content = buffer.getvalue().to_pybytes()
    entries = hashes(target) | {name: hashlib.sha256(content).hexdigest()}
    _replace(target / name, content)
    _replace(target / HASHES, "".join(f"{entries[key]}  {key}\n" for key in sorted(entries)).encode())
    return target / name


def hashes(target: Path) -> dict[str, str]:
    """Return file name -> expected SHA-256 in hexadecimal, as ``SHA256SUMS`` in ``target`` says.

    Raises:
        DataError: a line is not a hash and a file name.
    """
    path = target / HASHES
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    entries = {}
    for number, line in enumerate(lines, start=1):
        match line.split():
            case [value, name]:
                entries[name] = value
            case _:
                raise DataError(f"{path}: line {number} is not a hash and a file name; {REMEDY}")
    return entries


def _table_of_texts(source: pa.BufferReader, columns: Mapping[str, Column]) -> pa.Table:
    """Return a CSV file's columns as text, an empty value as the empty text."""
    options = pyarrow.csv.ConvertOptions(column_types={column: pa.string() for column in columns})
    return pyarrow.csv.read_csv(source, convert_options=options)


def _typed(table: pa.Table, columns: Mapping[str, Column], name: str) -> pa.Table:
    """Return a table of texts with the types that its declaration asks for.

    Raises:
        DataError: a text is not the number that its column must hold.
    """
    for place, column in enumerate(table.column_names):
        declared = columns.get(column)
        if isinstance(declared, Category):
            table = table.set_column(place, column, table[column].dictionary_encode())
        elif isinstance(declared, Integer | Real):
            texts = table[column].to_pandas()
            numbers = pd.to_numeric(texts, errors="coerce")
            if numbers.isna().any():
                row = int(numbers.isna().argmax())
                raise DataError(f"{name}: column {column!r}, row {row}: {texts.iloc[row]!r} is not {declared}")
            table = table.set_column(place, column, pa.array(numbers))
    return table


def _plain(column: pd.Series, kind: Column) -> pa.Array:
    """Return the column in its natural Arrow type, so that a value out of range is found by ``check``."""
    if isinstance(kind, Category):
        return pa.array(column, pa.string()).dictionary_encode()
    return pa.array(column)


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(content)
    temporary.replace(path)


def check_one_row_each(name: str, frame: pd.DataFrame, column: str, expected: Sequence[str]) -> None:
    """Refuse a CSV file whose column does not hold these values, each once and in this order.

    Raises:
        DataError: with the first row that holds another value, or the number of rows.
    """
    for row, (found, wanted) in enumerate(zip(frame[column], expected, strict=False)):
        if found != wanted:
            raise DataError(f"{name}: column {column!r}, row {row}: {found!r} stands where {wanted!r} should; "
                            f"{REMEDY_OF_CSV}")
    if len(frame) != len(expected):
        raise DataError(f"{name}: {len(frame)} rows, but {len(expected)} values of {column!r} are expected; "
                        f"{REMEDY_OF_CSV}")
