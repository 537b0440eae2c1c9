import hashlib
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl_tutorial.data import files
from mtl_tutorial.data.census_columns import COLUMNS
from mtl_tutorial.data.columns import Category, DataError, Integer, Real

NAME = "census_income_test.parquet"
DATA = Path(__file__).parents[3] / "data"
SMALL = {"sex": Category(("Female", "Male")), "age": Integer(0, 90), "weight": Real(0, 10)}


@pytest.fixture(scope="module")
def first_rows():
    return pq.read_table(DATA / NAME).slice(0, 200)


def replace_value(table, column, row, value):
    """Return the table with one value changed."""
    values = table[column].to_pylist()
    values[row] = value
    kind = table.schema.field(column).type
    array = pa.array(values).dictionary_encode() if pa.types.is_dictionary(kind) else pa.array(values)
    return table.set_column(table.column_names.index(column), column, array)


def size_of(path):
    """Return the rows and columns of a data file."""
    if path.suffix == ".csv":
        return pd.read_csv(path).shape
    size = pq.read_metadata(path)
    return size.num_rows, size.num_columns


def small_frame():
    return pd.DataFrame({"sex": ["Male", "Female", "Male"], "age": [3, 90, 0], "weight": [0.5, 10.0, 1.25]})


def test_missing_file_is_named_with_its_folder_and_a_remedy(folder):
    with pytest.raises(DataError, match=f"{folder / NAME} is missing; restore it .* 'make data'"):
        files.read(NAME, COLUMNS)


@pytest.mark.parametrize("content", [b"", b"not parquet at all", (DATA / NAME).read_bytes()[:500_000]],
                         ids=["empty", "foreign", "truncated"])
def test_file_that_is_no_parquet_is_called_damaged(folder, content):
    (folder / NAME).write_bytes(content)
    with pytest.raises(DataError, match=f"{NAME}: cannot be read as Parquet, truncated or damaged"):
        files.read(NAME, COLUMNS)


def test_flipped_bytes_in_the_middle_are_found(folder):
    content = bytearray((DATA / NAME).read_bytes())
    content[700_000:700_064] = bytes(64)
    (folder / NAME).write_bytes(content)
    with pytest.raises(DataError, match=f"{NAME}: "):
        files.read(NAME, COLUMNS)


def test_file_with_other_rows_is_told_by_its_hash(folder, first_rows):
    pq.write_table(first_rows, folder / NAME)
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  {NAME}\n")
    with pytest.raises(DataError, match=f"{NAME}: SHA-256 is [0-9a-f]{{64}}, but SHA256SUMS says 0000"):
        files.read(NAME, COLUMNS)


def test_file_that_no_hash_speaks_of_is_refused(folder, first_rows):
    pq.write_table(first_rows, folder / NAME)
    with pytest.raises(DataError, match=f"{NAME}: SHA-256 is .*, but SHA256SUMS says nothing"):
        files.read(NAME, COLUMNS)


def test_damaged_list_of_hashes_is_named_with_its_line(folder, first_rows):
    pq.write_table(first_rows, folder / NAME)
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  {NAME}\ntruncat\n")
    with pytest.raises(DataError, match="SHA256SUMS: line 2 is not a hash and a file name"):
        files.read(NAME, COLUMNS)


def test_missing_and_unknown_columns_are_named(folder, first_rows):
    pq.write_table(first_rows.rename_columns({"age": "years"}), folder / NAME)
    with pytest.raises(DataError, match=f"{NAME}: column 'age' is missing and column 'years' is unknown"):
        files.read(NAME, COLUMNS)


@pytest.mark.parametrize(("column", "kind", "wanted"), [
    ("age", pa.string(), "type string, but must hold a whole number 0 … 90"),
    ("instance_weight", pa.string(), "type string, but must hold a number 0 … 100000"),
    ("sex", pa.string(), "type string, but must hold one of 'Female', 'Male'"),
])
def test_column_of_another_type_is_named(folder, first_rows, column, kind, wanted):
    schema = first_rows.schema.set(first_rows.column_names.index(column), pa.field(column, kind))
    pq.write_table(first_rows.cast(schema), folder / NAME)
    with pytest.raises(DataError, match=f"{NAME}: column '{column}' has {wanted}"):
        files.read(NAME, COLUMNS)


@pytest.mark.parametrize(("column", "value", "problem"), [
    ("age", -3, "-3 is not a whole number 0 … 90"),
    ("capital_gains", 1_000_000, "1000000 is not a whole number 0 … 99999"),
    ("instance_weight", float("nan"), "the value is empty"),
    ("race", "Martian", "'Martian' is not one of 'White', 'Black', "),
    ("race", None, "the value is empty"),
    ("age", None, "the value is empty"),
])
def test_value_out_of_range_is_named_with_column_and_row(folder, first_rows, column, value, problem):
    pq.write_table(replace_value(first_rows, column, 123, value), folder / NAME)
    with pytest.raises(DataError, match=f"{NAME}: column '{column}', row 123: {problem}.*make data"):
        files.read(NAME, COLUMNS)


def test_what_is_written_is_read_again(folder):
    files.write(folder, "small.parquet", small_frame(), SMALL)
    frame = files.read("small.parquet", SMALL)
    assert frame["age"].dtype == "int8"
    assert frame["sex"].cat.categories.tolist() == ["Female", "Male"]
    assert frame.astype({"sex": str}).equals(small_frame().astype({"age": "int8"}))
    assert sorted(path.name for path in folder.iterdir()) == ["SHA256SUMS", "small.parquet"]


def put_csv(folder, text):
    """Write a small CSV file and enter its hash."""
    (folder / "small.csv").write_text(text)
    (folder / "SHA256SUMS").write_text(f"{hashlib.sha256(text.encode()).hexdigest()}  small.csv\n")


CSV = 'sex,age,weight\nMale,3,0.5\nFemale,90,10\nMale,0,1.25\n'


def test_csv_written_by_hand_is_read_as_its_declaration_says(folder):
    put_csv(folder, CSV)
    frame = files.read("small.csv", SMALL)
    assert frame["sex"].cat.categories.tolist() == ["Female", "Male"]
    assert frame.astype({"sex": str}).equals(small_frame())


@pytest.mark.parametrize(("old", "new", "problem"), [
    ("90", "ninety", "column 'age', row 1: 'ninety' is not a whole number 0 … 90"),
    ("90", "91", "column 'age', row 1: 91 is not a whole number 0 … 90"),
    ("90", "", "column 'age', row 1: '' is not a whole number 0 … 90"),
    ("Female", "female", "column 'sex', row 1: 'female' is not one of 'Female', 'Male'"),
    ("age", "years", "column 'age' is missing and column 'years' is unknown"),
    ("90,10", "90", "cannot be read as CSV, truncated or damaged"),
])
def test_csv_that_does_not_fit_is_named_with_column_and_row(folder, old, new, problem):
    put_csv(folder, CSV.replace(old, new, 1))
    with pytest.raises(DataError, match=f"^small.csv: {problem}.*; restore it with 'git checkout data'$"):
        files.read("small.csv", SMALL)


def test_csv_that_differs_from_its_hash_is_refused(folder):
    put_csv(folder, CSV)
    (folder / "small.csv").write_text(CSV.replace("0.5", "0.6"))
    with pytest.raises(DataError, match=r"small.csv: SHA-256 is .*, but SHA256SUMS says"):
        files.read("small.csv", SMALL)


def test_writing_enters_the_hash_beside_the_others(folder):
    for name in ("b.parquet", "a.parquet"):
        files.write(folder, name, small_frame(), SMALL)
    expected = hashlib.sha256((folder / "a.parquet").read_bytes()).hexdigest()
    assert list(files.hashes(folder)) == ["a.parquet", "b.parquet"]
    assert files.hashes(folder)["a.parquet"] == expected


@pytest.mark.parametrize(("change", "problem"), [
    ({"age": [3, 200, 0]}, "column 'age', row 1: 200 is not"),
    ({"sex": ["Male", "Male", "male"]}, "column 'sex', row 2: 'male' is not one of"),
])
def test_what_the_reader_would_refuse_is_not_written(folder, change, problem):
    with pytest.raises(DataError, match=f"small.parquet: {problem}"):
        files.write(folder, "small.parquet", small_frame().assign(**change), SMALL)
    assert not list(folder.iterdir())


def test_files_are_found_from_any_working_directory(tmp_path, monkeypatch):
    monkeypatch.delenv("MTL_TUTORIAL_DATA", raising=False)
    code = (f"import sys; sys.path.insert(0, {str(DATA.parent)!r})\n"
            "from mtl_tutorial.data.census import read_census; print(len(read_census('test')))")
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout.strip() == "99762", run.stderr


def test_readme_and_hashes_agree_with_the_files():
    text = (DATA / "README.md").read_text()
    expected = files.hashes(DATA)
    assert set(expected) == {path.name for path in DATA.iterdir()} - {"README.md", "LICENSES.md", files.HASHES}
    for name, digest in expected.items():
        assert hashlib.sha256((DATA / name).read_bytes()).hexdigest() == digest
        rows, columns = size_of(DATA / name)
        assert f"| `{name}` | {rows:,} | {columns} | `{digest}` |" in text


def test_data_files_stay_small():
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 30e6
