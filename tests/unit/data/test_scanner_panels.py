import subprocess
import sys

import pandas as pd
import pytest
import torch
from panel_rows import changed, panel_rows
from sklearn.metrics import roc_auc_score

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.scanner_panels import (
    FIELDS,
    FILE,
    NUMERIC,
    encode,
    prepare,
    read_scanner_panels,
    scanner_panels_table,
    shelf_features,
)
from mtl_tutorial.data.scanner_panels_audit import tell_tale_prices
from mtl_tutorial.data.scanner_panels_columns import BRANDS, CATEGORY_OF, COLUMNS, MAKER_OF, MAKERS
from mtl_tutorial.data.scanner_panels_occasions import purchase_number


@pytest.fixture(scope="module")
def raw():
    return read_scanner_panels()


def test_rows_are_those_of_the_studies(raw):
    assert raw.shape == (122_357, 8)
    groups = raw.groupby("category", observed=True)
    assert groups["bought"].sum().to_dict() == {
        "catsup": 2_798, "cracker": 3_292, "ketchup": 4_956, "tuna": 13_705, "yogurt": 2_412}
    assert groups["household"].nunique().to_dict() == {
        "catsup": 300, "cracker": 136, "ketchup": 1_956, "tuna": 3_093, "yogurt": 100}


def test_third_purchase_of_catsup_is_that_of_the_source(raw):
    purchase = raw.iloc[8:12]
    assert purchase["brand"].tolist() == ["heinz41", "heinz32", "heinz28", "hunts32"]
    assert purchase["price"].tolist() == [4.6, 2.5, 4.6, 4.8]
    assert purchase["feature"].tolist() == ["no", "yes", "no", "no"]
    assert purchase["bought"].tolist() == [0, 0, 1, 0]


def test_what_was_not_recorded_is_not_taken_for_no(raw):
    groups = raw.groupby("category", observed=True)
    asked, not_asked = {"no", "yes"}, {"not recorded"}
    assert {name: set(rows["display"]) for name, rows in groups} == {
        "catsup": asked, "cracker": asked, "ketchup": not_asked, "tuna": not_asked, "yogurt": not_asked}
    assert {name: set(rows["feature"]) for name, rows in groups} == {
        "catsup": asked, "cracker": asked, "ketchup": not_asked, "tuna": not_asked, "yogurt": asked}


def test_every_brand_has_one_category_and_one_maker():
    assert len(CATEGORY_OF) == sum(map(len, BRANDS.values())) == 21
    assert list(MAKER_OF) == list(CATEGORY_OF)


@pytest.mark.parametrize(("column", "row", "value", "problem"), [
    ("price", 7, 1e6, "1000000.0 is not a number 0 … 200"),
    ("price", 7, float("nan"), "the value is empty"),
    ("bought", 3, 2, "2 is not a whole number 0 … 1"),
    ("display", 4, "maybe", "'maybe' is not one of 'not recorded', 'no', 'yes'"),
])
def test_value_that_the_codebook_does_not_know_is_named(folder, column, row, value, problem):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "check", lambda table, columns, name: None)
        files.write(folder, FILE, changed(panel_rows(("tuna", ["skw", "pw"])), column, [row], value), COLUMNS)
    with pytest.raises(DataError, match=f"^{FILE}: column '{column}', row {row}: {problem}.*make data"):
        read_scanner_panels()


def test_rows_that_are_no_whole_purchase_are_named_by_the_reader(folder):
    files.write(folder, FILE, panel_rows(("tuna", ["skw", "pw"])).iloc[:-1], COLUMNS)
    with pytest.raises(DataError, match=f"^{FILE}: column 'brand', row 8: 'coso' is not the next .*make data"):
        read_scanner_panels()


def test_file_with_other_rows_is_told_by_its_hash(folder):
    files.write(folder, FILE, panel_rows(("tuna", ["skw", "pw"])), COLUMNS)
    expected = files.hashes(folder)[FILE]
    files.write(folder, FILE, panel_rows(("tuna", ["pw", "skw"])), COLUMNS)
    (folder / files.HASHES).write_text(f"{expected}  {FILE}\n")
    with pytest.raises(DataError, match=f"{FILE}: SHA-256 is [0-9a-f]{{64}}, but SHA256SUMS says {expected}"):
        read_scanner_panels()


def test_price_is_measured_against_the_others_on_the_shelf():
    frame = panel_rows(("yogurt", ["dannon", "dannon"])).assign(price=[10.0, 8, 8, 14, 0, 4, 6, 8])
    shelf = shelf_features(frame)
    assert shelf["relative_price"].tolist() == pytest.approx([0, -2, -2, 4, 0, -10 / 3, 0, 10 / 3], abs=1e-6)
    assert shelf["cheapest"].tolist() == [0, 1, 1, 0, 0, 1, 0, 0]


def test_advertising_says_whether_it_was_recorded():
    frame = panel_rows(("catsup", ["heinz28"]))
    frame["feature"] = pd.Categorical(["no", "yes", "no", "yes"], COLUMNS["feature"].values)
    frame["display"] = pd.Categorical(["not recorded"] * 4, COLUMNS["display"].values)
    shelf = shelf_features(frame)
    assert shelf["feature"].tolist() == [0, 1, 0, 1]
    assert shelf["feature_recorded"].tolist() == [1, 1, 1, 1]
    assert shelf["display"].tolist() == shelf["display_recorded"].tolist() == [0, 0, 0, 0]


def test_purchases_at_tell_tale_prices_are_dropped_whole_but_stay_in_the_history(raw):
    kept, dropped = (prepare(raw, seed=3, tell_tale_prices=choice) for choice in ("keep", "drop"))
    assert (len(kept), len(dropped)) == (122_357, 114_673)
    told = pd.MultiIndex.from_frame(tell_tale_prices(raw)[["brand", "price"]])
    assert not pd.MultiIndex.from_frame(dropped[["brand", "price"]]).isin(told).any()
    purchases = dropped.groupby(purchase_number(dropped))
    shelves = {category: len(brands) for category, brands in BRANDS.items()}
    assert (purchases["bought"].sum() == 1).all()
    assert (purchases.size() == purchases["category"].first().map(shelves).astype(int)).all()
    key = ["number", "occasion", "brand"]
    assert dropped.equals(kept.set_index(key).loc[pd.MultiIndex.from_frame(dropped[key])].reset_index()[list(kept)]
                          .astype({"brand": dropped["brand"].dtype}))


def test_table_holds_the_scenarios_and_the_target(raw):
    table = scanner_panels_table(tell_tale_prices="keep").validate()
    assert table.field_names == FIELDS == ("brand", "maker", "category")
    assert table.schema == ((21, 13, 5), len(NUMERIC), 5)
    assert list(table.targets) == ["bought"]
    assert table.targets["bought"].sum() == 27_163
    assert table.scenario.equal(table.ids("category"))
    assert table.scenario.bincount().tolist() == raw["category"].value_counts(sort=False).tolist()
    assert table.numeric.isfinite().all()


def test_heinz_is_one_maker_of_brands_in_two_categories(raw):
    table = encode(prepare(raw))
    made = table.ids("brand")[table.ids("maker") == MAKERS.index("heinz")].unique()
    assert [list(CATEGORY_OF)[brand] for brand in made] == ["heinz41", "heinz32", "heinz28", "heinz"]
    pairs = torch.stack([table.ids("brand"), table.ids("maker")]).unique(dim=1)
    assert pairs[0].tolist() == list(range(21))


def test_households_are_not_shared_between_categories():
    table = scanner_panels_table(tell_tale_prices="keep")
    assert len(table.groups.unique()) == 300 + 136 + 1_956 + 3_093 + 100
    pairs = torch.stack([table.groups, table.scenario]).unique(dim=1)
    assert pairs.shape[1] == len(table.groups.unique())


def test_split_by_household_keeps_a_household_together():
    train, test = scanner_panels_table().split(0.7, 0.3, by_group=True)
    assert not set(train.groups.tolist()) & set(test.groups.tolist())


def test_rows_of_the_table_are_those_of_the_prepared_frame(raw):
    rows = prepare(raw, seed=5)
    some = rows[rows["category"] == "cracker"].reset_index(drop=True)
    table = encode(some)
    assert table.targets["bought"].tolist() == some["bought"].tolist()
    assert table.ids("brand").tolist() == [list(CATEGORY_OF).index(brand) for brand in some["brand"]]
    assert table.numeric[:, NUMERIC.index("loyalty")].tolist() == some["loyalty"].tolist()
    assert table.schema == encode(rows).schema


def test_default_order_is_shuffled_by_the_seed(raw):
    first, again, other = (scanner_panels_table(seed=seed) for seed in (0, 0, 1))
    assert first.fingerprint() == again.fingerprint() == scanner_panels_table().fingerprint()
    assert first.fingerprint() != other.fingerprint()
    assert first.fingerprint() != scanner_panels_table("source").fingerprint()


@pytest.mark.parametrize(("category", "leaks"), [
    ("tuna", True), ("ketchup", True), ("catsup", False), ("cracker", False)])
def test_order_of_the_source_flatters_the_last_brand_where_rows_are_sorted(raw, category, leaks):
    rows = raw[raw["category"] == category].reset_index(drop=True)
    scores = [prepare(rows, order, tell_tale_prices="keep") for order in ("source", "shuffled")]
    source, shuffled = (roc_auc_score(some["bought"], some["bought_last_time"]) for some in scores)
    assert (source - shuffled > 0.04) == leaks


@pytest.mark.parametrize(("arguments", "problem"), [
    ({"order": "time"}, "order 'time' is unknown; it is 'shuffled' or 'source'"),
    ({"tell_tale_prices": "mask"}, "tell_tale_prices 'mask' is unknown; it is 'drop' or 'keep'"),
])
def test_impossible_arguments_are_refused(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        scanner_panels_table(**arguments)


def test_no_pickle_is_opened_when_the_data_sets_are_read():
    program = """
import pickle, sys
from fractions import Fraction
from mtl_tutorial.data.open_bandit import open_bandit
from mtl_tutorial.data.scanner_panels import scanner_panels_table

opened = []
sys.addaudithook(lambda event, arguments: opened.append(arguments) if event == "pickle.find_class" else None)
pickle.loads(pickle.dumps(Fraction(1, 2)))
assert opened.pop() == ("fractions", "Fraction")
scanner_panels_table(), open_bandit()
assert not opened, opened
print(*(name for name in sys.modules if name.endswith("_source")))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == ""
