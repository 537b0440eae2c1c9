import numpy as np
import pytest
import torch

from mtl_tutorial.data import files
from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.open_bandit import FIELDS, FILE, encode, open_bandit, read_open_bandit
from mtl_tutorial.data.open_bandit_columns import COLUMNS, ITEMS


@pytest.fixture(scope="module")
def raw():
    return read_open_bandit()


def test_rows_are_those_of_the_source(raw):
    assert raw.shape == (60_000, 13)
    groups = raw.groupby(["campaign", "policy"], observed=True)
    assert groups.size().tolist() == [10_000] * 6
    assert groups["click"].sum().tolist() == [38, 42, 46, 69, 46, 46]


def test_first_impression_is_that_of_the_source(raw):
    shown = raw.iloc[0]
    assert shown[["campaign", "policy", "item", "position", "click"]].tolist() == ["all", "random", 14, 3, 0]
    assert np.datetime64(int(shown["timestamp"]), "us") == np.datetime64("2019-11-24T00:00:34.762830")
    assert shown["user_feature_0"] == "81ce123c"


def test_rows_are_in_the_order_of_time(raw):
    groups = raw.groupby(["campaign", "policy"], observed=True)["timestamp"]
    assert groups.agg(lambda times: times.is_monotonic_increasing).all()


def test_random_policy_shows_every_item_with_the_same_probability(raw):
    uniform = raw[raw["policy"] == "random"]
    np.testing.assert_allclose(uniform["propensity"], 1 / uniform["campaign"].map(ITEMS).astype(float), rtol=1e-12)


def test_affinity_to_the_item_shown_is_part_of_the_affinity_to_all(raw):
    assert (raw["affinity"] <= raw["affinity_all"]).all()
    assert (raw["affinity"] > 0).sum() == 79


def test_item_of_another_campaign_is_named(folder, raw):
    frame = raw[raw["campaign"] == "men"].head(20).reset_index(drop=True)
    frame.loc[7, "item"] = 34
    files.write(folder, FILE, frame, COLUMNS)
    with pytest.raises(DataError, match=f"^{FILE}: column 'item', row 7: 34 is not one of the 34 items of campaign "
                                        "'men'.*make data"):
        read_open_bandit()


@pytest.mark.parametrize(("column", "value", "problem"), [
    ("propensity", 0.0, "0.0 is not a number 1e-09 … 1"),
    ("propensity", 1.5, "1.5 is not a number 1e-09 … 1"),
    ("position", 4, "4 is not a whole number 1 … 3"),
    ("click", 2, "2 is not a whole number 0 … 1"),
])
def test_value_that_the_codebook_does_not_know_is_named(folder, raw, monkeypatch, column, value, problem):
    frame = raw.head(20).copy()
    frame.loc[5, column] = value
    with monkeypatch.context() as patch:
        patch.setattr(files, "check", lambda table, columns, name: None)
        files.write(folder, FILE, frame, COLUMNS)
    with pytest.raises(DataError, match=f"^{FILE}: column '{column}', row 5: {problem}.*make data"):
        read_open_bandit()


def test_file_with_other_rows_is_told_by_its_hash(folder, raw):
    files.write(folder, FILE, raw.head(20), COLUMNS)
    (folder / files.HASHES).write_text(f"{files.hashes(files.folder())[FILE][::-1]}  {FILE}\n")
    with pytest.raises(DataError, match=f"{FILE}: SHA-256 is [0-9a-f]{{64}}, but SHA256SUMS says"):
        read_open_bandit()


def test_table_holds_the_scenarios_and_the_target():
    table, propensity = open_bandit()
    table.validate()
    assert table.field_names == FIELDS
    assert table.schema == ((160, 3, 2, 3, 5, 9, 10), 2, 3)
    assert table.targets["click"].sum() == 287
    assert [int(table.targets["click"][table.scenario == campaign].sum()) for campaign in range(3)] == [80, 115, 92]
    assert propensity.shape == (60_000,)
    assert propensity.dtype == torch.float64


def test_items_of_two_campaigns_have_no_number_in_common():
    table, _ = open_bandit()
    ranges = [table.ids("item")[table.scenario == campaign].unique().tolist() for campaign in range(3)]
    assert ranges == [list(range(80)), list(range(80, 114)), list(range(114, 160))]


def test_propensity_is_that_of_the_same_row(raw):
    some = raw.sample(500, random_state=0)
    table, propensity = encode(some)
    assert propensity.tolist() == some["propensity"].tolist()
    assert table.targets["click"].tolist() == some["click"].tolist()
    assert table.ids("position").tolist() == (some["position"] - 1).tolist()
    assert table.ids("policy").tolist() == (some["policy"] == "bts").astype(int).tolist()
    torch.testing.assert_close(table.numeric[:, 1].expm1().round(),
                               torch.tensor(some["affinity_all"].to_numpy(), dtype=torch.float32))


def test_evaluating_random_from_bts_fails_in_the_campaign_with_one_tiny_propensity(raw):
    logged = raw[raw["policy"] == "bts"]
    weights = 1 / (logged["campaign"].map(ITEMS).astype(float) * logged["propensity"])
    squares = (weights ** 2).groupby(logged["campaign"], observed=True).sum()
    effective = weights.groupby(logged["campaign"], observed=True).sum() ** 2 / squares
    assert effective["women"] < 3
    assert effective[["all", "men"]].min() > 300
