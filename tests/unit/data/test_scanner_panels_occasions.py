from collections import Counter

import numpy as np
import pytest
from panel_rows import changed, panel_rows

from mtl_tutorial.data.columns import DataError
from mtl_tutorial.data.scanner_panels import history, read_scanner_panels
from mtl_tutorial.data.scanner_panels_columns import BRANDS
from mtl_tutorial.data.scanner_panels_occasions import (
    check_purchases,
    household_number,
    purchase_number,
    shuffle_purchases,
)

PAST = ("loyalty", "bought_last_time", "log_earlier_purchases")


@pytest.fixture(scope="module")
def raw():
    return read_scanner_panels()


@pytest.fixture
def small():
    """One household of tuna (2 purchases, rows 0 to 9) and two of yogurt (3, rows 10 to 21; 1, rows 22 to 25)."""
    return panel_rows(("tuna", ["skw", "pw"]), ("yogurt", ["dannon", "dannon", "weight"]), ("yogurt", ["hiland"]))


def past(frame):
    """The history features side by side."""
    features = history(frame)
    return np.stack([features[name] for name in PAST], axis=1)                          # [N, 3]


def past_by_hand(frame):
    """The history features by plain loops, one household's purchases after the other."""
    bought, expected = {}, []
    for _, purchase in frame.groupby(purchase_number(frame)):
        category, household = purchase.iloc[0][["category", "household"]]
        earlier = bought.setdefault((category, household), [])
        for brand in purchase["brand"]:
            expected.append(((earlier.count(brand) + 1) / (len(earlier) + len(BRANDS[category])),
                             earlier[-1:] == [brand], np.log(1 + len(earlier))))
        earlier.append(purchase["brand"][purchase["bought"] == 1].item())
    return np.array(expected)


def shelves(frame):
    """What each household met and took, as a multiset that knows no order."""
    facts = frame[["category", "household", "brand", "price", "display", "feature", "bought"]].astype(str)
    return Counter(facts.agg(" ".join, axis=1).groupby(purchase_number(frame)).agg("; ".join))


def test_households_and_purchases_are_numbered_over_all_categories(small):
    assert household_number(small).tolist() == [0] * 10 + [1] * 12 + [2] * 4
    assert purchase_number(small).tolist() == [0] * 5 + [1] * 5 + [2] * 4 + [3] * 4 + [4] * 4 + [5] * 4


def test_first_household_of_the_next_category_is_another_one():
    frame = panel_rows(("catsup", ["heinz28"]), ("yogurt", ["dannon"]))
    assert household_number(frame).tolist() == [0] * 4 + [1] * 4
    assert purchase_number(frame).tolist() == [0] * 4 + [1] * 4


def test_history_is_that_of_a_plain_loop(small):
    np.testing.assert_allclose(past(small), past_by_hand(small), rtol=1e-6)


def test_history_of_real_households_is_that_of_a_plain_loop(raw):
    some = raw[raw["household"] <= 12].reset_index(drop=True)
    for frame in (some, shuffle_purchases(some, 0)):
        np.testing.assert_allclose(past(frame), past_by_hand(frame), rtol=1e-6)


def test_history_begins_with_no_preference(small):
    first = past(small)[22:]
    assert first.tolist() == [[0.25, 0, 0]] * 4


@pytest.mark.parametrize("purchase", range(6))
def test_history_sees_neither_the_present_nor_the_future(purchase):
    choices = ["dannon", "weight", "dannon", "hiland", "weight", "yoplait"]
    other = [*choices[:purchase], "hiland" if choices[purchase] != "hiland" else "dannon", *choices[purchase + 1:]]
    before, after = (past(panel_rows(("yogurt", brands))).reshape(6, 4, 3) for brands in (choices, other))
    assert (before[: purchase + 1] == after[: purchase + 1]).all()
    if purchase < 5:
        assert (before[purchase + 1] != after[purchase + 1]).any()


def test_history_of_a_household_does_not_see_its_neighbour():
    alone = panel_rows(("yogurt", ["dannon", "weight"]))
    beside = panel_rows(("tuna", ["skw"] * 3), ("yogurt", ["dannon", "weight"]), ("yogurt", ["dannon"] * 4))
    assert (past(beside)[15:23] == past(alone)).all()


def test_shuffling_changes_the_order_but_not_the_facts(raw):
    some = raw[raw["household"] <= 40].reset_index(drop=True)
    first, again, other = (shuffle_purchases(some, seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first["bought"].equals(other["bought"])
    assert shelves(first) == shelves(other) == shelves(some)


def test_shuffled_rows_are_whole_purchases_in_order(raw):
    shuffled = shuffle_purchases(raw, 4)
    check_purchases(shuffled, "shuffled")
    for name in ("category", "household", "occasion", "brand"):
        assert shuffled[name].equals(raw[name])
    assert not shuffled["price"].equals(raw["price"])


def test_every_order_is_equally_likely():
    households = 6_000
    shuffled = shuffle_purchases(panel_rows(*[("yogurt", ["yoplait", "dannon", "weight"])] * households), 0)
    taken = shuffled[shuffled["bought"] == 1]["brand"].astype(str).to_numpy().reshape(households, 3)
    counts = Counter(map(tuple, taken))
    assert len(counts) == 6
    assert max(abs(count - households / 6) for count in counts.values()) < 5 * (households * 5 / 36) ** 0.5


@pytest.mark.parametrize(("column", "rows", "value", "problem"), [
    ("brand", [11], "hiland", "'brand', row 11: 'hiland' is not the next brand of its category"),
    ("brand", [12], "skw", "'brand', row 12: 'skw' is not the next brand of its category"),
    ("brand", [10], "dannon", "'brand', row 10: 'dannon' is not the next brand of its category"),
    ("household", [12], 2, "'household', row 12: 2 is out of order, or changes within a purchase"),
    ("household", range(10, 22), 3, "'household', row 22: 2 is out of order"),
    ("occasion", [15], 2, "'occasion', row 15: 2 does not count 0, 1, 2, … within its household"),
    ("occasion", range(14, 22), 2, "'occasion', row 14: 2 does not count"),
    ("occasion", range(22, 26), 3, "'occasion', row 22: 3 does not count"),
    ("occasion", [0], 1, "'occasion', row 0: 1 does not count"),
    ("bought", [16], 1, "'bought', row 14: 0 stands in a purchase that has not exactly one brand bought"),
    ("bought", [11], 0, "'bought', row 10: 0 stands in a purchase that has not exactly one brand bought"),
])
def test_row_that_breaks_a_purchase_is_named(small, column, rows, value, problem):
    kinds = small.dtypes
    broken = changed(small, column, list(rows), value).astype(kinds)
    with pytest.raises(DataError, match=f"^some.parquet: column {problem}"):
        check_purchases(broken, "some.parquet")


def test_purchase_cut_short_at_the_end_is_named(small):
    with pytest.raises(DataError, match=r"column 'brand', row 24: 'hiland' .* its purchase is cut short"):
        check_purchases(small.iloc[:-1], "some.parquet")


def test_whole_purchases_pass(small):
    check_purchases(small, "some.parquet")
