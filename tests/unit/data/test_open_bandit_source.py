import zipfile

import numpy as np
import pytest

from mtl_tutorial.data import files, open_bandit_source
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.open_bandit import read_open_bandit
from mtl_tutorial.data.open_bandit_columns import ITEMS, USER_FEATURES


def expected_rows(count=6):
    """The first impressions of every campaign and policy."""
    return read_open_bandit().groupby(["campaign", "policy"], observed=True).head(count).reset_index(drop=True)


def csv_text(rows, campaign):
    """Impressions as the source writes them: one column per affinity, hashes of 32 digits."""
    clicks = np.zeros((len(rows), ITEMS[campaign]))
    clicks[np.arange(len(rows)), rows["item"]] = rows["affinity"]
    clicks[np.arange(len(rows)), (rows["item"] + 1) % ITEMS[campaign]] = rows["affinity_all"] - rows["affinity"]
    source = rows[["item", "position", "click", "propensity"]].rename(
        columns={"item": "item_id", "propensity": "propensity_score"})
    times = [f"{np.datetime64(int(time), 'us')}".replace("T", " ") + "+00:00" for time in rows["timestamp"]]
    source.insert(0, "timestamp", times)
    source = source.assign(**{name: rows[name].astype(str) + "0" * 24 for name in USER_FEATURES})
    return source.assign(**{f"user-item_affinity_{item}": clicks[:, item] for item in range(ITEMS[campaign])}
                         ).reset_index(drop=True).to_csv()


@pytest.fixture
def target(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def wheel(tmp_path):
    """Makes a wheel of the given rows; ``edit`` may change a file's text."""
    def make(rows, edit=lambda text: text):
        path = tmp_path / "tiny.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for (campaign, policy), some in rows.groupby(["campaign", "policy"], observed=True):
                member = open_bandit_source.MEMBER.format(policy=policy, campaign=campaign)
                archive.writestr(member, edit(csv_text(some, campaign)))
        return path
    return make


def test_csv_files_become_the_file_that_the_reader_reads(wheel, target, monkeypatch):
    expected = expected_rows()
    expected["affinity"] = np.arange(len(expected), dtype=np.int16) % 3
    expected["affinity_all"] = expected["affinity"] + np.arange(len(expected), dtype=np.int16)
    open_bandit_source.convert(wheel(expected), target)
    monkeypatch.setenv("MTL_TUTORIAL_DATA", str(target))
    assert read_open_bandit().equals(expected)


def test_wheel_gives_the_same_bytes_each_time(wheel, target):
    path = wheel(expected_rows())
    open_bandit_source.convert(path, target)
    before = files.hashes(target)
    open_bandit_source.convert(path, target)
    assert files.hashes(target) == before


def test_missing_csv_file_is_named(wheel, target):
    rows = expected_rows()
    path = wheel(rows[(rows["campaign"] != "women") | (rows["policy"] != "bts")])
    with pytest.raises(DataError, match=r"tiny.whl: holds no obp/dataset/obd/bts/women/women\.csv"):
        open_bandit_source.convert(path, target)


@pytest.mark.parametrize(("edit", "problem"), [
    (lambda text: text.replace("propensity_score", "pscore"), "all.csv: column 'propensity_score' is missing"),
    (lambda text: text.replace("affinity_33", "affinity_x"), "all.csv: column 'user-item_affinity_33' is missing"),
    (lambda text: text.replace(",14,", ",80,"), "all.csv: column 'item_id' holds an item .* not one of 0 … 79"),
    (lambda text: text.replace("81ce123c", "00000000"), "column 'user_feature_0', row 0: '00000000' is not one of"),
])
def test_csv_file_that_differs_is_refused(wheel, target, edit, problem):
    with pytest.raises(DataError, match=problem):
        open_bandit_source.convert(wheel(expected_rows(), edit), target)
