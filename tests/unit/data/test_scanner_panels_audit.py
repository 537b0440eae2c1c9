import itertools

import numpy as np
import pandas as pd
import pytest
from panel_rows import panel_rows

from mtl_tutorial.data.scanner_panels import read_scanner_panels
from mtl_tutorial.data.scanner_panels_audit import (
    has_tell_tale_price,
    order_of_choices,
    prices_in_common,
    recorded_columns,
    tell_tale_prices,
    tell_tale_purchases,
)
from mtl_tutorial.data.scanner_panels_occasions import purchase_number, shuffle_purchases


@pytest.fixture(scope="module")
def raw():
    return read_scanner_panels()


def priced(prices, choices, category="yogurt"):
    """One household's purchases at the given prices [O, brands]."""
    return panel_rows((category, choices)).assign(price=np.asarray(prices, dtype=float).ravel())


@pytest.mark.parametrize("choices", [
    ["dannon", "dannon", "weight", "hiland", "weight"], ["dannon", "weight"], ["dannon"] * 4 + ["yoplait"] * 3])
def test_what_is_expected_at_random_is_the_mean_over_all_orders(choices):
    orders = list(itertools.permutations(choices))
    changes = [sum(first != second for first, second in itertools.pairwise(order)) for order in orders]
    sorted_share = np.mean([count == len(set(choices)) - 1 for count in changes])
    row = order_of_choices(panel_rows(("yogurt", choices))).loc["yogurt"]
    assert row["changes_at_random"] == pytest.approx(np.mean(changes), rel=1e-12)
    assert row["brand_by_brand_at_random"] == pytest.approx(sorted_share, rel=1e-12)
    assert row["changes"] == changes[0]
    assert row["ratio"] == pytest.approx(changes[0] / np.mean(changes))


def test_sorted_households_stand_out_from_shuffled_ones():
    generator = np.random.default_rng(0)
    brands = np.array(["skw", "cosw", "sko", "coso", "pw"])
    choices = [generator.choice(brands, 8).tolist() for _ in range(200)]
    fair = order_of_choices(panel_rows(*[("tuna", taken) for taken in choices])).loc["tuna"]
    leaky = order_of_choices(panel_rows(*[("tuna", sorted(taken)) for taken in choices])).loc["tuna"]
    assert fair["ratio"] == pytest.approx(1, abs=0.05)
    assert fair["brand_by_brand"] == pytest.approx(fair["brand_by_brand_at_random"], abs=0.03)
    assert leaky["ratio"] < 0.6
    assert leaky["brand_by_brand"] == 1
    assert leaky["changes_at_random"] == pytest.approx(fair["changes_at_random"])


def test_loyal_household_changes_less_but_not_brand_by_brand():
    loyal = panel_rows(("yogurt", ["dannon"] * 5 + ["weight"] * 4 + ["dannon"] * 5))
    row = order_of_choices(loyal).loc["yogurt"]
    assert row["ratio"] < 0.5
    assert row["brand_by_brand"] == 0


def test_households_of_one_brand_are_left_out():
    table = order_of_choices(panel_rows(("yogurt", ["dannon"] * 3), ("yogurt", ["dannon", "weight"])))
    assert table.loc["yogurt", ["households", "changes"]].tolist() == [1, 1]
    assert order_of_choices(panel_rows(("yogurt", ["dannon"]), ("yogurt", ["weight"]))).empty


def test_tuna_and_ketchup_are_sorted_by_the_brand_bought_and_the_others_are_not(raw):
    table = order_of_choices(raw)
    assert table["brand_by_brand"].round(3).to_dict() == {
        "catsup": 0.123, "cracker": 0.056, "ketchup": 1.0, "tuna": 1.0, "yogurt": 0.224}
    assert table["ratio"].round(2).to_dict() == {
        "catsup": 0.94, "cracker": 0.92, "ketchup": 0.61, "tuna": 0.48, "yogurt": 0.56}


def test_shuffled_panels_show_no_order(raw):
    table = order_of_choices(shuffle_purchases(raw, 7))
    assert (table["ratio"] - 1).abs().max() < 0.06
    assert (table["brand_by_brand"] - table["brand_by_brand_at_random"]).abs().max() < 0.1


@pytest.fixture
def leaky():
    """60 purchases of yogurt: dannon costs 5 in the first 40 and was bought in 38 of them."""
    choices = ["dannon"] * 38 + ["weight", "hiland"] + ["dannon", "weight"] * 10
    return priced([[7, 5, 6, 8]] * 40 + [[7, 9, 6, 8]] * 20, choices)


def test_price_that_stands_only_with_the_brand_bought_is_found(leaky):
    found = tell_tale_prices(leaky)
    assert found.to_dict("records") == [
        {"category": "yogurt", "brand": "dannon", "price": 5.0, "rows": 40, "bought": 0.95}]
    assert tell_tale_prices(leaky, rows=41).empty
    assert tell_tale_prices(leaky, share=0.96).empty


def test_all_rows_of_a_purchase_at_a_tell_tale_price_are_marked(leaky):
    assert has_tell_tale_price(leaky).tolist() == [True] * 160 + [False] * 80
    table = tell_tale_purchases(leaky)
    assert table.loc["yogurt"].tolist() == [60, 40, pytest.approx(2 / 3)]
    for bounds in ({"rows": 41}, {"share": 0.96}):
        assert not has_tell_tale_price(leaky, **bounds).any()
        assert tell_tale_purchases(leaky, **bounds)["tell_tale"].tolist() == [0]


def test_price_of_another_brand_is_no_tell_tale(leaky):
    other = leaky.assign(price=leaky["price"].where(leaky["brand"] != "yoplait", 5.0))
    assert tell_tale_prices(other)["brand"].tolist() == ["dannon"]
    assert has_tell_tale_price(other).sum() == 160


def test_honest_demand_is_no_tell_tale():
    generator = np.random.default_rng(0)
    low = generator.random(2_000) < 0.5
    taken = np.where(generator.random(2_000) < np.where(low, 0.8, 0.3), "dannon", "weight").tolist()
    frame = priced([[7, 5 if cheap else 9, 6, 8] for cheap in low], taken)
    assert tell_tale_prices(frame).empty
    assert not has_tell_tale_price(frame).any()
    assert tell_tale_purchases(frame)["tell_tale"].tolist() == [0]


def test_tell_tale_prices_of_the_panels(raw):
    found = tell_tale_prices(raw).set_index(["brand", "price"])
    assert len(found) == 12
    assert found.loc[("heinz32", 2.1), ["rows", "bought"]].tolist() == [126, 1.0]
    assert tell_tale_purchases(raw)["share"].round(3).to_dict() == {
        "catsup": 0.142, "cracker": 0.098, "ketchup": 0.042, "tuna": 0.058, "yogurt": 0.0}


def test_marked_purchases_are_whole(raw):
    marked = pd.Series(has_tell_tale_price(raw)).groupby(purchase_number(raw))
    assert (marked.nunique() == 1).all()


def test_what_each_category_records(raw):
    table = recorded_columns(raw)
    assert table["display"].to_dict() == {
        "catsup": True, "cracker": True, "ketchup": False, "tuna": False, "yogurt": False}
    assert table["feature"].to_dict() == table["display"].to_dict() | {"yogurt": True}
    assert table["zero_prices"].to_dict() == {"catsup": 0, "cracker": 3, "ketchup": 0, "tuna": 0, "yogurt": 0}
    assert table.loc["cracker", ["households", "purchases", "brands"]].tolist() == [136, 3_292, 4]
    assert table.loc["cracker", ["lowest_price", "highest_price"]].tolist() == [38, 169]


def test_catsup_and_ketchup_share_no_more_price_pairs_than_chance(raw):
    shares = prices_in_common(raw)
    assert 0.1 < shares["found"] < shares["at_random"] < 0.25


def test_copied_purchases_are_recognised_by_their_price_pairs():
    heinz, hunts = np.array([0.79, 0.99, 1.19, 1.46] * 5), np.array([1.39, 0.99, 1.53, 1.19] * 5)
    cents = [np.round(100 * dollars / 32, 1) for dollars in (heinz, hunts)]
    catsup = priced(np.stack([cents[0] + 1, cents[0], cents[0] + 1, cents[1]], axis=1), ["heinz32"] * 20, "catsup")
    ketchup = priced(np.stack([heinz, hunts, heinz, hunts], axis=1), ["heinz"] * 20, "ketchup")
    shares = prices_in_common(pd.concat([catsup, ketchup], ignore_index=True))
    assert shares["found"] == 1
    assert shares["at_random"] < 0.6
